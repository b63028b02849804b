import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { CompressError } from '../../src/errors.js';
import { parseNpz } from '../../src/formats/npy.js';
import { type Runner, runtimeOf, type TensorData, type Tensors } from '../../src/runtime/runner.js';
import { openRunner } from '../../src/runtime/spawn.js';
import { cutOperators } from '../../src/runtime/tflite-operators.js';
import { differenceTo } from '../corpus/reference.js';
import {
  addGraph,
  convGraph,
  OPERATORS,
  reshapeGraph,
  type TinyGraph,
  TYPES,
  tfliteFile,
} from '../support/tiny-tflite.js';

const folder = mkdtempSync(join(tmpdir(), 'runtime-litert-test-'));
const opened: Runner[] = [];
afterAll(async () => {
  await Promise.all(opened.map((runner) => runner.close()));
  rmSync(folder, { recursive: true });
});

async function openFile(file: string, timeoutMs?: number): Promise<Runner> {
  const runner = await openRunner(file, { runtime: runtimeOf('tflite'), threads: 2, timeoutMs });
  opened.push(runner);
  return runner;
}

let files = 0;
function write(content: Uint8Array | TinyGraph): string {
  const file = join(folder, `${files++}.tflite`);
  writeFileSync(file, content instanceof Uint8Array ? content : tfliteFile(content));
  return file;
}

const open = (content: Uint8Array | TinyGraph) => openFile(write(content));

function ones(...dims: number[]): TensorData {
  return { type: 'float32', dims, data: new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(1) };
}

async function failure(promise: Promise<unknown>): Promise<CompressError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CompressError);
  return error as CompressError;
}

/** Elements of a table of three, by their places. */
const gatherGraph: TinyGraph = {
  tensors: [
    { name: 'table', shape: [3], data: Float32Array.of(10, 11, 12) },
    { name: 'index', shape: [2], type: TYPES.int32 },
    { name: 'y', shape: [2] },
  ],
  operators: [{ code: OPERATORS.GATHER, inputs: [0, 1], outputs: [2], options: { type: 23, fields: [['int32', 0]] } }],
  inputs: [1],
  outputs: [2],
};

