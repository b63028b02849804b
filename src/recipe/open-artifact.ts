import { statSync } from 'node:fs';
import { join } from 'node:path';
import { externalFiles } from '../exporters/onnx/index.js';
import { decodeMetadata } from '../formats/metadata.js';
import { readTfjsMetadata } from '../formats/tfjs/read-metadata.js';
import { readTfliteMetadata } from '../formats/tflite/read-metadata.js';
import { formatOf, load } from '../importers/index.js';
import type { Graph } from '../ir/graph.js';
import { type RuntimeName, runtimeOf } from '../runtime/runner.js';
import type { ArtifactFile } from './build-report.js';

/** A file of any format that is written, as far as judging it needs. */
export interface OpenArtifact extends ArtifactFile {
  readonly runtime: RuntimeName;
  /** Null for formats whose graphs are not read. */
  readonly graph: Graph | null;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Opens an artefact to judge it against the model that it was made from; a folder stands for the model.json in it.
 * @throws CompressError where the file cannot be read
 */
export function openArtifact(path: string, original: Graph): OpenArtifact {
  const file = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? join(path, 'model.json') : path;
  const format = formatOf(file) ?? 'onnx';
  const facts = { format, target: file, file, runtime: runtimeOf(format) };
  if (format === 'onnx') {
    const graph = load(file);
    return { ...facts, graph, metadata: graph.metadata, written: [file, ...externalFiles(graph)], channelsLast: [] };
  }
  const read = format === 'tflite' ? { ...readTfliteMetadata(file), files: [file] } : readTfjsMetadata(file);
  const channelsLast =
    decodeMetadata(read.metadata).channelsLast ??
    [...read.inputs, ...read.outputs].filter((info) => isMoved(original, info)).map(({ name }) => name);
  return { ...facts, graph: null, metadata: read.metadata, written: read.files, channelsLast };
}

/** For files that do not say it: whether the shape is the original's only with the channels moved. */
function isMoved(
  original: Graph,
  { name, shape }: { name: string; shape: readonly (number | null)[] | null },
): boolean {
  const wanted = original.type(name).shape;
  if (!shape || !wanted || wanted.length !== shape.length || shape.length < 3) return false;
  const fits = (sizes: readonly (number | null)[]) =>
    sizes.every((size, axis) => size === null || typeof wanted[axis] === 'string' || size === wanted[axis]);
  const [batch, ...rest] = shape;
  return !fits(shape) && fits([batch, rest[rest.length - 1], ...rest.slice(0, -1)]);
}
