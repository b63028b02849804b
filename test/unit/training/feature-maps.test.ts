import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/math/random.js';
import {
  type Moments,
  planFeature,
  planWholeFeature,
  principalComponents,
} from '../../../src/training/feature-maps.js';
import { addMoments } from '../../../src/training/teacher.js';

const POSITIONS = 4000;
const MEAN = [3, -1, 0.5];
/** Orthonormal directions and the deviations along them. */
const DIRECTIONS = [
  [0.6, 0.8, 0],
  [-0.8, 0.6, 0],
  [0, 0, 1],
];
const DEVIATIONS = [4, 1, 0.1];

/** Draws positions of a map whose covariance is known, and gathers its moments in two halves. */
function drawn() {
  const random = createRandom(11);
  const values = Array.from({ length: POSITIONS }, () => {
    const along = DEVIATIONS.map((deviation) => deviation * random.normal());
    return MEAN.map((mean, c) => mean + along.reduce((sum, value, d) => sum + value * DIRECTIONS[d][c], 0));
  });
  const moments: Moments = { count: 0, sums: new Float64Array(3), products: new Float64Array(9) };
  for (const part of [values.slice(0, 1000), values.slice(1000)]) {
    const sums = [0, 1, 2].map((c) => part.reduce((sum, value) => sum + value[c], 0));
    const products = Array.from({ length: 9 }, (_, i) =>
      part.reduce((sum, value) => sum + value[Math.floor(i / 3)] * value[i % 3], 0),
    );
    addMoments(moments, Float32Array.from(products), Float32Array.from(sums), part.length);
  }
  return { values, moments };
}

function project({ weight, bias }: { weight: Float32Array; bias: Float32Array }, value: readonly number[]): number[] {
  return Array.from(bias, (shift, k) => value.reduce((sum, v, c) => sum + weight[3 * k + c] * v, shift));
}

describe('the principal components of a map', () => {
  const { values, moments } = drawn();

  it('lie along the directions of the greatest variance, in their order', () => {
    const { weight } = principalComponents(moments, 2);
    for (const k of [0, 1]) {
      const row = [...weight.subarray(3 * k, 3 * k + 3)];
      const length = Math.hypot(...row);
      const cosine = row.reduce((sum, value, c) => sum + value * DIRECTIONS[k][c], 0) / length;
      expect(Math.abs(cosine)).toBeGreaterThan(0.999);
    }
  });

  it.each([1, 2, 3])('have mean 0 and, over all %i, mean square 1', (components) => {
    const projection = principalComponents(moments, components);
    const projected = values.map((value) => project(projection, value));
    const all = projected.flat();
    expect(all.reduce((sum, value) => sum + value, 0) / all.length).toBeCloseTo(0, 4);
    expect(all.reduce((sum, value) => sum + value ** 2, 0) / all.length).toBeCloseTo(1, 3);
  });

  it('keep the ratio of the deviations', () => {
    const projection = principalComponents(moments, 2);
    const projected = values.map((value) => project(projection, value));
    const deviation = (k: number) => Math.sqrt(projected.reduce((sum, row) => sum + row[k] ** 2, 0) / POSITIONS);
    expect(deviation(0) / deviation(1)).toBeCloseTo(4, 0);
  });

  it('of a map that never varies ask for nothing', () => {
    const { weight, bias } = principalComponents(
      { count: 10, sums: Float64Array.of(20, -10), products: Float64Array.of(40, -20, -20, 10) },
      2,
    );
    expect([...weight, ...bias].map(Math.abs)).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

describe('the plan of a feature', () => {
  const point = (size: readonly number[], teacherChannels = 64, studentChannels = 8) => ({
    value: 'x',
    studentValue: 'x',
    teacherChannels,
    studentChannels,
    size,
  });

  it.each([
    [
      [256, 256],
      [8, 8],
    ],
    [
      [32, 32],
      [1, 1],
    ],
    [
      [96, 40],
      [3, 2],
    ],
    [
      [37, 16],
      [1, 1],
    ],
    [
      [48, 64, 64],
      [2, 2, 2],
    ],
    [[1000], [40]],
  ])('averages %j down by %j, whole blocks only', (size, pool) => {
    const plan = planFeature(point(size));
    expect(plan.pool).toEqual(pool);
    expect(plan.pooledSize).toEqual(size.map((extent, axis) => extent / pool[axis]));
  });

  it('compares at most 32 components', () => {
    expect([planFeature(point([8], 512)).components, planFeature(point([8], 5)).components]).toEqual([32, 5]);
  });

  it('of the paper compares maps of one width as they are', () => {
    const plan = planWholeFeature(point([256, 256], 64, 64));
    expect(plan).toMatchObject({ isAdapted: false, pool: [1, 1], pooledSize: [256, 256], components: 64 });
    expect(() => planWholeFeature(point([8, 8], 64, 8))).toThrow(/'x' has 64 channels in the original and 8/);
  });
});
