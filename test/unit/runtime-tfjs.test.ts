import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memory } from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { CompressError } from '../../src/errors.js';
import { parseNpz } from '../../src/formats/npy.js';
import { type Runner, runtimeOf, type TensorData, type Tensors } from '../../src/runtime/runner.js';
import { openRunner } from '../../src/runtime/spawn.js';
import { loadTfjsModel } from '../../src/runtime/tfjs.js';
import { differenceTo } from '../corpus/reference.js';

const folder = mkdtempSync(join(tmpdir(), 'runtime-tfjs-test-'));
const opened: Runner[] = [];
afterAll(async () => {
  await Promise.all(opened.map((runner) => runner.close()));
  rmSync(folder, { recursive: true });
});

async function openFile(file: string): Promise<Runner> {
  const runner = await openRunner(file, { runtime: runtimeOf('tfjs'), threads: 2 });
  opened.push(runner);
  return runner;
}

type Json = Record<string, unknown>;

/** The smallest parts of a model.json. */
const shape = (...dims: number[]) => ({ dim: dims.map((size) => ({ size: String(size) })) });
const placeholder = (name: string, dims: number[], type = 'DT_FLOAT') => ({
  name,
  op: 'Placeholder',
  attr: { dtype: { type }, shape: { shape: shape(...dims) } },
});
const node = (name: string, op: string, input: string[], attr: Json = {}) => ({
  name,
  op,
  input,
  attr: { T: { type: 'DT_FLOAT' }, ...attr },
});
const constant = (name: string) => ({ name, op: 'Const', attr: { dtype: { type: 'DT_FLOAT' } } });
const text = (value: string) => ({ s: Buffer.from(value).toString('base64') });
const integers = (...values: number[]) => ({ list: { i: values.map(String) } });
const entry = (name: string, dims: number[], dtype = 'DT_FLOAT') => ({ name, dtype, tensorShape: shape(...dims) });

const topology = (nodes: unknown[]) => ({ node: nodes, versions: { producer: 1 } });

interface Parts {
  nodes: object[];
  weights?: Record<string, { dims: number[]; data: Float32Array }>;
  /** Where the bytes of all weights are cut. */
  cuts?: number[];
  signature?: object;
}

let models = 0;

/** Writes model.json and the files with its weights into a folder of their own. */
function write({ nodes, weights = {}, cuts = [], signature }: Parts): string {
  const place = join(folder, String(models++));
  mkdirSync(place);
  const bytes = Buffer.concat(Object.values(weights).map(({ data }) => Buffer.from(data.buffer)));
  const ends = [...cuts, bytes.length];
  const paths = ends.map((end, index) => {
    writeFileSync(join(place, `part${index}.bin`), bytes.subarray(ends[index - 1] ?? 0, end));
    return `part${index}.bin`;
  });
  const specs = Object.entries(weights).map(([name, { dims }]) => ({ name, shape: dims, dtype: 'float32' }));
  return writeJson(place, {
    format: 'graph-model',
    modelTopology: topology(nodes),
    weightsManifest: [{ paths, weights: specs }],
    signature,
  });
}

function writeJson(place: string, json: unknown): string {
  const file = join(place, 'model.json');
  writeFileSync(file, JSON.stringify(json));
  return file;
}

/** The product of `x` [rows,2] and a matrix of weights, plus others. */
function denseParts(rows: number, more: Partial<Parts> = {}): Parts {
  return {
    nodes: [
      placeholder('x', [rows, 2]),
      constant('w'),
      constant('b'),
      node('product', 'MatMul', ['x', 'w']),
      node('y', 'AddV2', ['product', 'b']),
    ],
    weights: {
      w: { dims: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      b: { dims: [2], data: Float32Array.of(10, 20) },
    },
    ...more,
  };
}

const signature = {
  inputs: { image: entry('x:0', [-1, 2]) },
  outputs: { mask: entry('y:0', [-1, 2]) },
};

function floats(dims: number[], ...values: number[]): TensorData {
  return { type: 'float32', dims, data: Float32Array.from(values) };
}

async function failure(promise: Promise<unknown>): Promise<CompressError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CompressError);
  return error as CompressError;
}

