import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ByteBuffer } from 'flatbuffers';
import { afterAll, expect, it } from 'vitest';
import { encodeTfliteGraph, exportTflite, sizeOfTflite } from '../../src/exporters/tflite/index.js';
import { FlatTable } from '../../src/formats/flat-table.js';
import { encodeMetadata, METADATA_KEY } from '../../src/formats/metadata.js';
import { readTfliteMetadata } from '../../src/formats/tflite/read-metadata.js';
import { BUFFER, MODEL, OPERATOR_CODE, SUBGRAPH, TENSOR } from '../../src/formats/tflite/schema.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { runInFormat } from '../support/run-formats.js';
import { largestDifference, runGraph } from '../support/run-graph.js';

const folder = mkdtempSync(join(tmpdir(), 'tflite-export-'));
afterAll(() => rmSync(folder, { recursive: true }));

const random = createRandom(3);
const normal = (...shape: number[]) =>
  Tensor.floats(
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    shape,
  );

/** Two inputs and two outputs, of which one is the other's source; names as TensorFlow and PyTorch give them. */
function graphOf(weight = normal(5, 3, 3, 3)): Graph {
  const builder = new GraphBuilder(semantics, {
    name: 'two',
    metadata: new Map([
      [
        METADATA_KEY,
        encodeMetadata({
          preprocess: { channels: 'rgb', scale: 1 / 255, mean: [0.5], std: [0.25] },
          output: { kind: 'logit' },
        }),
      ],
      ['author', 'nobody, ünïcode'],
    ]),
  });
  builder.input('serving:0', { dtype: 'f32', shape: [1, 3, 8, 6] });
  builder.input('other/input', { dtype: 'f32', shape: [1, 4, 7] });
  builder.constant('w', weight);
  if (weight.dtype === 'f16')
    builder.add({ op: 'Cast', name: 'widen', inputs: ['w'], outputs: ['v'], attributes: { to: 1 } });
  const filter = weight.dtype === 'f16' ? 'v' : 'w';
  const first = builder.apply('Conv', ['serving:0', filter], { pads: [1, 1, 1, 1] }, 'first');
  const second = builder.apply('MaxPool', [first], { kernel_shape: [2, 2], strides: [2, 2] }, 'second');
  const third = builder.apply('MaxPool', ['other/input'], { kernel_shape: [3], strides: [2] }, 'third');
  return builder.build([first, second, third]);
}

it('says what the graph says, in LiteRT', async () => {
  const graph = graphOf();
  const { outputs, fullyDelegated } = await runInFormat(graph, 'tflite');
  expect(largestDifference(await runGraph(graph), outputs)).toBeLessThan(1e-6);
  expect(fullyDelegated).toBe(true);
  const channelsFirst = await runInFormat(graph, 'tflite', { layout: 'nchw' });
  expect(largestDifference(await runGraph(graph), channelsFirst.outputs)).toBeLessThan(1e-6);
});

it('stores halves once and widens them in the file', async () => {
  const single = graphOf();
  const values = single.constants.get('w')?.toFloat32() ?? [];
  const half = graphOf(Tensor.encode('f16', [5, 3, 3, 3], values));
  const { outputs } = await runInFormat(half, 'tflite');
  expect(largestDifference(await runGraph(half), outputs)).toBeLessThan(1e-6);
  expect(largestDifference(await runGraph(single), outputs)).toBeLessThan(2e-3);
});

it('is read back: names, shapes, texts, and what tools of TensorFlow Lite look for', async () => {
  const path = join(folder, 'read.tflite');
  const graph = graphOf();
  expect(await exportTflite(graph, path)).toEqual([path]);
  const { metadata, inputs, outputs } = readTfliteMetadata(path);
  expect(metadata).toEqual(graph.metadata);
  expect(inputs).toEqual([
    { name: 'serving:0', shape: [1, 8, 6, 3] },
    { name: 'other/input', shape: [1, 7, 4] },
  ]);
  expect(outputs).toEqual([
    { name: 'first', shape: [1, 8, 6, 5] },
    { name: 'second', shape: [1, 4, 3, 5] },
    { name: 'third', shape: [1, 3, 4] },
  ]);
});

