/**
 * Singular value decomposition in double precision: A = Σ_j σ_j l_j r_jᵀ, σ_1 ≥ σ_2 ≥ … ≥ 0.
 *
 * Small matrices: Householder reduction to a triangle, then one-sided Jacobi rotations (Hestenes 1958; Demmel & Veselić
 * 1992), which find even the smallest singular values to nearly full relative accuracy. Large matrices of which only a
 * few triplets are wanted: subspace iteration from a random start (Halko, Martinsson & Tropp 2011), exact where the
 * rank is no higher than asked for, else slightly below the optimum; what it misses is counted in `rest`.
 */
import { createRandom } from './random.js';

export interface SingularValues {
  /** The largest singular values, descending; at most as many as were asked for. */
  readonly values: Float64Array;
  /** Sum of squares of A that these do not account for: the squared error of the truncated decomposition. */
  readonly rest: number;
}

export interface SingularTriplets extends SingularValues {
  /** Row j (length `rows`) is the left vector l_j; zero where σ_j is zero in double precision. */
  readonly left: Float64Array;
  /** Row j (length `columns`) is r_j, its entry of largest magnitude positive; zero where σ_j is zero. */
  readonly right: Float64Array;
}

/** `count` vectors of `length` entries, one after another. */
interface Vectors {
  readonly data: Float64Array;
  readonly count: number;
  readonly length: number;
}

/** Up to this size of the smaller side all singular values are computed, whatever was asked for. */
const SMALL = 48;
const OVERSAMPLING = 8;
const MAXIMUM_ROUNDS = 10;
const CONVERGED = 1e-4;
const MAXIMUM_SWEEPS = 40;
const PRECISION = 2 ** -52;

/** The `rank` largest singular values of a row-major matrix. */
export function singularValues(matrix: Float64Array, rows: number, columns: number, rank: number): SingularValues {
  const spectrum = isLargeFor(rank, rows, columns)
    ? decompose(leadingSubspace(matrix, rows, columns, rank).image)
    : decompose(columnsOf(matrix, rows, columns));
  return truncated(spectrum.values, rank, sumOfSquares(matrix), isLargeFor(rank, rows, columns));
}

/** The `rank` largest singular triplets of a row-major matrix; the same matrix always gives the same signs. */
export function singularTriplets(matrix: Float64Array, rows: number, columns: number, rank: number): SingularTriplets {
  const large = isLargeFor(rank, rows, columns);
  const { values, left, right } = large
    ? tripletsOfSubspace(leadingSubspace(matrix, rows, columns, rank), rank)
    : allTriplets(matrix, rows, columns, rank);
  fixSigns(left, right);
  return { ...truncated(values, rank, sumOfSquares(matrix), large), left: left.data, right: right.data };
}

/** About how many floating-point operations `singularValues` takes. */
export function decompositionCost(rows: number, columns: number, rank: number): number {
  const side = Math.min(rows, columns);
  if (isLargeFor(rank, rows, columns)) return 20 * rows * columns * (rank + OVERSAMPLING);
  return 2 * rows * columns * side + 50 * side ** 3;
}

function isLargeFor(rank: number, rows: number, columns: number): boolean {
  const side = Math.min(rows, columns);
  return side > SMALL && rank + OVERSAMPLING < side / 3;
}

function truncated(values: Float64Array, rank: number, energy: number, sampled: boolean): SingularValues {
  const kept = values.slice(0, rank);
  // All values known: the sum of those left out is exact; the difference of two large sums is not.
  return {
    values: kept,
    rest: sampled ? Math.max(0, energy - sumOfSquares(kept)) : sumOfSquares(values.subarray(rank)),
  };
}

function allTriplets(matrix: Float64Array, rows: number, columns: number, rank: number) {
  const { values, vectors } = decompose(columnsOf(matrix, rows, columns));
  const wanted = Math.min(rank, vectors.count);
  const near = { data: vectors.data.slice(0, wanted * vectors.length), count: wanted, length: vectors.length };
  const far = rows >= columns ? multiply(matrix, rows, columns, near) : multiplyTransposed(matrix, rows, columns, near);
  divideByValues(far, values);
  return rows >= columns ? { values, left: far, right: near } : { values, left: near, right: far };
}

function tripletsOfSubspace({ basis, image }: { basis: Vectors; image: Vectors }, rank: number) {
  const { values, vectors } = decompose({ ...image, data: image.data.slice() });
  const wanted = { data: vectors.data.slice(0, rank * vectors.length), count: rank, length: vectors.length };
  const left = combine(image, wanted);
  divideByValues(left, values);
  return { values, left, right: combine(basis, wanted) };
}