describe('a graph model', () => {
  it('goes by its signature, runs at any size of the open dimensions, and ends with close', async () => {
    const runner = await openFile(write(denseParts(-1, { signature })));
    expect(runner.info).toEqual({
      inputs: [{ name: 'image', type: 'float32', shape: ['', 2] }],
      outputs: [{ name: 'mask', type: 'float32', shape: ['', 2] }],
    });
    expect(await runner.run({ image: floats([1, 2], 1, 1) })).toEqual({ mask: floats([1, 2], 14, 26) });
    const two = floats([2, 2], 1, 0, 0, 1);
    expect((await runner.run({ image: two })).mask).toEqual(floats([2, 2], 11, 22, 13, 24));
    await runner.close();
    await expect(runner.run({ image: two })).rejects.toThrow(/is closed/);
  });

  it('without a signature goes by its nodes, and tells the rest from a run', async () => {
    const { info } = await openFile(write(denseParts(3)));
    expect(info).toEqual({
      inputs: [{ name: 'x', type: 'float32', shape: [3, 2] }],
      outputs: [{ name: 'y', type: 'float32', shape: [3, 2] }],
    });
    const open = await openFile(write(denseParts(-1)));
    expect(open.info.outputs).toEqual([{ name: 'y', type: 'unknown', shape: [] }]);
    expect((await open.run({ x: floats([1, 2], 1, 1) })).y).toEqual(floats([1, 2], 14, 26));
  });

  it('finds weights that are cut in the middle of a number', async () => {
    const runner = await openFile(write(denseParts(1, { cuts: [3, 7, 18] })));
    expect((await runner.run({ x: floats([1, 2], 1, 1) })).y).toEqual(floats([1, 2], 14, 26));
  });

  it('carries every element type that there is there and back, in several outputs', async () => {
    const runner = await openFile(
      write({
        nodes: [
          placeholder('number', [3], 'DT_INT32'),
          placeholder('truth', [3], 'DT_BOOL'),
          node('negative', 'Neg', ['number']),
          node('untruth', 'LogicalNot', ['truth']),
        ],
      }),
    );
    const outputs = await runner.run({
      truth: { type: 'bool', dims: [3], data: Uint8Array.of(0, 1, 0) },
      number: { type: 'int32', dims: [3], data: Int32Array.of(-5, 0, 7) },
    });
    expect(outputs).toEqual({
      negative: { type: 'int32', dims: [3], data: Int32Array.of(5, 0, -7) },
      untruth: { type: 'bool', dims: [3], data: Uint8Array.of(1, 0, 1) },
    });
    expect(runner.info.outputs.map(({ type }) => type)).toEqual(['int32', 'bool']);
  });

  it('is timed on inputs that stay as they are, and leaks no tensor', async () => {
    // Outputs are an input, a weight, and something new: only the last may be removed after a run.
    const outputs = { same: entry('x:0', [1, 2]), weight: entry('w:0', [2, 2]), sum: entry('y:0', [1, 2]) };
    const parts = denseParts(1, { signature: { inputs: { x: entry('x:0', [1, 2]) }, outputs } });
    const model = await loadTfjsModel(write(parts), 1);
    const inputs = { x: floats([1, 2], 1, 1) };
    const expected = { same: inputs.x, weight: floats([2, 2], 1, 2, 3, 4), sum: floats([1, 2], 14, 26) };
    const { numTensors } = memory();
    for (let round = 0; round < 100; round++) expect(await model.run(inputs)).toEqual(expected);
    await model.profile(inputs, 20, folder);
    expect(memory().numTensors).toBe(numTensors);
    for (let round = 0; round < 10; round++) {
      const repeat = model.repeatable(inputs);
      for (let run = 0; run < 10; run++) await repeat();
    }
    // Those of the last call are still kept.
    expect(memory().numTensors).toBe(numTensors + 1);
    const runner = await openFile(write(denseParts(1)));
    expect(await runner.time(inputs, { runs: 7 })).toHaveLength(7);
    expect((await runner.time(inputs, { milliseconds: 50 })).length).toBeGreaterThan(1);
    expect((await runner.memory()).rssBytes).toBeGreaterThan(20e6);
  });
});

