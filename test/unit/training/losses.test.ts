import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/math/random.js';
import type { Kernels, Value } from '../../../src/training/kernels.js';
import {
  absoluteError,
  type Loss,
  type OutputReading,
  outputLoss,
  squaredError,
} from '../../../src/training/losses.js';
import { runKernels } from '../../support/run-kernels.js';

const SHAPE = [2, 3, 2, 3];
const PIXELS = 6;

const random = createRandom(7);
const scores = Array.from({ length: 36 }, () => 3 * random.normal());

/** Probabilities that depend on their channel, so that a mixed-up axis shows; of classes they sum to 1. */
function targetFor(reading: OutputReading): number[] {
  const raw = Array.from({ length: 36 }, (_, i) => random.next() * (1 + (Math.floor(i / PIXELS) % 3)));
  if (reading === 'values') return raw;
  if (reading === 'binary') return raw.map((value) => value / 3);
  return raw.map((value, i) => value / channelsAt(i).reduce((sum, j) => sum + raw[j], 0));
}

/** Indices of all channels at the position of element `i`. */
function channelsAt(i: number): number[] {
  const image = Math.floor(i / (3 * PIXELS)) * 3 * PIXELS;
  return [0, 1, 2].map((c) => image + c * PIXELS + (i % PIXELS));
}

function probabilities(reading: OutputReading, z: readonly number[]): number[] {
  if (reading === 'binary') return z.map((value) => 1 / (1 + Math.exp(-value)));
  return z.map((value, i) => Math.exp(value) / channelsAt(i).reduce((sum, j) => sum + Math.exp(z[j]), 0));
}

/** The closed forms in double precision. */
function termsOf(reading: OutputReading, z: readonly number[], t: readonly number[]): Record<string, number> {
  if (reading === 'values') return { squares: z.reduce((sum, value, i) => sum + (value - t[i]) ** 2, 0) / z.length };
  const p = probabilities(reading, z);
  const entropies = p.map((value, i) => {
    const off = reading === 'binary' ? (1 - t[i]) * Math.log(1 - value) : 0;
    return -(t[i] * Math.log(value) + off);
  });
  const count = reading === 'binary' ? z.length : z.length / 3;
  let overlaps = 0;
  for (let map = 0; map < 6; map++) {
    let [both, sums] = [0, 0];
    for (let i = map * PIXELS; i < (map + 1) * PIXELS; i++) {
      both += p[i] * t[i];
      sums += p[i] + t[i];
    }
    overlaps += (2 * both + 1) / (sums + 1);
  }
  return { entropy: entropies.reduce((sum, value) => sum + value, 0) / count, dice: 1 - overlaps / 6 };
}

function totalOf(terms: Readonly<Record<string, number>>): number {
  return Object.values(terms).reduce((sum, value) => sum + value, 0);
}

async function run(z: readonly number[], t: readonly number[], loss: (k: Kernels, z: Value, t: Value) => Loss) {
  const shape = SHAPE;
  const results = await runKernels({ z: { shape, data: z }, t: { shape, data: t } }, (kernels, values) => {
    const { terms, gradient } = loss(kernels, values.z, values.t);
    expect(gradient.shape).toEqual(SHAPE);
    return { ...terms, gradient };
  });
  const { gradient, ...terms } = results;
  return { gradient, terms: Object.fromEntries(Object.entries(terms).map(([name, [value]]) => [name, value])) };
}

describe.each(['binary', 'classes', 'values'] as const)('the loss of an output that is read as %s', (reading) => {
  const target = targetFor(reading);
  const loss = (kernels: Kernels, z: Value, t: Value) => outputLoss(kernels, reading, z, t);

  it('has the terms of its closed form', async () => {
    const { terms } = await run(scores, target, loss);
    const expected = termsOf(reading, scores, target);
    expect(Object.keys(terms)).toEqual(Object.keys(expected));
    for (const [name, value] of Object.entries(expected)) expect(terms[name]).toBeCloseTo(value, 5);
  });

  it('has the gradient of the sum of its terms', async () => {
    const { gradient } = await run(scores, target, loss);
    const h = 1e-5;
    for (let i = 0; i < scores.length; i++) {
      const moved = (by: number) => totalOf(termsOf(reading, scores.with(i, scores[i] + by), target));
      expect(gradient[i]).toBeCloseTo((moved(h) - moved(-h)) / (2 * h), 5);
    }
  });

  it('stays finite for scores of any size', async () => {
    const far = scores.map((value) => 1e4 * value);
    const { terms, gradient } = await run(far, target, loss);
    expect([...Object.values(terms), ...gradient].every(Number.isFinite)).toBe(true);
  });
});

it('empty masks against probabilities of nothing cost almost nothing', async () => {
  const { terms } = await run(
    scores.map(() => -20),
    scores.map(() => 0),
    (kernels, z, t) => outputLoss(kernels, 'binary', z, t),
  );
  expect(totalOf(terms)).toBeLessThan(1e-5);
});

describe('the loss of a feature map', () => {
  const target = targetFor('values');

  it('is the mean of squares', async () => {
    const { terms, gradient } = await run(scores, target, squaredError);
    expect(terms.squares).toBeCloseTo(termsOf('values', scores, target).squares, 5);
    for (const [i, value] of gradient.entries()) expect(value).toBeCloseTo((2 * (scores[i] - target[i])) / 36, 6);
  });

  it('is the mean of distances', async () => {
    const { terms, gradient } = await run(scores, target, absoluteError);
    const expected = scores.reduce((sum, value, i) => sum + Math.abs(value - target[i]), 0) / 36;
    expect(terms.distances).toBeCloseTo(expected, 5);
    for (const [i, value] of gradient.entries()) expect(value).toBeCloseTo(Math.sign(scores[i] - target[i]) / 36, 6);
  });
});