describe('a TFLite file', () => {
  it('tells its interface by tensor names, runs, and ends with close', async () => {
    const runner = await open(convGraph(2, 3));
    expect(runner.info).toEqual({
      inputs: [{ name: 'x', type: 'float32', shape: [1, 2, 3, 1] }],
      outputs: [{ name: 'y', type: 'float32', shape: [1, 2, 3, 1] }],
      fullyDelegated: true,
    });
    const { y } = await runner.run({ x: ones(1, 2, 3, 1) });
    expect(y).toEqual({ type: 'float32', dims: [1, 2, 3, 1], data: Float32Array.of(4.5, 6.5, 4.5, 4.5, 6.5, 4.5) });
    await runner.close();
    await expect(runner.run({ x: ones(1, 2, 3, 1) })).rejects.toThrow(/is closed/);
  });

  it('goes by the names of its signature, which may be in another order than its graph', async () => {
    const sum = addGraph([2], [2]);
    sum.tensors[1].shape = [1];
    const runner = await open({ ...sum, signature: { inputs: ['left', 'right'], outputs: ['sum'] } });
    expect(runner.info.inputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['left', [2]],
      ['right', [1]],
    ]);
    const { sum: result } = await runner.run({
      right: { type: 'float32', dims: [1], data: Float32Array.of(10) },
      left: { type: 'float32', dims: [2], data: Float32Array.of(1, 2) },
    });
    expect(result.data).toEqual(Float32Array.of(11, 12));
  });

  it('carries every element type there and back', async () => {
    const inputs: Record<string, TensorData> = {
      in_float32: { type: 'float32', dims: [2, 3], data: Float32Array.of(1.5, -0, 3e38, Number.NaN, 1e-40, Infinity) },
      in_float16: { type: 'float16', dims: [2, 3], data: Uint16Array.of(0x3c00, 0x8000, 0x7bff, 1, 0x7c00, 0x3555) },
      in_int32: { type: 'int32', dims: [2, 3], data: Int32Array.of(-(2 ** 31), -1, 0, 1, 2, 2 ** 31 - 1) },
      in_uint8: { type: 'uint8', dims: [2, 3], data: Uint8Array.of(0, 1, 127, 128, 254, 255) },
      in_int64: { type: 'int64', dims: [2, 3], data: BigInt64Array.of(-(2n ** 63n), -1n, 0n, 1n, 2n, 2n ** 63n - 1n) },
      in_bool: { type: 'bool', dims: [2, 3], data: Uint8Array.of(0, 1, 1, 0, 0, 1) },
      in_int16: { type: 'int16', dims: [2, 3], data: Int16Array.of(-32768, -1, 0, 1, 2, 32767) },
      in_int8: { type: 'int8', dims: [2, 3], data: Int8Array.of(-128, -1, 0, 1, 2, 127) },
    };
    const types = Object.values(inputs).map(({ type }) => type as keyof typeof TYPES);
    const runner = await open(reshapeGraph(types));
    const outputs = await runner.run(inputs);
    for (const type of types) expect(outputs[`out_${type}`], type).toEqual({ ...inputs[`in_${type}`], dims: [3, 2] });
  });

  it('is timed on inputs that stay as they are, and leaks nothing', async () => {
    const runner = await open(convGraph(512, 512));
    const inputs = { x: ones(1, 512, 512, 1) };
    const bytes = async () => Buffer.from((await runner.run(inputs)).y.data.buffer);
    const before = await bytes();
    const rounds = async (count: number) => {
      expect(await runner.time(inputs, { runs: count })).toHaveLength(count);
      for (let round = 0; round < count; round++) await runner.time({ ...inputs }, { runs: 1 });
      for (let round = 0; round < count; round++) expect(before.equals(await bytes())).toBe(true);
    };
    await rounds(20);
    const { rssBytes } = await runner.memory();
    await rounds(150);
    // Each input and each output is 1 MiB.
    expect((await runner.memory()).rssBytes - rssBytes).toBeLessThan(100e6);
    const times = await runner.time(inputs, { milliseconds: 100 });
    expect(times.length).toBeGreaterThan(1);
    expect(Math.min(...times)).toBeGreaterThan(0);
  });
});

describe('a profile', () => {
  it('times each operator alone, with those that unpack its weights', async () => {
    const graph = convGraph(256, 256, { half: true });
    graph.tensors.push({ name: 'z', shape: [1, 256, 256, 1] });
    graph.operators.push({ ...addGraph([1], [1]).operators[0], inputs: [3, 3], outputs: [5] });
    const runner = await open({ ...graph, outputs: [5], signature: { inputs: ['image'], outputs: ['mask'] } });
    const start = performance.now();
    const { nodes, operators } = await runner.profile({ image: ones(1, 256, 256, 1) }, 20);
    const elapsed = performance.now() - start;
    expect(nodes.map(({ node, op }) => [node, op]).sort()).toEqual([
      ['y', 'CONV_2D'],
      ['z', 'ADD'],
    ]);
    expect(operators).toHaveLength(2);
    // Means of single runs, not sums: 20 times they had room in the time that all took.
    const sum = nodes.reduce((total, { microseconds }) => total + microseconds, 0);
    expect(Math.min(...nodes.map(({ microseconds }) => microseconds))).toBeGreaterThan(0);
    expect((sum * 20) / 1000).toBeLessThan(elapsed);
    // The model itself is as it was.
    expect((await runner.run({ image: ones(1, 256, 256, 1) })).mask.data[0]).toBe(9);
  });

  it('leaves out an operator that cannot run alone', async () => {
    const int32 = { shape: [2], type: TYPES.int32 };
    const { options } = gatherGraph.operators[0];
    const runner = await open({
      tensors: [
        { name: 'table', shape: [1], data: Float32Array.of(10) },
        { name: 'index', ...int32 },
        { name: 'zero', ...int32, data: Int32Array.of(0, 0) },
        { name: 'corrected', ...int32 },
        { name: 'y', shape: [2] },
      ],
      operators: [
        { ...addGraph([1], [1]).operators[0], inputs: [1, 2], outputs: [3] },
        // Alone it is given places that its table does not have.
        { code: OPERATORS.GATHER, inputs: [0, 3], outputs: [4], options },
      ],
      inputs: [1],
      outputs: [4],
    });
    const { nodes } = await runner.profile({ index: { type: 'int32', dims: [2], data: Int32Array.of(0, 0) } }, 3);
    expect(nodes.map(({ node }) => node)).toEqual(['corrected']);
  });
});