it('a profile has the times of the nodes, each once', async () => {
  const attr = {
    strides: integers(1, 1, 1, 1),
    padding: text('SAME'),
    data_format: text('NHWC'),
    dilations: integers(1, 1, 1, 1),
    num_args: { i: '1' },
    fused_ops: { list: { s: [text('BiasAdd').s, text('Relu').s] } },
  };
  const runner = await openFile(
    write({
      nodes: [
        placeholder('x', [1, 128, 128, 32]),
        constant('w'),
        constant('b'),
        node('convolution', '_FusedConv2D', ['x', 'w', 'b'], attr),
        node('y', 'Sigmoid', ['convolution']),
      ],
      weights: {
        w: { dims: [3, 3, 32, 8], data: new Float32Array(2304).fill(0.01) },
        b: { dims: [8], data: new Float32Array(8) },
      },
    }),
  );
  const data = new Float32Array(128 * 128 * 32).fill(1);
  const start = performance.now();
  const { nodes, operators } = await runner.profile({ x: { type: 'float32', dims: [1, 128, 128, 32], data } }, 60);
  const elapsed = performance.now() - start;
  expect(nodes.map(({ node, op }) => [node, op]).sort()).toEqual([
    ['convolution', '_FusedConv2D'],
    ['y', 'Sigmoid'],
  ]);
  expect(operators).toHaveLength(2);
  expect(Math.min(...nodes.map(({ microseconds }) => microseconds))).toBeGreaterThan(0);
  // Means of single runs, in which the convolution is not counted twice: 60 of them had room in the time that all took.
  const sum = nodes.reduce((total, { microseconds }) => total + microseconds, 0);
  expect((sum * 60) / 1000).toBeLessThan(elapsed);
});

