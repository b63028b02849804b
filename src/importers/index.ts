import { unknownFormat } from '../errors.js';
import { fileBytes } from '../formats/bytes.js';
import type { ArtifactFormat } from '../formats/metadata.js';
import type { Graph } from '../ir/graph.js';
import { importOnnxBytes } from './onnx/index.js';

/** Bytes that a look at a file's beginning takes. */
const HEAD = 16;

/**
 * Reads a model of any format; the content decides, not the name. Weights stay in the file until they are asked for.
 *
 * @throws CompressError when the file cannot be read, is no model, or says something that contradicts itself
 */
export function load(file: string): Graph {
  const bytes = fileBytes(file);
  try {
    const head = bytes.read(0, Math.min(HEAD, bytes.length));
    if (!mayBeOnnx(head)) throw unknownFormat(file, describe(head));
    return importOnnxBytes(bytes, file);
  } catch (error) {
    bytes.close();
    throw error;
  }
}

/** The format of a file by its content; undefined where it is none that models are written in. */
export function formatOf(file: string): ArtifactFormat | undefined {
  const bytes = fileBytes(file);
  try {
    const head = bytes.read(0, Math.min(HEAD, bytes.length));
    if (mayBeOnnx(head)) return 'onnx';
    return WRITTEN.get(describe(head));
  } finally {
    bytes.close();
  }
}

/** A ModelProto starts with one of its own fields, in practice the version of the format: a varint of field 1. */
function mayBeOnnx(head: Uint8Array): boolean {
  return head[0] === 0x08 && head[1] < 0x80;
}

const SIGNATURES = [
  ['a TensorFlow Lite model', 4, 'TFL3'],
  ['an HDF5 file', 0, '\x89HDF'],
  ['a zip archive', 0, 'PK\x03\x04'],
  ['gzip-compressed data', 0, '\x1f\x8b'],
  ['JSON', 0, '{'],
] as const;

/** Contents in which artefacts are written, beside ONNX. */
const WRITTEN: ReadonlyMap<string | null, ArtifactFormat> = new Map([
  ['a TensorFlow Lite model', 'tflite'],
  ['JSON', 'tfjs'],
]);

function describe(head: Uint8Array): string | null {
  const text = String.fromCharCode(...head);
  return SIGNATURES.find(([, offset, bytes]) => text.startsWith(bytes, offset))?.[0] ?? null;
}