describe('what goes wrong is one sentence that names the file', () => {
  it.each([
    ['bytes that are no model', Buffer.from('neither a flatbuffer nor anything else')],
    ['an empty file', new Uint8Array()],
    ['a file cut in the middle', tfliteFile(convGraph(4, 4)).slice(0, 500)],
    ['a file without its last bytes', tfliteFile(convGraph(4, 4)).slice(0, -16)],
  ])('for %s', async (_, content) => {
    const file = write(new Uint8Array(content));
    const error = await failure(openFile(file));
    expect(error.code).toBe('cannot-load');
    expect(error.where.file).toBe(file);
    expect(error.message).toMatch(/^LiteRT cannot load .*\.tflite: .+; check that/);
  });

  it('where LiteRT itself would return zeros', async () => {
    const int8 = (name: string, size: number, scale: number) => ({
      name,
      shape: [size],
      type: TYPES.int8,
      quantization: { scale, zeroPoint: 0 },
    });
    const unknown = addGraph([2], [2]);
    Object.assign(unknown.operators[0], { code: OPERATORS.CUSTOM, customName: 'Nonesuch', options: undefined });
    const cases: [TinyGraph, RegExp][] = [
      [addGraph([2, 3], [2, 4]), /prepare/],
      [unknown, /unresolved custom op: Nonesuch/],
      [
        {
          tensors: [int8('a', 4, 0.1), int8('b', 4, 0.2), int8('y', 8, 0.1)],
          operators: [
            {
              code: OPERATORS.CONCATENATION,
              version: 2,
              inputs: [0, 1],
              outputs: [2],
              options: { type: 10, fields: [['int32', 0]] },
            },
          ],
          inputs: [0, 1],
          outputs: [2],
        },
        /CONCATENATION/,
      ],
    ];
    for (const [graph, message] of cases) {
      const error = await failure(open(graph));
      expect(error.code).toBe('cannot-load');
      expect(error.message).toMatch(message);
    }
  });

  it('where a run fails, after which the next one does not', async () => {
    const runner = await open(gatherGraph);
    const at = (...places: number[]): Tensors => ({
      index: { type: 'int32', dims: [2], data: Int32Array.from(places) },
    });
    const error = await failure(runner.run(at(0, 99)));
    expect(error.code).toBe('cannot-run');
    expect(error.message).toMatch(/index/);
    expect((await failure(runner.time(at(0, 99), { runs: 1 }))).code).toBe('cannot-run');
    expect((await runner.run(at(2, 1))).y.data).toEqual(Float32Array.of(12, 11));
  });

  it('for element types that cannot be passed, and names that say nothing', async () => {
    expect((await failure(open(reshapeGraph(['string'])))).message).toMatch(/in_string has the element type/);
    const twins = addGraph([2], [2]);
    twins.tensors[1].name = 'a';
    expect((await failure(open(twins))).message).toMatch(/two of its inputs.* are called 'a'/);
  });

  it('for inputs that do not fit', async () => {
    const runner = await open(convGraph(4, 4));
    const cases: [Tensors, RegExp][] = [
      [{}, /input x is missing/],
      [{ x: ones(1, 4, 4, 1), mask: ones(1) }, /no input mask/],
      [{ x: ones(1, 5, 4, 1) }, /must have the shape \[1, 4, 4, 1\]/],
      [{ x: { type: 'int8', dims: [1, 4, 4, 1], data: new Int8Array(16) } }, /must be float32, not int8/],
    ];
    for (const [inputs, message] of cases) {
      const error = await failure(runner.run(inputs));
      expect(error.code).toBe('bad-model-input');
      expect(error.message).toMatch(message);
    }
  });
});

