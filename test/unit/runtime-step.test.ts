import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { CompressError } from '../../src/errors.js';
import { exportOnnx } from '../../src/exporters/onnx/index.js';
import type { OpenRunnerOptions } from '../../src/runtime/model-process.js';
import type { StepPlan, Stepper, TensorData } from '../../src/runtime/runner.js';
import { openStepper, StepHost } from '../../src/runtime/stepper.js';
import { countingCarries, countingStep } from '../support/counting-step.js';
import { writeIdentityModel } from '../support/tiny-onnx.js';

const folder = mkdtempSync(join(tmpdir(), 'runtime-step-test-'));
const model = join(folder, 'counting.onnx');
const opened: Stepper[] = [];
beforeAll(() => exportOnnx(countingStep(2), model));
afterAll(async () => {
  await Promise.all(opened.map((stepper) => stepper.close()));
  rmSync(folder, { recursive: true });
});

async function open(options: Partial<OpenRunnerOptions & StepPlan> = {}, file = model): Promise<Stepper> {
  const carried = Object.fromEntries(countingCarries);
  const stepper = await openStepper(file, {
    runtime: 'onnxruntime',
    threads: 1,
    carried,
    optimization: 'extended',
    ...options,
  });
  opened.push(stepper);
  return stepper;
}

const floats = (...values: number[]): TensorData => ({
  type: 'float32',
  dims: [values.length],
  data: Float32Array.from(values),
});
const steps: TensorData = { type: 'int64', dims: [1], data: BigInt64Array.of(0n) };

async function failure(promise: Promise<unknown>): Promise<CompressError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CompressError);
  return error as CompressError;
}

describe('a stepper', () => {
  it('carries every element type', async () => {
    const inputs: Record<string, TensorData> = {
      float64: { type: 'float64', dims: [2, 3], data: Float64Array.of(1e308, -1e-300, 0.1, 0, -0, Math.PI) },
      float16: { type: 'float16', dims: [2, 3], data: Uint16Array.of(0x3c00, 0x8000, 0x7bff, 1, 0x7c00, 0x3555) },
      int8: { type: 'int8', dims: [2, 3], data: Int8Array.of(-128, -1, 0, 1, 2, 127) },
      uint64: { type: 'uint64', dims: [2, 3], data: BigUint64Array.of(0n, 1n, 2n, 3n, 2n ** 63n, 2n ** 64n - 1n) },
      bool: { type: 'bool', dims: [2, 3], data: Uint8Array.of(0, 1, 1, 0, 0, 1) },
    };
    const types = Object.values(inputs).map(({ type }) => type);
    const file = writeIdentityModel(join(folder, 'types.onnx'), types);
    const stepper = await open(
      { carried: Object.fromEntries(types.map((type) => [`out_${type}`, `in_${type}`])) },
      file,
    );
    const state = Object.fromEntries(types.map((type) => [`in_${type}`, inputs[type]]));
    await stepper.setState(state);
    for (let k = 0; k < 3; k++) expect(await stepper.run({})).toEqual({});
    expect(await stepper.state()).toEqual(state);
  });

  it('leaves no file in the temporary folder', async () => {
    // A temporary folder of this test's own: other tests write into the common one meanwhile.
    const temporary = mkdtempSync(join(folder, 'temporary-'));
    vi.stubEnv('TMPDIR', temporary);
    onTestFinished(() => void vi.unstubAllEnvs());
    const stepper = await open();
    await stepper.setState({ total: floats(1, 2), steps });
    expect(readdirSync(temporary)).toEqual([]);
  });
});

describe('a host', () => {
  const options: OpenRunnerOptions = { runtime: 'onnxruntime', threads: 1 };
  const identity = writeIdentityModel(join(folder, 'identity.onnx'), ['float32']);
  const pair: TensorData = { type: 'float32', dims: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };

  it('runs one model after another in one process, also after a file that is none', async () => {
    const host = await StepHost.start(identity, options);
    onTestFinished(() => host.end());
    const counting = await host.load(model, { carried: Object.fromEntries(countingCarries), optimization: 'extended' });
    await counting.setState({ total: floats(1, 2), steps });
    await counting.close();
    expect((await failure(counting.state())).message).toMatch(/no step is loaded/);
    const text = join(folder, 'text.onnx');
    writeFileSync(text, 'this is no model');
    expect((await failure(host.load(text, { carried: {}, optimization: 'all' }))).message).toMatch(/text\.onnx/);
    const other = await host.load(identity, { carried: {}, optimization: 'all' });
    await counting.close();
    expect(await other.run({ in_float32: pair })).toEqual({ out_float32: pair });
    expect(other.processId).toBe(counting.processId);
    expect(host.isAlive).toBe(true);
  });

  it('is not alive once its process was killed', async () => {
    const host = await StepHost.start(identity, options);
    onTestFinished(() => host.end());
    const { run, processId } = await host.load(identity, { carried: {}, optimization: 'all' });
    process.kill(processId, 'SIGKILL');
    expect((await failure(run({ in_float32: pair }))).message).toMatch(/identity\.onnx.*killed/);
    expect(host.isAlive).toBe(false);
  });
});

