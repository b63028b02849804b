import { open, readFile, stat } from 'node:fs/promises';
import { dirname, join, posix, win32 } from 'node:path';
import { io } from '@tensorflow/tfjs-core';
import { elementCount } from './runner.js';

/** The input and output names of a graph with what they stand for. */
export interface Signature {
  readonly inputs?: Readonly<Record<string, SignatureEntry>>;
  readonly outputs?: Readonly<Record<string, SignatureEntry>>;
}

export interface SignatureEntry {
  readonly dtype?: string;
  readonly tensorShape?: {
    readonly dim?: readonly { readonly size: string | number }[];
    readonly unknownRank?: boolean;
  };
}

/**
 * A graph model from the disk: model.json, and beside it the files with the weights.
 *
 * @throws Error when a file is missing, too short or not what it should be
 */
export async function readGraphModel(file: string): Promise<io.ModelArtifacts & { signature?: Signature }> {
  const model = JSON.parse(await readFile(file, 'utf8')) as Partial<io.ModelJSON> | null;
  const { format = 'graph-model', modelTopology, weightsManifest } = model ?? {};
  if (format !== 'graph-model') throw new Error(`it is a ${format}, and only a graph-model can be run`);
  const nodes = (modelTopology as { node?: unknown } | undefined)?.node;
  if (!Array.isArray(nodes) || !Array.isArray(weightsManifest)) {
    throw new Error('it has no nodes in "modelTopology", or no "weightsManifest"');
  }
  return io.getModelArtifactsForJSON({ ...model, modelTopology, weightsManifest } as io.ModelJSON, async (manifest) => [
    io.getWeightSpecs(manifest),
    await readWeights(dirname(file), manifest),
  ]);
}

/** All files of weights one after the other. */
async function readWeights(folder: string, manifest: io.WeightsManifestConfig): Promise<ArrayBuffer> {
  const shards: Shard[] = [];
  for (const { paths, weights } of manifest) {
    const group: Shard[] = [];
    for (const path of paths) group.push({ path, length: await lengthOf(folder, path) });
    checkLength(group, weights);
    shards.push(...group);
  }
  const data = new Uint8Array(shards.reduce((sum, { length }) => sum + length, 0));
  let start = 0;
  for (const { path, length } of shards) {
    await readInto(join(folder, path), data.subarray(start, start + length));
    start += length;
  }
  return data.buffer;
}

/** One of the files that a group of weights is cut into, anywhere. */
interface Shard {
  readonly path: string;
  readonly length: number;
}

async function lengthOf(folder: string, path: string): Promise<number> {
  if (posix.isAbsolute(path) || win32.parse(path).root !== '' || path.split(/[\\/]/).includes('..')) {
    throw new Error(`its weights are said to lie in ${path}, and only files beside the model are read`);
  }
  const found = await stat(join(folder, path)).catch((cause: NodeJS.ErrnoException) => {
    const reason = cause.code === 'ENOENT' ? 'is not there' : `cannot be read (${cause.message})`;
    throw new Error(`its weights lie in ${path}, which ${reason}`, { cause });
  });
  if (!found.isFile()) throw new Error(`its weights are said to lie in ${path}, which is not a regular file`);
  return found.size;
}

function checkLength(group: readonly Shard[], weights: readonly io.WeightsManifestEntry[]): void {
  const needed = weights.reduce((sum, weight) => sum + byteLength(weight), 0);
  const length = group.reduce((sum, shard) => sum + shard.length, 0);
  if (length >= needed) return;
  // All but the last are equally long.
  const longest = Math.max(...group.map((shard) => shard.length));
  const short = group.find((shard) => shard.length < longest) ?? group.at(-1);
  throw new Error(`its weights need ${needed} bytes and there are ${length}; ${short?.path ?? 'no file'} is too short`);
}

/** At the least: how long texts are is said only where they lie. */
function byteLength({ shape, dtype, quantization }: io.WeightsManifestEntry): number {
  return elementCount(shape) * (BYTES_PER_ELEMENT[quantization?.dtype ?? dtype] ?? 0);
}

const BYTES_PER_ELEMENT: Readonly<Partial<Record<string, number>>> = {
  float32: 4,
  float16: 2,
  int32: 4,
  uint16: 2,
  uint8: 1,
  bool: 1,
  complex64: 8,
};

async function readInto(path: string, target: Uint8Array): Promise<void> {
  const handle = await open(path);
  try {
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await handle.read(target, done, target.length - done);
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
      done += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