/** The columns of A, or of its transpose where that is the taller one. */
function columnsOf(matrix: Float64Array, rows: number, columns: number): Vectors {
  if (rows < columns) return { data: matrix.slice(), count: rows, length: columns };
  const data = new Float64Array(matrix.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) data[j * rows + i] = matrix[i * columns + j];
  return { data, count: columns, length: rows };
}

/** Singular values and right vectors of the matrix with these columns (no fewer rows than columns). Overwrites them. */
function decompose(columns: Vectors): { values: Float64Array; vectors: Vectors } {
  const size = columns.count;
  const triangle = triangleOf(columns);
  const scale = Math.sqrt(sumOfSquares(triangle));
  orthogonalizeRows(triangle, size, scale);
  const norms = Float64Array.from({ length: size }, (_, i) => norm(triangle, i * size, size));
  const order = Array.from(norms.keys()).sort((a, b) => norms[b] - norms[a]);
  const values = Float64Array.from(order, (i) => norms[i]);
  const data = new Float64Array(size * size);
  for (const [to, from] of order.entries()) {
    if (norms[from] <= size * PRECISION * scale) continue;
    for (let k = 0; k < size; k++) data[to * size + k] = triangle[from * size + k] / norms[from];
  }
  return { values, vectors: { data, count: size, length: size } };
}

/** R of the QR decomposition by Householder reflections (Golub & Van Loan, 5.2), row-major; overwrites the columns. */
function triangleOf({ data, count, length }: Vectors): Float64Array {
  const triangle = new Float64Array(count * count);
  for (let j = 0; j < count; j++) {
    const pivot = j * length + j;
    const size = norm(data, pivot, length - j);
    const head = data[pivot];
    if (size > 0) data[pivot] += head < 0 ? -size : size;
    const half = size * (size + Math.abs(head));
    triangle[j * count + j] = head < 0 ? size : -size;
    for (let k = j + 1; k < count; k++) {
      const other = k * length + j;
      if (half > 0) subtractMultiple(data, other, pivot, length - j, dot(data, other, pivot, length - j) / half);
      triangle[j * count + k] = data[other];
    }
  }
  return triangle;
}

/** Rotates pairs of rows until all are orthogonal: they are then σ_j r_jᵀ in some order. */
function orthogonalizeRows(rows: Float64Array, size: number, scale: number): void {
  const negligible = (size * PRECISION * scale) ** 2;
  const squares = new Float64Array(size);
  for (let sweep = 0, rotated = true; rotated && sweep < MAXIMUM_SWEEPS; sweep++) {
    rotated = false;
    for (let p = 0; p < size; p++) squares[p] = dot(rows, p * size, p * size, size);
    for (let p = 0; p < size - 1; p++)
      for (let q = p + 1; q < size; q++) if (rotate(rows, squares, p, q, negligible)) rotated = true;
  }
}

/** Makes rows p and q orthogonal; false where they are so already. `squares` holds the rows' squared norms. */
function rotate(rows: Float64Array, squares: Float64Array, p: number, q: number, negligible: number): boolean {
  const size = squares.length;
  const [first, second] = [p * size, q * size];
  if (squares[p] <= negligible || squares[q] <= negligible) return false;
  const product = dot(rows, first, second, size);
  if (Math.abs(product) <= 8 * PRECISION * Math.sqrt(squares[p] * squares[q])) return false;
  const zeta = (squares[q] - squares[p]) / (2 * product);
  const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
  const cosine = 1 / Math.sqrt(1 + tangent * tangent);
  const sine = cosine * tangent;
  for (let k = 0; k < size; k++) {
    const x = rows[first + k];
    const y = rows[second + k];
    rows[first + k] = cosine * x - sine * y;
    rows[second + k] = sine * x + cosine * y;
  }
  squares[p] -= tangent * product;
  squares[q] += tangent * product;
  return true;
}

/** An orthonormal basis that holds the leading right vectors, and A times it. */
function leadingSubspace(matrix: Float64Array, rows: number, columns: number, rank: number) {
  const random = createRandom(0);
  const count = Math.min(rank + OVERSAMPLING, rows, columns);
  const start = { data: Float64Array.from({ length: count * rows }, random.normal), count, length: rows };
  let basis = orthonormalized(multiplyTransposed(matrix, rows, columns, start));
  for (let round = 1, energy = 0; ; round++) {
    const image = multiply(matrix, rows, columns, basis);
    const captured = sumOfSquares(image.data);
    if (captured - energy <= CONVERGED * captured || round === MAXIMUM_ROUNDS) return { basis, image };
    energy = captured;
    basis = orthonormalized(multiplyTransposed(matrix, rows, columns, image));
  }
}

