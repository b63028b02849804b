/** Linear least squares through the normal equations, in double precision; all matrices are row-major. */

/**
 * The lower triangle L with L Lᵀ = `matrix` + `ridge`·I (Cholesky; only the lower triangle of the symmetric size × size
 * matrix is read), or null where that is not positive definite in double precision.
 */
export function choleskyFactor(matrix: Float64Array, size: number, ridge = 0): Float64Array | null {
  const factor = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * size + j] + (i === j ? ridge : 0);
      for (let k = 0; k < j; k++) sum -= factor[i * size + k] * factor[j * size + k];
      if (i !== j) factor[i * size + j] = sum / factor[j * size + j];
      else if (sum > 2 ** -52 * Math.abs(matrix[i * size + i])) factor[i * size + i] = Math.sqrt(sum);
      else return null;
    }
  }
  return factor;
}

/**
 * X (size × count) with (`gram` + `ridge`·I) X = `targets` (size × count): with gram = AᵀA and targets = AᵀB the
 * minimizer of ‖A X − B‖² + ridge ‖X‖². Null where the left side is not positive definite in double precision; a
 * larger ridge mends that.
 */
export function solveNormalEquations(
  gram: Float64Array,
  targets: Float64Array,
  size: number,
  ridge = 0,
): Float64Array | null {
  const factor = choleskyFactor(gram, size, ridge);
  if (!factor) return null;
  const count = targets.length / size;
  const solution = targets.slice();
  const eliminate = (i: number, k: number, coefficient: number) => {
    for (let c = 0; c < count; c++) solution[i * count + c] -= coefficient * solution[k * count + c];
  };
  const divide = (i: number) => {
    for (let c = 0; c < count; c++) solution[i * count + c] /= factor[i * size + i];
  };
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) eliminate(i, k, factor[i * size + k]);
    divide(i);
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) eliminate(i, k, factor[k * size + i]);
    divide(i);
  }
  return solution;
}
