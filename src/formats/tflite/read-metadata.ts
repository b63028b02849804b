import { notAModel } from '../../errors.js';
import { fileBytes } from '../bytes.js';
import { FlatTable } from '../flat-table.js';
import { BUFFER, METADATA, MODEL, SIGNATURE, SIGNATURE_ENTRY, SUBGRAPH, TENSOR } from './schema.js';
import { TOOL_METADATA_NAME } from './tool-metadata.js';

/** An input or output by its name in the signature, or that of the tensor where there is none. */
interface TfliteValueInfo {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface TfliteMetadata {
  /** The texts that stand beside the graph. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly inputs: readonly TfliteValueInfo[];
  readonly outputs: readonly TfliteValueInfo[];
}

/** More axes, and more entries of metadata, than any file has for a good reason. */
const MOST_AXES = 32;
const MOST_ENTRIES = 1000;

/**
 * What a TFLite file says of itself.
 * @throws CompressError when the file cannot be read or is not in the form of a TFLite file
 */
export function readTfliteMetadata(file: string): TfliteMetadata {
  const source = fileBytes(file);
  try {
    const bytes = source.read(0, source.length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return readRoot(file, view);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw notAModel(file, 'a reference in it leads outside');
  } finally {
    source.close();
  }
}

function readRoot(file: string, view: DataView): TfliteMetadata {
  const root = FlatTable.root(view);
  const [subgraph] = root.tables(MODEL.subgraphs);
  if (!subgraph) throw notAModel(file, 'it has no graph');
  const tensors = subgraph.tables(SUBGRAPH.tensors);
  const [signature] = root.tables(MODEL.signatures);
  const infoOf = (name: string | undefined, index: number): TfliteValueInfo => {
    const tensor = tensors[index];
    if (!tensor) throw notAModel(file, `it has no tensor number ${index}`);
    const shape = tensor.integers(TENSOR.shape);
    if (shape.length > MOST_AXES) throw notAModel(file, `tensor number ${index} has ${shape.length} axes`);
    return { name: name ?? tensor.text(TENSOR.name), shape };
  };
  const infos = (ofSignature: number, ofGraph: number) => {
    const entries = signature?.tables(ofSignature) ?? [];
    if (entries.length === 0) return subgraph.integers(ofGraph).map((index) => infoOf(undefined, index));
    return entries.map((entry) => {
      const index = entry.value(SIGNATURE_ENTRY.tensor, (at, position) => at.getUint32(position, true), 0);
      return infoOf(entry.text(SIGNATURE_ENTRY.name), index);
    });
  };
  return {
    metadata: textsOf(root, view),
    inputs: infos(SIGNATURE.inputs, SUBGRAPH.inputs),
    outputs: infos(SIGNATURE.outputs, SUBGRAPH.outputs),
  };
}

function textsOf(root: FlatTable, view: DataView): Map<string, string> {
  const buffers = root.tables(MODEL.buffers);
  const texts = new Map<string, string>();
  for (const entry of root.tables(MODEL.metadata).slice(0, MOST_ENTRIES)) {
    const buffer = buffers[entry.value(METADATA.buffer, (at, position) => at.getUint32(position, true), 0)];
    const name = entry.text(METADATA.name);
    if (!buffer || name === TOOL_METADATA_NAME) continue;
    const { start, length } = buffer.vector(BUFFER.data, 1);
    const bytes = new Uint8Array(view.buffer, view.byteOffset + start, length);
    const text = decoded(bytes);
    if (text !== null) texts.set(name, text);
  }
  return texts;
}

/** Other tools keep tables of their own there. */
function decoded(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}
