import { type Kernel, kernelOf, type Unfolding, unfoldedShape } from '../../src/analysis/unfolding.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';

/** Normally distributed numbers. */
export function normals(count: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length: count }, random.normal);
}

/** Where matrix `m`, row `i`, column `j` of an unfolding lies in the stored weight, by the definition of unfoldings. */
export function storedIndex(kernel: Kernel, by: Unfolding, m: number, i: number, j: number): number {
  const { outer, inner, spatial, positions } = kernel;
  const at = (p: number, q: number, k: number) => (p * inner + q) * positions + k;
  switch (by) {
    case 'inner':
      return at(Math.floor(m / inner) * outer + i, m % inner, j);
    case 'outer':
      return at(m, i, j);
    case 'channel':
      return at(m * outer + i, Math.floor(j / positions), j % positions);
    case 'spatial': {
      const others = positions / spatial[0];
      const [p, x] = [Math.floor(i / others), i % others];
      const [q, y] = [Math.floor(j / spatial[0]), j % spatial[0]];
      return at(m * outer + p, q, y * others + x);
    }
  }
}

/** A float weight of that shape all of whose matrices have the given rank, up to the rounding of its entries. */
export function kernelOfRank(shape: readonly number[], groups: number, by: Unfolding, rank: number, seed = 1): Tensor {
  const kernel = kernelOf(Tensor.floats(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape), groups);
  const { count, rows, columns } = unfoldedShape(kernel, by);
  const values = new Float64Array(kernel.weight.size);
  for (let m = 0; m < count; m++) {
    const left = normals(rank * rows, seed + 2 * m);
    const right = normals(rank * columns, seed + 2 * m + 1);
    for (let t = 0; t < rank; t++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++)
          values[storedIndex(kernel, by, m, i, j)] += left[t * rows + i] * right[t * columns + j];
  }
  return Tensor.floats(values, shape);
}