it('puts weights at multiples of 16 bytes, behind a structure that readers of flatbuffers take', () => {
  const bytes = encodeTfliteGraph(graphOf());
  const buffer = new ByteBuffer(bytes);
  expect(new TextDecoder().decode(bytes.subarray(4, 8))).toBe('TFL3');
  expect(buffer.readInt32(buffer.position())).toBeGreaterThan(0);
  const root = FlatTable.root(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const buffers = root.tables(MODEL.buffers);
  expect(buffers[0].vector(BUFFER.data, 1).length).toBe(0);
  for (const one of buffers.slice(1)) expect(one.vector(BUFFER.data, 1).start % 16).toBe(0);
  const codes = root
    .tables(MODEL.operatorCodes)
    .map((code) => [
      code.value(OPERATOR_CODE.deprecatedCode, (view, at) => view.getInt8(at), 0),
      code.value(OPERATOR_CODE.code, (view, at) => view.getInt32(at, true), 0),
    ]);
  expect(codes.every(([old, code]) => old === code)).toBe(true);
  const [subgraph] = root.tables(MODEL.subgraphs);
  const filter = subgraph.tables(SUBGRAPH.tensors).find((tensor) => tensor.integers(TENSOR.shape).join() === '5,3,3,3');
  expect(filter).toBeDefined();
});

it('gives the same bytes twice, as many as it says before', () => {
  expect(encodeTfliteGraph(graphOf(normal(5, 3, 3, 3)))).not.toEqual(encodeTfliteGraph(graphOf()));
  const graph = graphOf();
  expect(encodeTfliteGraph(graph)).toEqual(encodeTfliteGraph(graph));
  expect(sizeOfTflite(graph)).toBe(encodeTfliteGraph(graph).length);
});

it('refuses a file of 2 GiB before it writes anything', async () => {
  const shape = [2 ** 20, 512, 1, 1];
  const huge = { length: 2 ** 31, read: () => new Uint8Array(), readInto: () => {} };
  const builder = new GraphBuilder(semantics);
  builder.input('x', { dtype: 'f32', shape: [1, 512, 4, 4] });
  builder.constant('w', Tensor.over('f32', shape, huge));
  const graph = builder.build([builder.apply('Conv', ['x', 'w'], {}, 'y')]);
  await expect(exportTflite(graph, join(folder, 'huge.tflite'))).rejects.toThrow(/less than 2 GiB.*--fp16/);
  expect(readdirSync(folder)).not.toContain('huge.tflite');
});

it('names the input whose shape is open, and how to state it', () => {
  const builder = new GraphBuilder(semantics);
  builder.input('image', { dtype: 'f32', shape: [1, 3, 'h', 'w'] });
  const graph = builder.build([builder.apply('MaxPool', ['image'], { kernel_shape: [2, 2] }, 'y')]);
  expect(() => encodeTfliteGraph(graph)).toThrow(
    /input 'image' has the shape \[1, 3, h, w\].*--input-shape image=1,3,256,256/,
  );
});

it('reads damaged files without trouble', () => {
  const bytes = encodeTfliteGraph(graphOf());
  const path = join(folder, 'damaged.tflite');
  for (let i = 0; i < 300; i++) {
    const damaged = bytes.slice(0, i % 3 === 0 ? random.integer(bytes.length) : bytes.length);
    for (let k = 0; k < 4 && damaged.length > 0; k++)
      damaged[random.integer(Math.min(damaged.length, 3000))] = random.integer(256);
    writeFileSync(path, damaged);
    try {
      readTfliteMetadata(path);
    } catch (error) {
      expect((error as Error).message).toMatch(/^\S+damaged\.tflite is not a valid model: /);
    }
  }
});
