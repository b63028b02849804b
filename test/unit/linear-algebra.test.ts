import fc from 'fast-check';
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { describe, expect, test } from 'vitest';
import { choleskyFactor, solveNormalEquations } from '../../src/math/least-squares.js';
import { type SingularTriplets, singularTriplets, singularValues } from '../../src/math/svd.js';
import { normals } from '../support/low-rank-kernels.js';

/** Row-major product of an n × k and a k × m matrix. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, n: number, k: number, m: number): Float64Array {
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++)
    for (let l = 0; l < k; l++) for (let j = 0; j < m; j++) out[i * m + j] += a[i * k + l] * b[l * m + j];
  return out;
}

function transposed(a: ArrayLike<number>, rows: number, columns: number): Float64Array {
  return Float64Array.from({ length: a.length }, (_, i) => a[(i % rows) * columns + Math.floor(i / rows)]);
}

function norm(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0));
}

function difference(a: Float64Array, b: Float64Array): number {
  return norm(a.map((value, i) => value - b[i]));
}

function composed({ values, left, right }: SingularTriplets, rows: number, columns: number): Float64Array {
  const scaled = left.map((value, i) => value * values[Math.floor(i / rows)]);
  return product(transposed(scaled, values.length, rows), right, rows, values.length, columns);
}

/** Largest entry of |V Vᵀ − I| for vectors in rows. */
function departureFromOrthonormal(vectors: Float64Array, count: number): number {
  const length = vectors.length / count;
  const gram = product(vectors, transposed(vectors, count, length), count, length, count);
  return Math.max(...gram.map((value, i) => Math.abs(value - (i % (count + 1) === 0 ? 1 : 0))));
}

