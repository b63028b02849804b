import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { type OpenEngine, openEngine } from '../../src/recipe/engine.js';
import { Net } from '../support/patterns-net.js';

let folder: string;
let engine: OpenEngine;

// A temporary folder of this file's own, so that what is left in it is the engine's.
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'engine-test-'));
  vi.stubEnv('TMPDIR', folder);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  engine = await openEngine({ threads: 1 });
});

afterEach(() => engine.close());

/** The runtime itself leaves other files in the temporary folder. */
const ownFolders = () => readdirSync(folder).filter((name) => name.startsWith('unet-compress-'));

function unet(): Graph {
  const net = new Net('engine', 3);
  const skip = net.block(net.input([1, 2, 24, 24]), 16);
  const deep = net.up(net.block(net.maxPool(skip), 32), 16);
  return net.build(net.conv(net.block(net.concat(skip, deep), 16), 1, { kernel: 1 }));
}

const image = () =>
  Tensor.floats(
    Float32Array.from({ length: 2 * 24 * 24 }, (_, i) => Math.sin(i)),
    [1, 2, 24, 24],
  );

test('runs a graph and returns its outputs by name, in their own types', async () => {
  const net = new Net('types');
  const x = net.input([1, 2, 3, 3]);
  const sum = net.op('Add', [x, x]);
  const shape = net.op('Shape', [x]);
  const loaded = await engine.load(net.build(sum, shape));
  const values = Tensor.floats(
    Float32Array.from({ length: 18 }, (_, i) => i / 4),
    [1, 2, 3, 3],
  );
  const outputs = await loaded.run(new Map([['x', values]]));
  expect([...(outputs.get(sum)?.toFloat64() ?? [])]).toEqual(Array.from({ length: 18 }, (_, i) => i / 2));
  expect(outputs.get(shape)?.dtype).toBe('i64');
  expect([...(outputs.get(shape)?.toFloat64() ?? [])]).toEqual([1, 2, 3, 3]);
});

test('the number of threads does not change a bit', async () => {
  const other = await openEngine({ threads: 2 });
  try {
    const runs = await Promise.all(
      [engine, other].map(async (which) => (await which.load(unet())).run(new Map([['x', image()]]))),
    );
    const [one, two] = runs.map((outputs) => [...outputs.values()][0].toBytes());
    expect(two).toEqual(one);
  } finally {
    await other.close();
  }
});

test('what is put on a shelf comes back equal, in any order, also after the shelf was cleared and filled anew', () => {
  const shelf = engine.shelf();
  const tensors = [3, 70_000, 1].map((count, k) =>
    Tensor.floats(Float32Array.from({ length: count }, (_, i) => i + k / 8)),
  );
  const check = () => {
    const stored = tensors.map((tensor) => shelf.put(tensor));
    for (const k of [2, 0, 1]) {
      expect(stored[k].shape).toEqual(tensors[k].shape);
      expect(Buffer.compare(stored[k].toBytes(), tensors[k].toBytes())).toBe(0);
    }
  };
  check();
  shelf.clear();
  check();
});

test('closing removes the temporary files and ends the processes', async () => {
  const loaded = await engine.load(unet());
  engine.shelf().put(image());
  expect(ownFolders()).toHaveLength(1);
  await engine.close();
  expect(ownFolders()).toEqual([]);
  await expect(loaded.run(new Map([['x', image()]]))).rejects.toThrow('closed');
});
