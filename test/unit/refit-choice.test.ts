import fc from 'fast-check';
import { inverse, Matrix } from 'ml-matrix';
import { expect, test } from 'vitest';
import { type PredictionTask, selectUnits } from '../../src/math/subset-selection.js';
import { normals } from '../support/low-rank-kernels.js';

/** A random positive definite matrix. */
function covariance(size: number, seed: number): Matrix {
  const samples = Matrix.from1DArray(2 * size, size, Array.from(normals(2 * size * size, seed)));
  return samples.transpose().mmul(samples);
}

/** tr(A E), E the covariance of the errors of the best linear prediction from the given variables. */
function costFrom(c: Matrix, a: Matrix, known: readonly number[]): number {
  if (known.length === 0) return a.mmul(c).trace();
  const all = Array.from({ length: c.rows }, (_, i) => i);
  const across = c.subMatrixColumn([...known]);
  const explained = across.mmul(inverse(c.selection([...known], [...known]))).mmul(across.transpose());
  expect(across.rows).toBe(all.length);
  return a.mmul(Matrix.sub(c, explained)).trace();
}

const taskOf = (c: Matrix, a: Matrix, units: readonly number[][]): PredictionTask => ({
  covariance: Float64Array.from(c.to1DArray()),
  cost: Float64Array.from(a.to1DArray()),
  units,
});

test('chooses, unit by unit, what lowers the cost of the best prediction most, over all tasks', () => {
  const shapes = fc.record({
    sizes: fc.constantFrom([1, 1], [2, 1], [3, 2]),
    units: fc.integer({ min: 2, max: 5 }),
    seed: fc.integer({ min: 1, max: 10_000 }),
  });
  fc.assert(
    fc.property(shapes, ({ sizes, units: count, seed }) => {
      const problems = sizes.map((size, t) => ({
        c: covariance(size * count, seed + t),
        a: covariance(size * count, seed + 10 + t),
        units: Array.from({ length: count }, (_, u) => Array.from({ length: size }, (_, i) => u + count * i)),
      }));
      const costOf = (units: readonly number[]) =>
        problems.reduce(
          (sum, p) =>
            sum +
            costFrom(
              p.c,
              p.a,
              units.flatMap((u) => p.units[u]),
            ),
          0,
        );
      const chosen: number[] = [];
      while (chosen.length < count - 1) {
        const open = Array.from({ length: count }, (_, u) => u).filter((u) => !chosen.includes(u));
        chosen.push(open.reduce((best, u) => (costOf([...chosen, u]) < costOf([...chosen, best]) ? u : best)));
      }
      const found = selectUnits(
        problems.map(({ c, a, units }) => taskOf(c, a, units)),
        count,
        count - 1,
      );
      expect(found).toEqual(chosen);
    }),
    { numRuns: 40 },
  );
});

test('a variable that others predict, or that is constant, is left for the last', () => {
  const free = covariance(3, 4);
  // Variables 0 and 1 are free, 2 is their sum, 3 is constant, 4 is free.
  const from = new Matrix([
    [1, 0, 0],
    [0, 1, 0],
    [1, 1, 0],
    [0, 0, 0],
    [0, 0, 1],
  ]);
  const c = from.mmul(free).mmul(from.transpose());
  const units = [[0], [1], [2], [3], [4]];
  const order = selectUnits([taskOf(c, Matrix.eye(5), units)], 5, 5);
  expect(new Set(order.slice(0, 3)).has(3)).toBe(false);
  expect(new Set(order.slice(0, 3)).has(4)).toBe(true);
  expect(costFrom(c, Matrix.eye(5), order.slice(0, 3))).toBeLessThan(1e-9 * c.trace());
});