describe('singular value decomposition', () => {
  test.each([
    [1, 1],
    [1, 7],
    [9, 1],
    [20, 9],
    [9, 20],
    [60, 60],
    [64, 200],
  ])('agrees with ml-matrix and composes the %i x %i matrix', (rows, columns) => {
    const matrix = normals(rows * columns, rows);
    const side = Math.min(rows, columns);
    const result = singularTriplets(matrix, rows, columns, side);
    const oracle = new SingularValueDecomposition(Matrix.from1DArray(rows, columns, Array.from(matrix)), {
      autoTranspose: true,
    });
    for (const [i, value] of result.values.entries()) expect(value).toBeCloseTo(oracle.diagonal[i], 10);
    expect(difference(composed(result, rows, columns), matrix)).toBeLessThan(1e-13 * norm(matrix));
    expect(departureFromOrthonormal(result.left, side)).toBeLessThan(1e-13);
    expect(departureFromOrthonormal(result.right, side)).toBeLessThan(1e-13);
    expect(result.rest).toBe(0);
    expect(singularValues(matrix, rows, columns, side).values).toEqual(result.values);
  });

  test('finds small singular values to full relative accuracy', () => {
    // Orthogonal columns of very different length: through AᵀA the last one would be lost.
    const scales = [1, 1e-4, 1e-8, 1e-12];
    const { right: frame } = singularTriplets(normals(400, 4), 20, 20, 20);
    const matrix = Float64Array.from({ length: 80 }, (_, i) => frame[(i % 4) * 20 + Math.floor(i / 4)] * scales[i % 4]);
    const { values } = singularValues(matrix, 20, 4, 4);
    for (const [t, scale] of scales.entries()) expect(values[t] / scale).toBeCloseTo(1, 12);
  });

  test('a truncation leaves the energy of the values left out', () => {
    const matrix = normals(20 * 9, 5);
    const all = singularValues(matrix, 20, 9, 9).values;
    const { values, rest } = singularValues(matrix, 20, 9, 3);
    expect(values).toEqual(all.slice(0, 3));
    expect(rest).toBeCloseTo(
      all.slice(3).reduce((sum, value) => sum + value * value, 0),
      12,
    );
  });

  test('a large matrix of low rank comes out exact from its leading subspace', () => {
    const [rows, columns, rank] = [150, 220, 5];
    const matrix = product(normals(rows * rank, 1), normals(rank * columns, 2), rows, rank, columns);
    const result = singularTriplets(matrix, rows, columns, 7);
    expect(difference(composed(result, rows, columns), matrix)).toBeLessThan(1e-12 * norm(matrix));
    expect(result.rest).toBeLessThan(1e-12 * norm(matrix) ** 2);
    expect(Array.from(result.values.slice(5))).toEqual([expect.closeTo(0, 10), expect.closeTo(0, 10)]);
  });

  test('the leading subspace of a large matrix without structure is close to the best, and says what it misses', () => {
    const [rows, columns, rank] = [150, 120, 6];
    const matrix = normals(rows * columns, 8);
    const result = singularTriplets(matrix, rows, columns, rank);
    const best = singularValues(matrix, rows, columns, 120).values;
    const optimum = best.slice(rank).reduce((sum, value) => sum + value * value, 0);
    expect(difference(composed(result, rows, columns), matrix) ** 2).toBeCloseTo(result.rest, 6);
    expect(result.rest).toBeGreaterThan(optimum - 1e-6);
    expect(result.rest).toBeLessThan(1.02 * optimum);
  });

  test('zero and rank-deficient matrices give finite factors', () => {
    const zero = singularTriplets(new Float64Array(12), 4, 3, 3);
    expect([...zero.values, ...zero.left, ...zero.right].every((value) => value === 0)).toBe(true);
    const column = product(normals(10, 1), normals(4, 2), 10, 1, 4);
    const result = singularTriplets(column, 10, 4, 4);
    expect(difference(composed(result, 10, 4), column)).toBeLessThan(1e-14 * norm(column));
  });

  test('the largest entry of every right vector is positive', () => {
    const { right } = singularTriplets(
      normals(50, 9).map((value) => -Math.abs(value)),
      10,
      5,
      5,
    );
    for (let t = 0; t < 5; t++) {
      const row = Array.from(right.slice(5 * t, 5 * t + 5));
      expect(Math.max(...row)).toBe(Math.max(...row.map(Math.abs)));
    }
  });

  test('any matrix is the sum of its triplets', () => {
    const matrices = fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }))
      .chain(([rows, columns]) =>
        fc.tuple(
          fc.constant(rows),
          fc.constant(columns),
          fc.array(fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: -1e6, max: 1e6, noNaN: true })), {
            minLength: rows * columns,
            maxLength: rows * columns,
          }),
        ),
      );
    fc.assert(
      fc.property(matrices, ([rows, columns, entries]) => {
        const matrix = Float64Array.from(entries);
        const result = singularTriplets(matrix, rows, columns, Math.min(rows, columns));
        expect(difference(composed(result, rows, columns), matrix)).toBeLessThanOrEqual(1e-13 * norm(matrix));
        expect([...result.values].every((value, i) => i === 0 || value <= result.values[i - 1])).toBe(true);
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});

describe('least squares', () => {
  const [rows, size, count] = [30, 6, 4];
  const design = normals(rows * size, 1);
  const gram = product(transposed(design, rows, size), design, size, rows, size);

  test('the Cholesky factor times its transpose is the matrix', () => {
    const factor = choleskyFactor(gram, size) as Float64Array;
    expect(difference(product(factor, transposed(factor, size, size), size, size, size), gram)).toBeLessThan(1e-12);
  });

  test('the normal equations give back the coefficients of an exact model', () => {
    const truth = normals(size * count, 2);
    const targets = product(gram, truth, size, size, count);
    const solution = solveNormalEquations(gram, targets, size) as Float64Array;
    expect(difference(solution, truth)).toBeLessThan(1e-11);
  });

  test('the ridge is added to the diagonal', () => {
    const identity = Float64Array.of(1, 0, 0, 1);
    const solution = solveNormalEquations(identity, Float64Array.of(4, 6), 2, 1) as Float64Array;
    expect(difference(solution, Float64Array.of(2, 3))).toBeLessThan(1e-15);
  });

  test('a singular matrix gives null, and a solution with a ridge', () => {
    const singular = Float64Array.of(1, 1, 1, 1);
    expect(choleskyFactor(singular, 2)).toBeNull();
    expect(solveNormalEquations(singular, Float64Array.of(1, 1), 2)).toBeNull();
    expect(solveNormalEquations(singular, Float64Array.of(1, 1), 2, 1e-9)?.[0]).toBeCloseTo(0.5, 6);
  });
});
