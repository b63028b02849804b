import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { CompressError } from '../../src/errors.js';
import type { OpenRunnerOptions } from '../../src/runtime/model-process.js';
import type { Runner, TensorData } from '../../src/runtime/runner.js';
import { openRunner } from '../../src/runtime/spawn.js';
import { writeConvModel, writeIdentityModel, writeLoopModel } from '../support/tiny-onnx.js';

const folder = mkdtempSync(join(tmpdir(), 'runtime-test-'));
const opened: Runner[] = [];
afterAll(async () => {
  await Promise.all(opened.map((runner) => runner.close()));
  rmSync(folder, { recursive: true });
});

async function open(file: string, options: Partial<OpenRunnerOptions> = {}): Promise<Runner> {
  const runner = await openRunner(file, { runtime: 'onnxruntime', threads: 1, ...options });
  opened.push(runner);
  return runner;
}

const convModel = writeConvModel(join(folder, 'conv.onnx'));
/** More repeats than a test can wait for. */
const endlessModel = writeLoopModel(join(folder, 'endless.onnx'), 1e15);
const one = { x: { type: 'float32', dims: [1], data: Float32Array.of(1) } } satisfies Record<string, TensorData>;

function ones(height: number, width: number): Record<string, TensorData> {
  return { x: { type: 'float32', dims: [1, 1, height, width], data: new Float32Array(height * width).fill(1) } };
}

async function failure(promise: Promise<unknown>): Promise<CompressError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CompressError);
  return error as CompressError;
}

function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
}

