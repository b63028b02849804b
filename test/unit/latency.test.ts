import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { CompressError } from '../../src/errors.js';
import {
  type LatencyOptions,
  type LatencyProgress,
  measureLatency,
  pairwiseRatios,
  partDone,
  syntheticInputs,
  turnLengths,
} from '../../src/validate/latency.js';
import { writeConvModel } from '../support/tiny-onnx.js';

const folder = mkdtempSync(join(tmpdir(), 'latency-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const shapes = { x: [1, 1, 128, 128] };

describe('measureLatency', () => {
  it('finds the model with 16 times the work slower, at each thread count', async () => {
    const wide = writeConvModel(join(folder, 'wide.onnx'), { channels: 128 });
    const narrow = writeConvModel(join(folder, 'narrow.onnx'), { channels: 8 });
    const progress: LatencyProgress[] = [];
    const models = [wide, narrow].map((file) => ({ file, shapes }));
    const options: LatencyOptions = { threads: [1, 2], mode: 'quick', seed: 1, onProgress: (p) => progress.push(p) };
    const results = await measureLatency(models, options);

    expect(results.map(({ file, threads }) => [file, threads])).toEqual([
      [wide, 1],
      [narrow, 1],
      [wide, 2],
      [narrow, 2],
    ]);
    for (const { median, min, p90, runs, warmUpRuns } of results) {
      expect(min).toBeGreaterThan(0);
      expect(median).toBeGreaterThanOrEqual(min);
      expect(p90).toBeGreaterThanOrEqual(median);
      expect(runs).toBeGreaterThanOrEqual(5);
      expect(warmUpRuns).toBeGreaterThanOrEqual(1);
      expect(warmUpRuns).toBeLessThanOrEqual(20);
    }
    const [first, second] = results;
    expect(first!.speedUp).toBe(1);
    expect(first!.speedUpQuartiles).toEqual([1, 1]);
    expect(second!.speedUp).toBeGreaterThan(3);
    expect(second!.speedUpQuartiles[0]).toBeLessThanOrEqual(second!.speedUp);
    expect(second!.speedUpQuartiles[1]).toBeGreaterThanOrEqual(second!.speedUp);
    expect(progress.filter(({ threads }) => threads === 2).at(-1)!.done).toBe(1);
    expect(progress.every(({ done }) => done > 0 && done <= 1)).toBe(true);
  });

  it('stops when told to', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const onProgress = () => abort.abort(reason);
    const options: LatencyOptions = { threads: [1], mode: 'full', seed: 1, signal: abort.signal, onProgress };
    const model = { file: writeConvModel(join(folder, 'stopped.onnx')), shapes };
    await expect(measureLatency([model], options)).rejects.toBe(reason);
  });
});

describe('the turns', () => {
  it('are at least 5 in quick mode and 30 in full mode, however slow the models are', () => {
    expect(partDone('quick', 4, 600_000)).toBe(0.8);
    expect(partDone('quick', 5, 600_000)).toBe(1);
    expect(partDone('full', 29, 600_000)).toBeLessThan(1);
    expect(partDone('full', 30, 600_000)).toBe(1);
  });

  it('end when the time is used up, or when there are enough of a fast model', () => {
    expect(partDone('quick', 12, 6_000)).toBeLessThan(1);
    expect(partDone('quick', 14, 7_000)).toBe(1);
    expect(partDone('quick', 49, 500)).toBeLessThan(1);
    expect(partDone('quick', 50, 500)).toBe(1);
  });

  it('let a fast model run more often than a slow one', () => {
    expect(turnLengths([600, 5, 200])).toEqual([1, 10, 3]);
    expect(turnLengths([600])).toEqual([1]);
    expect(turnLengths([4, 2])).toEqual([5, 10]);
  });

  it('are compared pair by pair, so that a slowdown that meets both models does not count', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 1, max: 100, noNaN: true }), { minLength: 1 }), (slowdowns) => {
        const slow = slowdowns.map((factor) => [8 * factor]);
        const fast = slowdowns.map((factor) => [1.9 * factor, 2 * factor, 50 * factor]);
        for (const ratio of pairwiseRatios(slow, fast)) expect(ratio).toBeCloseTo(4, 9);
      }),
    );
  });
});

describe('syntheticInputs', () => {
  const model = (type: string, shape: (number | string)[]) => ({
    file: 'some.onnx',
    info: { inputs: [{ name: 'x', type, shape }], outputs: [] },
  });

  it('are the same for the same seed, in [0, 1), with a batch of one', () => {
    const x = syntheticInputs(model('float32', ['n', 3, 8, 8]), { seed: 7 }).x!;
    expect(x.dims).toEqual([1, 3, 8, 8]);
    expect(x.data).toHaveLength(192);
    const values = Array.from(x.data, Number);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThanOrEqual(1);
    expect(new Set(values).size).toBeGreaterThan(150);
    expect(syntheticInputs(model('float32', ['n', 3, 8, 8]), { seed: 7 }).x).toEqual(x);
    expect(syntheticInputs(model('float32', ['n', 3, 8, 8]), { seed: 8 }).x).not.toEqual(x);
  });

  it('take the shapes that are given, and the type of the model', () => {
    const given = { seed: 1, shapes: { x: [2, 1, 4, 4] } };
    expect(syntheticInputs(model('uint8', ['n', 1, 'h', 'w']), given).x!.data).toBeInstanceOf(Uint8Array);
    const halves = syntheticInputs(model('float16', ['n', 1, 'h', 'w']), given).x!;
    expect(halves.data).toHaveLength(32);
    // The bits of halves from 0.5 (0x3800) up to 1 (0x3c00).
    expect(Array.from(halves.data, Number).every((bits) => bits >= 0x3800 && bits < 0x3c00)).toBe(true);
    expect(syntheticInputs(model('int64', [2]), { seed: 1 }).x!.data).toEqual(BigInt64Array.of(1n, 1n));
  });

  it.each([
    [
      'an open size',
      model('float32', ['n', 1, 'height', '']),
      undefined,
      /input x of some\.onnx.*\[n, 1, height, \?\].*--input-shape x=/,
    ],
    ['a string', model('string', [1]), undefined, /input x has the type string/],
    ['gigabytes', model('float32', ['n', 1, 'h', 'w']), { x: [1, 1, 1e6, 1e6] }, /1000000/],
    ['a negative size', model('float32', ['n']), { x: [-1] }, /\[-1\]/],
  ])('refuse %s', (_, given, wanted, message) => {
    const make = () => syntheticInputs(given, { seed: 1, shapes: wanted });
    expect(make).toThrow(CompressError);
    expect(make).toThrow(message);
  });
});
