/** Linear least squares through the normal equations, in double precision; all matrices are row-major. */

/**
 * The lower triangle L with L Lᵀ = `matrix` + `ridge`·I (Cholesky; only the lower triangle of the symmetric size × size
 * matrix is read), or null where that is not positive definite in double precision.
 */
export function choleskyFactor(matrix: Float64Array, size: number, ridge = 0): Float64Array | null {
  const factor = new Float64Array(size * size);
  for (let first = 0; first < size; first += 4) {
    const end = Math.min(size, first + 4);
    if (end - first === 4) eliminateFour(matrix, factor, size, first);
    for (let i = first; i < end; i++)
      for (let j = end - first === 4 ? first : 0; j <= i; j++) {
        let sum = matrix[i * size + j] + (i === j ? ridge : 0);
        for (let k = 0; k < j; k++) sum -= factor[i * size + k] * factor[j * size + k];
        if (i !== j) factor[i * size + j] = sum / factor[j * size + j];
        else if (sum > 2 ** -52 * Math.abs(matrix[i * size + i])) factor[i * size + i] = Math.sqrt(sum);
        else return null;
      }
  }
  return factor;
}

/** Rows `first` to `first + 3` of the factor left of their diagonal block: four sums at a time keep the processor busy. */
function eliminateFour(matrix: Float64Array, factor: Float64Array, size: number, first: number): void {
  const [a, b, c, d] = [0, 1, 2, 3].map((r) => (first + r) * size);
  for (let j = 0; j < first; j++) {
    const row = j * size;
    let [s0, s1, s2, s3] = [matrix[a + j], matrix[b + j], matrix[c + j], matrix[d + j]];
    for (let k = 0; k < j; k++) {
      const other = factor[row + k];
      s0 -= other * factor[a + k];
      s1 -= other * factor[b + k];
      s2 -= other * factor[c + k];
      s3 -= other * factor[d + k];
    }
    const pivot = factor[row + j];
    factor[a + j] = s0 / pivot;
    factor[b + j] = s1 / pivot;
    factor[c + j] = s2 / pivot;
    factor[d + j] = s3 / pivot;
  }
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
  const solution = new Float64Array(targets.length);
  const panel = new Float64Array(size * PANEL);
  for (let first = 0; first < count; first += PANEL) {
    const width = Math.min(PANEL, count - first);
    for (let i = 0; i < size; i++) panel.set(targets.subarray(i * count + first, i * count + first + width), i * PANEL);
    for (let i = 0; i < size; i++) {
      subtractRows(panel, i, 0, i, factor, i * size, 1);
      divideRow(panel, i, factor[i * size + i]);
    }
    for (let i = size - 1; i >= 0; i--) {
      subtractRows(panel, i, i + 1, size, factor, i, size);
      divideRow(panel, i, factor[i * size + i]);
    }
    for (let i = 0; i < size; i++) solution.set(panel.subarray(i * PANEL, i * PANEL + width), i * count + first);
  }
  return solution;
}

/** Columns that are solved for together, so that they stay in the processor's cache. */
const PANEL = 64;

/** Row i of the panel −= Σ_k c_k · row k, k from `start` to `end` − 1, with c_k = `factor[offset + k · stride]`. */
function subtractRows(
  panel: Float64Array,
  i: number,
  start: number,
  end: number,
  factor: Float64Array,
  offset: number,
  stride: number,
): void {
  const to = i * PANEL;
  let k = start;
  for (; k + 4 <= end; k += 4) {
    const c0 = factor[offset + k * stride];
    const c1 = factor[offset + (k + 1) * stride];
    const c2 = factor[offset + (k + 2) * stride];
    const c3 = factor[offset + (k + 3) * stride];
    const from = k * PANEL;
    for (let c = 0; c < PANEL; c++)
      panel[to + c] -=
        c0 * panel[from + c] +
        c1 * panel[from + PANEL + c] +
        c2 * panel[from + 2 * PANEL + c] +
        c3 * panel[from + 3 * PANEL + c];
  }
  for (; k < end; k++) {
    const coefficient = factor[offset + k * stride];
    for (let c = 0; c < PANEL; c++) panel[to + c] -= coefficient * panel[k * PANEL + c];
  }
}

function divideRow(panel: Float64Array, i: number, pivot: number): void {
  for (let c = i * PANEL; c < (i + 1) * PANEL; c++) panel[c] /= pivot;
}