describe('a runner', () => {
  it('tells the interface, runs at any size of the open dimensions, and ends with close', async () => {
    const runner = await open(convModel);
    expect(runner.file).toBe(convModel);
    expect(runner.info).toEqual({
      inputs: [{ name: 'x', type: 'float32', shape: ['n', 1, 'h', 'w'] }],
      outputs: [{ name: 'y', type: 'float32', shape: ['n', 1, 'h', 'w'] }],
    });
    const { y } = await runner.run(ones(2, 3));
    expect(y).toEqual({ type: 'float32', dims: [1, 1, 2, 3], data: Float32Array.of(4, 6, 4, 4, 6, 4) });
    expect((await runner.run(ones(1, 1))).y!.data).toEqual(Float32Array.of(1));
    expect(isAlive(runner.processId)).toBe(true);
    await runner.close();
    expect(isAlive(runner.processId)).toBe(false);
    await runner.close();
    await expect(runner.run(ones(1, 1))).rejects.toThrow(/is closed/);
  });

  it('finds weights that lie in a file beside the model', async () => {
    const runner = await open(writeConvModel(join(folder, 'outside.onnx'), { beside: 'outside.data' }));
    expect((await runner.run(ones(3, 3))).y!.data[4]).toBe(9);
  });

  it('carries every element type there and back', async () => {
    const inputs: Record<string, TensorData> = {
      in_float32: { type: 'float32', dims: [2, 3], data: Float32Array.of(1.5, -0, 3e38, Number.NaN, -1e-40, Infinity) },
      in_float64: { type: 'float64', dims: [2, 3], data: Float64Array.of(1e308, -1e-300, 0.1, 0, -0, Math.PI) },
      in_float16: {
        type: 'float16',
        dims: [2, 3],
        data: Uint16Array.of(0x3c00, 0x8000, 0x7bff, 0x0001, 0x7c00, 0x3555),
      },
      in_int8: { type: 'int8', dims: [2, 3], data: Int8Array.of(-128, -1, 0, 1, 2, 127) },
      in_uint8: { type: 'uint8', dims: [2, 3], data: Uint8Array.of(0, 1, 127, 128, 254, 255) },
      in_int16: { type: 'int16', dims: [2, 3], data: Int16Array.of(-32768, -1, 0, 1, 2, 32767) },
      in_uint16: { type: 'uint16', dims: [2, 3], data: Uint16Array.of(0, 1, 2, 3, 32768, 65535) },
      in_int32: { type: 'int32', dims: [2, 3], data: Int32Array.of(-(2 ** 31), -1, 0, 1, 2, 2 ** 31 - 1) },
      in_uint32: { type: 'uint32', dims: [2, 3], data: Uint32Array.of(0, 1, 2, 3, 2 ** 31, 2 ** 32 - 1) },
      in_int64: { type: 'int64', dims: [2, 3], data: BigInt64Array.of(-(2n ** 63n), -1n, 0n, 1n, 2n, 2n ** 63n - 1n) },
      in_uint64: { type: 'uint64', dims: [2, 3], data: BigUint64Array.of(0n, 1n, 2n, 3n, 2n ** 63n, 2n ** 64n - 1n) },
      in_bool: { type: 'bool', dims: [2, 3], data: Uint8Array.of(0, 1, 1, 0, 0, 1) },
    };
    const types = Object.values(inputs).map(({ type }) => type);
    const runner = await open(writeIdentityModel(join(folder, 'types.onnx'), types));
    const outputs = await runner.run(inputs);
    for (const type of types) expect(outputs[`out_${type}`], type).toEqual(inputs[`in_${type}`]);
  });

  it('times a number of runs, or for a while, and keeps the inputs of the last timing', async () => {
    const runner = await open(convModel);
    const inputs = ones(64, 64);
    const times = await runner.time(inputs, { runs: 7 });
    expect(times).toHaveLength(7);
    expect(Math.min(...times)).toBeGreaterThan(0);
    const before = performance.now();
    const more = await runner.time(inputs, { milliseconds: 200 });
    expect(performance.now() - before).toBeGreaterThanOrEqual(200);
    expect(more.length).toBeGreaterThan(1);
    expect(more.reduce((sum, time) => sum + time, 0)).toBeLessThan(performance.now() - before);
    // A larger input must take the place of the one that is kept: 256 times the work cannot be as fast.
    const larger = await runner.time(ones(1024, 1024), { runs: 3 });
    expect(Math.min(...larger)).toBeGreaterThan(10 * Math.min(...times));
  });

  it('profiles by node and by operator and leaves no file', async () => {
    // A temporary folder of this test's own: other tests write into the common one meanwhile.
    const temporary = mkdtempSync(join(folder, 'temporary-'));
    vi.stubEnv('TMPDIR', temporary);
    onTestFinished(() => void vi.unstubAllEnvs());
    const runner = await open(convModel);
    const start = performance.now();
    const profile = await runner.profile(ones(1024, 1024), 30);
    const elapsed = performance.now() - start;
    expect(profile.operators.map(({ op }) => op)).toContain('Conv');
    expect(profile.nodes.map(({ microseconds }) => microseconds)).toEqual(
      profile.nodes.map(({ microseconds }) => microseconds).sort((a, b) => b - a),
    );
    const convolution = profile.nodes.find(({ op }) => op === 'Conv')!;
    expect(convolution.node).not.toBe('');
    // The mean of single runs, not their sum: 30 times it must have had room in the time that all took.
    expect(convolution.microseconds).toBeGreaterThan(0);
    expect((convolution.microseconds * 30) / 1000).toBeLessThan(elapsed);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('reports the memory of its process', async () => {
    const { rssBytes, peakRssBytes } = await (await open(convModel)).memory();
    expect(rssBytes).toBeGreaterThan(20e6);
    expect(peakRssBytes).toBeGreaterThanOrEqual(rssBytes * 0.9);
    expect(peakRssBytes).toBeLessThan(1e9);
  });
});

describe('what goes wrong is one sentence that names the file', () => {
  it('for a file that is not there', async () => {
    const file = join(folder, 'absent.onnx');
    const error = await failure(open(file));
    expect(error.code).toBe('cannot-read');
    expect(error.where.file).toBe(file);
  });

  it('for bytes that are not a model', async () => {
    const file = join(folder, 'garbage.onnx');
    writeFileSync(file, 'neither protobuf nor anything else');
    const error = await failure(open(file));
    expect(error.code).toBe('cannot-load');
    expect(error.message).toMatch(/^ONNX Runtime cannot load .*garbage\.onnx: .*[^.]; check that/);
    expect(error.message.split(file)).toHaveLength(2);
  });

  it('for an element type that the runtime cannot pass', async () => {
    const error = await failure(open(writeIdentityModel(join(folder, 'bfloat16.onnx'), ['bfloat16'])));
    expect(error.code).toBe('cannot-load');
    expect(error.message).toMatch(/type/);
  });

  it('for inputs that do not fit, after which the runner still works', async () => {
    const runner = await open(convModel);
    const x = ones(2, 2).x!;
    const cases: [Record<string, TensorData>, RegExp][] = [
      [{}, /input x is missing/],
      [{ x, mask: x }, /no input mask, its inputs are x/],
      [{ x: { ...x, dims: [1, 2, 2, 1] } }, /must have the shape \[n, 1, h, w\], not \[1, 2, 2, 1\]/],
      [{ x: { ...x, dims: [2, 2] } }, /must have the shape/],
      [{ x: { ...x, dims: [1, 1, 2, 3] } }, /has 4 elements, its shape \[1, 1, 2, 3\] needs 6/],
      [{ x: { type: 'int32', dims: x.dims, data: new Int32Array(4) } }, /must be float32, not int32/],
    ];
    for (const [inputs, message] of cases) {
      const error = await failure(runner.run(inputs));
      expect(error.code).toBe('bad-model-input');
      expect(error.message).toMatch(message);
    }
    expect((await runner.run({ x })).y!.data).toEqual(Float32Array.of(4, 4, 4, 4));
  });

  it('for a process that is killed, in this call and in the next', async () => {
    const runner = await open(endlessModel);
    const running = failure(runner.run(one));
    process.kill(runner.processId, 'SIGKILL');
    const error = await running;
    expect(error.code).toBe('runner-died');
    expect(error.message).toMatch(/endless\.onnx.*SIGKILL.*memory/);
    expect(await failure(runner.run(one))).toBe(error);
  });

  it('for a process that crashes', async () => {
    const runner = await open(endlessModel);
    const running = failure(runner.run(one));
    process.kill(runner.processId, 'SIGSEGV');
    expect((await running).message).toMatch(/endless\.onnx.*crashed \(SIGSEGV\)/);
  });

  it('for a run that takes too long, and the process is gone', async () => {
    const runner = await open(endlessModel, { timeoutMs: 8000 });
    const error = await failure(runner.run(one));
    expect(error.code).toBe('runner-timed-out');
    expect(error.message).toMatch(/did not run .*endless\.onnx within 8 s/);
    expect(isAlive(runner.processId)).toBe(false);
  });

  it('for loading that takes too long', async () => {
    expect((await failure(open(convModel, { timeoutMs: 1 }))).code).toBe('runner-timed-out');
  });
});

describe('an abort signal', () => {
  it('ends a run and its process, and rejects with the reason of the signal', async () => {
    const abort = new AbortController();
    const runner = await open(endlessModel, { signal: abort.signal });
    const running = runner.run(one);
    const reason = new Error('enough');
    abort.abort(reason);
    await expect(running).rejects.toBe(reason);
    expect(isAlive(runner.processId)).toBe(false);
  });

  it('that has fired already starts nothing', async () => {
    const reason = new Error('never mind');
    await expect(open(convModel, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