describe('cutting', () => {
  const file = tfliteFile({ ...convGraph(4, 4, { half: true }), signature: { inputs: ['a'], outputs: ['b'] } });

  it('leaves the file as it is', () => {
    const copy = file.slice();
    expect([...cutOperators(file)].map(({ op }) => op)).toEqual(['CONV_2D']);
    expect(file).toEqual(copy);
  });

  it('of a damaged file ends, with a sentence if at all', () => {
    const damage = fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(damage, fc.integer({ min: 0, max: file.length }), (changes, length) => {
        const damaged = file.slice(0, length);
        for (const [place, byte] of changes) damaged[place] = byte;
        try {
          for (const { bytes } of cutOperators(damaged)) expect(bytes.length).toBeLessThan(file.length + 1000);
        } catch (error) {
          expect(String(error)).toMatch(/^Error: its |^Error: it has no graph/);
        }
      }),
      { numRuns: 2000, seed: 1 },
    );
  });
});

const corpus = process.env.COMPRESS_CORPUS;

describe.skipIf(corpus === undefined)('a trained network', () => {
  const open = async (name: string) => {
    const file = join(corpus ?? '', 'models', 'real', `${name}.tflite`);
    const pair = file.replace(/\.tflite$/, '.io.npz');
    const arrays = parseNpz(readFileSync(pair), pair);
    const [x, y, stride] = ['x', 'y', 'y_stride'].map((key) => arrays.get(key)!);
    const runner = await openFile(file);
    const [input] = runner.info.inputs;
    const given = { [input.name]: { type: input.type, dims: x.shape, data: x.data } as TensorData };
    const [output] = Object.values(await runner.run(given));
    return { runner, given, reference: { input: x, output: y, strides: stride?.data ?? y.shape.map(() => 1) }, output };
  };
  const difference = ({ reference, output: { dims, data } }: Awaited<ReturnType<typeof open>>) =>
    differenceTo(reference, { shape: dims, data: data as Float32Array });

  it('agrees with another runtime, and its operators take its time', async () => {
    const found = await open('deeplabv3-257');
    expect(difference(found)).toBeLessThan(1e-4);
    const { runner, given } = found;
    expect(runner.info.fullyDelegated).toBe(true);
    const whole = Math.min(...(await runner.time(given, { runs: 10 })));
    const start = performance.now();
    const { nodes, operators } = await runner.profile(given, 5);
    const elapsed = performance.now() - start;
    const sum = nodes.reduce((total, { microseconds }) => total + microseconds, 0) / 1000;
    expect(nodes).toHaveLength(70);
    expect(operators[0].op).toBe('CONV_2D');
    expect(sum).toBeGreaterThan(0.7 * whole);
    expect(5 * sum).toBeLessThan(elapsed);
  });

  it('with operators of MediaPipe runs as well', async () => {
    expect(difference(await open('selfie-256-fp16'))).toBeLessThan(1e-4);
    const hair = await open('hair-512');
    expect(difference(hair)).toBeLessThan(1e-4);
    const { operators } = await hair.runner.profile(hair.given, 1);
    expect(operators.map(({ op }) => op)).toContain('MaxUnpooling2D');
  });

  it('of 8-bit integers runs as well, up to the rounding of other kernels', async () => {
    const { runner, given, reference, output } = await open('portrait-prisma-256-int8');
    const distances = Array.from(output.data as Int8Array, (y, at) =>
      Math.abs(Number(y) - Number(reference.output.data[at])),
    );
    expect(distances.reduce((sum, distance) => sum + distance, 0) / distances.length).toBeLessThan(2);
    expect(runner.info.fullyDelegated).toBe(false);
    expect((await runner.profile(given, 1)).nodes.length).toBeGreaterThan(100);
  });
});