/** Gram–Schmidt, twice (Giraud et al. 2005); a vector that depends on those before it becomes zero. In place. */
function orthonormalized(vectors: Vectors): Vectors {
  const { data, count, length } = vectors;
  for (let j = 0; j < count; j++) {
    const own = j * length;
    const before = norm(data, own, length);
    for (let pass = 0; pass < 2; pass++)
      for (let i = 0; i < j; i++) subtractMultiple(data, own, i * length, length, dot(data, own, i * length, length));
    const after = norm(data, own, length);
    const factor = after > 1e-12 * before ? 1 / after : 0;
    for (let k = 0; k < length; k++) data[own + k] *= factor;
  }
  return vectors;
}

/** A x for each vector x. Four vectors share a walk over a row: reading the matrix is what takes the time. */
function multiply(matrix: Float64Array, rows: number, columns: number, vectors: Vectors): Vectors {
  const count = vectors.count;
  const data = padded(vectors);
  const out = new Float64Array(multipleOfFour(count) * rows);
  for (let i = 0; i < rows; i++) {
    const row = i * columns;
    for (let c = 0; c < count; c += 4) {
      const x = c * columns;
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let k = 0; k < columns; k++) {
        const entry = matrix[row + k];
        s0 += entry * data[x + k];
        s1 += entry * data[x + columns + k];
        s2 += entry * data[x + 2 * columns + k];
        s3 += entry * data[x + 3 * columns + k];
      }
      out[c * rows + i] = s0;
      out[(c + 1) * rows + i] = s1;
      out[(c + 2) * rows + i] = s2;
      out[(c + 3) * rows + i] = s3;
    }
  }
  return { data: out.subarray(0, count * rows), count, length: rows };
}

/** Aᵀ y for each vector y. */
function multiplyTransposed(matrix: Float64Array, rows: number, columns: number, vectors: Vectors): Vectors {
  const { data, count } = vectors;
  const out = new Float64Array(count * columns);
  const whole = rows - (rows % 4);
  for (let i = 0; i < whole; i += 4) {
    const [a, b] = [i * columns, (i + 1) * columns];
    const [c, d] = [b + columns, b + 2 * columns];
    for (let v = 0; v < count; v++) {
      const y = v * rows + i;
      const [y0, y1, y2, y3] = [data[y], data[y + 1], data[y + 2], data[y + 3]];
      for (let k = 0, z = v * columns; k < columns; k++)
        out[z + k] += y0 * matrix[a + k] + y1 * matrix[b + k] + y2 * matrix[c + k] + y3 * matrix[d + k];
    }
  }
  for (let i = whole; i < rows; i++)
    for (let v = 0; v < count; v++)
      for (let k = 0; k < columns; k++) out[v * columns + k] += data[v * rows + i] * matrix[i * columns + k];
  return { data: out, count, length: columns };
}

function multipleOfFour(count: number): number {
  return Math.ceil(count / 4) * 4;
}

/** The vectors followed by zero vectors up to a multiple of four. */
function padded({ data, count, length }: Vectors): Float64Array {
  if (count % 4 === 0) return data;
  const out = new Float64Array(multipleOfFour(count) * length);
  out.set(data);
  return out;
}

/** Σ_i w_i x_i of the vectors x, for each row w of the weights. */
function combine(vectors: Vectors, weights: Vectors): Vectors {
  return multiplyTransposed(vectors.data, vectors.count, vectors.length, weights);
}

function divideByValues({ data, count, length }: Vectors, values: Float64Array): void {
  for (let j = 0; j < count; j++) {
    const factor = values[j] > 0 ? 1 / values[j] : 0;
    for (let k = 0; k < length; k++) data[j * length + k] *= factor;
  }
}

function fixSigns(left: Vectors, right: Vectors): void {
  for (let j = 0; j < right.count; j++) {
    let largest = 0;
    for (let k = 0; k < right.length; k++) {
      const entry = right.data[j * right.length + k];
      if (Math.abs(entry) > Math.abs(largest)) largest = entry;
    }
    if (largest >= 0) continue;
    for (const { data, length } of [left, right])
      for (let k = j * length; k < (j + 1) * length; k++) data[k] = -data[k];
  }
}

function sumOfSquares(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return sum;
}

function norm(data: Float64Array, start: number, length: number): number {
  return Math.sqrt(dot(data, start, start, length));
}

function dot(data: Float64Array, a: number, b: number, length: number): number {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += data[a + k] * data[b + k];
  return sum;
}

function subtractMultiple(data: Float64Array, from: number, what: number, length: number, factor: number): void {
  for (let k = 0; k < length; k++) data[from + k] -= factor * data[what + k];
}