describe('what goes wrong with a step is one sentence that names the file', () => {
  it('for values that do not fit, after which the state is as it was', async () => {
    const stepper = await open();
    expect((await failure(stepper.run({ x: floats(1, 1) }))).message).toMatch(
      /counting\.onnx.*input \w+ has no value yet; set the state first/,
    );
    await stepper.setState({ total: floats(1, 2) });
    expect((await failure(stepper.state())).message).toMatch(/input steps has no value yet/);
    await stepper.setState({ steps });
    const refused: [() => Promise<unknown>, RegExp][] = [
      [() => stepper.run({}), /input x is missing/],
      [() => stepper.run({ x: floats(1, 1), total: floats(1, 1) }), /no input total, its inputs are x/],
      [() => stepper.run({ x: floats(1, 1, 1) }), /must have the shape \[2\], not \[3\]/],
      [() => stepper.setState({ x: floats(1, 1) }), /carries no input x, but total, steps/],
      [() => stepper.setState({ total: steps }), /must be float32, not int64/],
      [() => stepper.setState({ total: floats(5, 5), steps: { ...steps, dims: [2] } }), /must have the shape \[1\]/],
    ];
    for (const [call, message] of refused) {
      const error = await failure(call());
      expect(error.code).toBe('bad-model-input');
      expect(error.message).toMatch(message);
    }
    await stepper.run({ x: floats(1, 1) });
    expect((await stepper.state()).total).toEqual(floats(2, 3));
  });

  it('for outputs that cannot be carried', async () => {
    const cases: [Record<string, string>, RegExp][] = [
      [{ nothing: 'total' }, /no output nothing/],
      [{ total_next: 'nothing' }, /no input nothing/],
      [{ loss: 'total' }, /output loss of float32 \[\] cannot become input total of float32 \[2\]/],
      [{ steps_next: 'total' }, /output steps_next of int64 \[1\] cannot become input total/],
      [{ total_next: 'total', steps_next: 'total' }, /two outputs are carried to its input total/],
    ];
    for (const [carried, message] of cases) {
      const error = await failure(open({ carried }));
      expect(error.code).toBe('cannot-load');
      expect(error.message).toMatch(message);
    }
  });

  it('for a file that is not there', async () => {
    expect((await failure(open({}, join(folder, 'absent.onnx')))).code).toBe('cannot-read');
  });

  it('for a process that is killed, in this call and in the next', async () => {
    const stepper = await open();
    await stepper.setState({ total: floats(1, 2), steps });
    process.kill(stepper.processId, 'SIGSTOP');
    const running = failure(stepper.run({ x: floats(1, 1) }));
    process.kill(stepper.processId, 'SIGKILL');
    const error = await running;
    expect(error.code).toBe('runner-died');
    expect(error.message).toMatch(/counting\.onnx.*SIGKILL/);
    for (const next of [stepper.run({ x: floats(1, 1) }), stepper.state(), stepper.setState({ steps })])
      expect(await failure(next)).toBe(error);
  });

  it('for a process that does not answer', async () => {
    const stepper = await open({ timeoutMs: 8000 });
    await stepper.setState({ total: floats(1, 2), steps });
    process.kill(stepper.processId, 'SIGSTOP');
    expect((await failure(stepper.state())).code).toBe('runner-timed-out');
  });

  it('after it was closed', async () => {
    const stepper = await open();
    await stepper.setState({ total: floats(1, 2), steps });
    await stepper.close();
    await stepper.close();
    await expect(stepper.run({ x: floats(1, 1) })).rejects.toThrow(/is closed/);
  });
});