describe('what goes wrong is one sentence that names the file', () => {
  const manifest = [{ paths: [], weights: [] }];
  it.each<[string, unknown, RegExp]>([
    ['text that is no JSON', 'neither JSON nor anything else', /JSON/],
    ['null', null, /no nodes/],
    ['nothing in it', {}, /no nodes/],
    ['layers', { format: 'layers-model', modelTopology: {}, weightsManifest: [] }, /it is a layers-model/],
    ['nodes that are none', { modelTopology: topology([null]), weightsManifest: manifest }, /form of a graph model/],
    ['a manifest that is none', { modelTopology: topology([]), weightsManifest: [null] }, /form of a graph model/],
    [
      'nodes that take what is not there',
      { modelTopology: topology([node('y', 'Relu', ['x'])]), weightsManifest: manifest },
      /form of a graph model/,
    ],
    [
      'an operator that is not known',
      { modelTopology: topology([placeholder('x', [1]), node('y', 'Nonesuch', ['x'])]), weightsManifest: manifest },
      /Nonesuch/,
    ],
  ])('for a file with %s', async (_, json, message) => {
    const place = mkdtempSync(join(folder, 'bad-'));
    const file = typeof json === 'string' ? join(place, 'model.json') : writeJson(place, json);
    if (typeof json === 'string') writeFileSync(file, json);
    const error = await failure(openFile(file));
    expect(error.code).toBe('cannot-load');
    expect(error.where.file).toBe(file);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^TensorFlow\.js cannot load .*model\.json: .+; check that/);
  });

  it('for files of weights that are missing, too short, elsewhere or no files', async () => {
    const missing = write(denseParts(1, { cuts: [8] }));
    rmSync(join(missing, '..', 'part1.bin'));
    const short = write(denseParts(1, { cuts: [8, 16] }));
    writeFileSync(join(short, '..', 'part1.bin'), Buffer.alloc(5));
    const last = write(denseParts(1, { cuts: [16] }));
    writeFileSync(join(last, '..', 'part1.bin'), Buffer.alloc(5));
    const directory = write(denseParts(1));
    rmSync(join(directory, '..', 'part0.bin'));
    mkdirSync(join(directory, '..', 'part0.bin'));
    const pointing = (path: string) => {
      const file = write(denseParts(1));
      writeFileSync(file, readFileSync(file, 'utf8').replace('part0.bin', path));
      return file;
    };
    const cases: [string, RegExp][] = [
      [missing, /part1\.bin, which is not there/],
      [short, /need 24 bytes and there are 21; .*part1\.bin is too short/],
      [last, /need 24 bytes and there are 21; .*part1\.bin is too short/],
      [directory, /part0\.bin, which is not a regular file/],
      [pointing('../part0.bin'), /\.\.\/part0\.bin.* only files beside the model are read/],
      [pointing('/etc/hostname'), /\/etc\/hostname.* only files beside the model are read/],
    ];
    for (const [file, message] of cases) {
      const error = await failure(openFile(file));
      expect(error.code).toBe('cannot-load');
      expect(error.message).toMatch(message);
    }
  });

  it('for inputs that do not fit, and for runs that fail, after which the runner still works', async () => {
    const runner = await openFile(write(denseParts(-1, { signature })));
    const cases: [Tensors, RegExp][] = [
      [{}, /input image is missing/],
      [{ image: floats([1, 3], 1, 2, 3) }, /must have the shape \[, 2\]/],
      [{ image: { type: 'int32', dims: [1, 2], data: Int32Array.of(1, 2) } }, /must be float32, not int32/],
    ];
    for (const [inputs, message] of cases) {
      const error = await failure(runner.run(inputs));
      expect(error.code).toBe('bad-model-input');
      expect(error.message).toMatch(message);
    }
    const unequal = await openFile(
      write({ nodes: [placeholder('a', [-1]), placeholder('b', [-1]), node('y', 'AddV2', ['a', 'b'])] }),
    );
    const error = await failure(unequal.run({ a: floats([2], 1, 2), b: floats([3], 1, 2, 3) }));
    expect(error.code).toBe('cannot-run');
    expect((await unequal.run({ a: floats([1], 1), b: floats([1], 2) })).y.data).toEqual(Float32Array.of(3));
  });
});

const corpus = process.env.COMPRESS_CORPUS;

it.skipIf(corpus === undefined)('a trained network agrees with another backend', async () => {
  const place = join(corpus ?? '', 'models', 'real', 'selfie-256-graph');
  const arrays = parseNpz(readFileSync(join(place, 'model.io.npz')), 'model.io.npz');
  const [input, output, stride] = ['x', 'y', 'y_stride'].map((key) => arrays.get(key)!);
  const runner = await openFile(join(place, 'model.json'));
  expect(runner.info.inputs).toEqual([{ name: 'input_1:0', type: 'float32', shape: [1, 256, 256, 3] }]);
  const given = {
    'input_1:0': { type: 'float32', dims: input.shape, data: Float32Array.from(input.data) } as TensorData,
  };
  const { 'activation_10:0': mask } = await runner.run(given);
  const reference = { input, output, strides: stride?.data ?? output.shape.map(() => 1) };
  expect(differenceTo(reference, { shape: mask.dims, data: mask.data as Float32Array })).toBeLessThan(1e-4);
  const { operators, nodes } = await runner.profile(given, 5);
  expect(operators.map(({ op }) => op)).toContain('Conv2DBackpropInput');
  expect(nodes.find(({ node }) => node === 'segment')?.op).toBe('Conv2DBackpropInput');
});
