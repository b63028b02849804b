import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  joinParts,
  type LazyPart,
  moveFiles,
  type Part,
  removeWhenEnded,
  totalLength,
  writeAtomically,
  writeFailure,
} from '../files.js';
import { dataType, shapeOf, type TfjsInterface, type TfjsModel, type TfjsWeight } from './model.js';

const MODEL_FILE = 'model.json';

/** Names of the files that weights lie in. */
export const SHARD_NAME = /^group1-shard\d+of\d+\.bin$/;

/** Browsers keep files of this size in their cache. */
const SHARD = 4 * 1024 * 1024;

/**
 * Writes a graph model into a folder, which is made where it is not there: model.json and the weights in files of
 * 4 MiB. All files take their names when the last one is written, model.json after the others, over those of the same
 * names; nothing is left of a failure. Weights go through memory one piece at a time.
 *
 * @returns the files written, model.json first
 * @throws CompressError when a file cannot be written
 */
export async function writeTfjs(folder: string, model: TfjsModel): Promise<string[]> {
  const isNew = await makeFolder(folder);
  const draft = await mkdtemp(join(folder, '.unfinished-')).catch((cause) => {
    throw writeFailure(folder, cause);
  });
  const unfinished = isNew ? folder : draft;
  const forget = removeWhenEnded(unfinished);
  try {
    const files = filesOf(model);
    // One after the other: the shards share one stream of weights.
    for (const { name, content } of files) await writeAtomically(join(draft, name), (sink) => sink.write(content));
    const names = files.map(({ name }) => name);
    await moveFiles(names.toReversed().map((name) => ({ from: join(draft, name), to: join(folder, name) })));
    await rm(draft, { recursive: true, force: true });
    return names.map((name) => join(folder, name));
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  } finally {
    forget();
  }
}

/** The files that `writeTfjs` writes, by name, in memory. */
export function encodeTfjs(model: TfjsModel): Map<string, Uint8Array> {
  return new Map(filesOf(model).map(({ name, content }) => [name, joinParts([content])]));
}

/** Bytes of all files that `writeTfjs` writes. */
export function sizeOfTfjsModel(model: TfjsModel): number {
  return totalLength(filesOf(model).map(({ content }) => content));
}

/** @returns whether it was not there before */
async function makeFolder(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (cause) {
    const failure = cause as NodeJS.ErrnoException;
    if (failure.code === 'EEXIST') return false;
    throw writeFailure(folder, failure);
  }
}

interface NamedFile {
  readonly name: string;
  readonly content: Part;
}

/** model.json first; contents can be produced once, in this order. */
function filesOf(model: TfjsModel): NamedFile[] {
  const shards = cutWeights(model.weights);
  const json = modelJson(
    model,
    shards.map(({ name }) => name),
  );
  return [{ name: MODEL_FILE, content: new TextEncoder().encode(JSON.stringify(json)) }, ...shards];
}

function modelJson({ generatedBy, inputs, outputs, nodes, weights, metadata }: TfjsModel, paths: readonly string[]) {
  return {
    format: 'graph-model',
    generatedBy,
    convertedBy: generatedBy,
    signature: { inputs: signatureOf(inputs), outputs: signatureOf(outputs) },
    userDefinedMetadata: Object.fromEntries(metadata),
    modelTopology: { node: nodes, library: {}, versions: { producer: PRODUCER } },
    weightsManifest: [{ paths, weights: weights.map(manifestEntry) }],
  };
}

/** The version of TensorFlow's graphs in which all operators that are written have their present meaning. */
const PRODUCER = 1395;

function signatureOf(values: readonly TfjsInterface[]) {
  const entries = values.map(({ name, node, dtype, shape }) => [
    name,
    { name: `${node}:0`, dtype: dataType(dtype), tensorShape: shapeOf(shape) },
  ]);
  return Object.fromEntries(entries);
}

function manifestEntry({ name, shape, dtype, isHalf }: TfjsWeight) {
  const entry = { name, shape, dtype };
  return isHalf ? { ...entry, quantization: { dtype: 'float16', original_dtype: dtype } } : entry;
}

/** The weights one after the other, cut anywhere. */
function cutWeights(weights: readonly TfjsWeight[]): NamedFile[] {
  const parts = weights.map(({ data }) => data);
  const total = totalLength(parts);
  const count = Math.ceil(total / SHARD);
  const stream = new ByteStream(parts);
  return Array.from({ length: count }, (_, i) => ({
    name: `group1-shard${i + 1}of${count}.bin`,
    content: stream.next(Math.min(SHARD, total - i * SHARD)),
  }));
}

/** Hands out the bytes of parts in stretches of other lengths. */
class ByteStream {
  private readonly pieces: Iterator<Uint8Array>;
  private rest = new Uint8Array(0);

  constructor(parts: readonly Part[]) {
    this.pieces = piecesOf(parts);
  }

  /** The bytes after those of the call before; produced once, in the order of the calls. */
  next(length: number): LazyPart {
    return { length, produce: () => this.take(length) };
  }

  private *take(length: number): Generator<Uint8Array> {
    for (let left = length; left > 0; ) {
      if (this.rest.length === 0) this.rest = this.pieces.next().value;
      const piece = this.rest.subarray(0, left);
      this.rest = this.rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }
}

function* piecesOf(parts: readonly Part[]): Generator<Uint8Array> {
  for (const part of parts) {
    const produced = part instanceof Uint8Array ? part : part.produce();
    if (produced instanceof Uint8Array) yield produced;
    else yield* produced;
  }
}
