import { type Kernel, type UnfoldedShape, type Unfolding, unfold, unfoldedShape } from '../../analysis/unfolding.js';
import { singularTriplets } from '../../math/svd.js';

/**
 * A kernel as a sum of products: matrix m of its unfolding is Σ_t left[m, t, ·] right[m, t, ·]ᵀ. What refines the
 * factors (with data, algorithms B.2) can stand between `factorize` and the two convolutions made of them.
 */
export interface Factors extends UnfoldedShape {
  readonly unfolding: Unfolding;
  readonly rank: number;
  /** [count, rank, rows] */
  readonly left: Float64Array;
  /** [count, rank, columns] */
  readonly right: Float64Array;
}

/** The best factors in weight norm (Eckart & Young 1936); √σ goes to each side, so that both keep their range. */
export function factorize(kernel: Kernel, unfolding: Unfolding, rank: number): Factors {
  const shape = unfoldedShape(kernel, unfolding);
  const { count, rows, columns } = shape;
  const left = new Float64Array(count * rank * rows);
  const right = new Float64Array(count * rank * columns);
  let index = 0;
  for (const matrix of unfold(kernel, unfolding)) {
    const triplets = singularTriplets(matrix, rows, columns, rank);
    for (let t = 0; t < rank; t++) {
      const scale = Math.sqrt(triplets.values[t]);
      for (let i = 0; i < rows; i++) left[(index * rank + t) * rows + i] = scale * triplets.left[t * rows + i];
      for (let i = 0; i < columns; i++)
        right[(index * rank + t) * columns + i] = scale * triplets.right[t * columns + i];
    }
    index++;
  }
  return { ...shape, unfolding, rank, left, right };
}
