import { bytesInMemory } from '../ir/bytes.js';
import { Tensor } from '../ir/tensor.js';

/**
 * A convolution's weight W[p, q, k] as it is stored: `groups` blocks of `outer` rows p on axis 0, `inner` coordinates q
 * on axis 1, K kernel positions k. Axis 0 holds the output channels of Conv and the input channels of ConvTranspose.
 */
export interface Kernel {
  readonly weight: Tensor;
  readonly groups: number;
  readonly outer: number;
  readonly inner: number;
  readonly spatial: readonly number[];
  readonly positions: number;
}

export function kernelOf(weight: Tensor, groups: number): Kernel {
  const [rows, inner, ...spatial] = weight.shape;
  const positions = spatial.reduce((product, size) => product * size, 1);
  return { weight, groups, outer: rows / groups, inner, spatial, positions };
}

/**
 * How a kernel is laid out as matrices, so that low rank of all of them means a cheaper pair of convolutions
 * (algorithms, B):
 * - `inner`: for each group and q the matrix [p, k];
 * - `outer`: for each p the matrix [q, k];
 * - `spatial`: for each group the matrix [(p, k of the other axes), (q, k of the first spatial axis)];
 * - `channel`: for each group the matrix [p, (q, k)].
 */
export type Unfolding = 'inner' | 'outer' | 'spatial' | 'channel';

/** How many matrices of which size an unfolding has. */
export interface UnfoldedShape {
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
}

export function unfoldedShape({ groups, outer, inner, spatial, positions }: Kernel, by: Unfolding): UnfoldedShape {
  switch (by) {
    case 'inner':
      return { count: groups * inner, rows: outer, columns: positions };
    case 'outer':
      return { count: groups * outer, rows: inner, columns: positions };
    case 'spatial':
      return { count: groups, rows: (outer * positions) / spatial[0], columns: inner * spatial[0] };
    case 'channel':
      return { count: groups, rows: outer, columns: inner * positions };
  }
}

/** Bytes of a weight that are read at once. */
const SLAB = 8 << 20;

/** The kernel read once, for those who unfold it several times; a large one stays where it lies. */
export function inMemoryIfSmall(kernel: Kernel): Kernel {
  const { dtype, shape, byteLength } = kernel.weight;
  if (byteLength > SLAB) return kernel;
  return { ...kernel, weight: Tensor.over(dtype, shape, bytesInMemory(kernel.weight.toBytes())) };
}

/**
 * The matrices of an unfolding in order, row-major. The weight is read piece by piece where the matrices allow it. Each
 * matrix is valid until the next one is asked for.
 */
export function* unfold(kernel: Kernel, by: Unfolding): Generator<Float64Array> {
  const { weight, groups, outer, inner, positions } = kernel;
  const { rows, columns } = unfoldedShape(kernel, by);
  const matrix = new Float64Array(rows * columns);
  if (by === 'outer') {
    for (const slab of weight.slabs(SLAB)) {
      const values = slab.toNumbers();
      for (let at = 0; at < values.length; at += matrix.length) yield copy(values, at, matrix);
    }
    return;
  }
  for (let group = 0; group < groups; group++) {
    const block = groups === 1 ? weight : weight.rows(group * outer, (group + 1) * outer);
    if (by === 'channel') yield copy(block.toNumbers(), 0, matrix);
    else if (by === 'spatial') yield spatialMatrix(kernel, block.toNumbers(), matrix);
    else {
      const atOnce = Math.max(1, Math.floor(SLAB / (8 * outer * positions)));
      for (let first = 0; first < inner; first += atOnce) {
        const width = Math.min(atOnce, inner - first);
        const values = (width === inner ? block : block.slice(1, first, first + width)).toNumbers();
        for (let q = 0; q < width; q++) yield strided(values, q * positions, width * positions, matrix, columns);
      }
    }
  }
}

function copy(values: ArrayLike<number>, start: number, matrix: Float64Array): Float64Array {
  for (let i = 0; i < matrix.length; i++) matrix[i] = values[start + i];
  return matrix;
}

/** Rows of `columns` values that start `stride` apart. */
function strided(
  values: ArrayLike<number>,
  start: number,
  stride: number,
  matrix: Float64Array,
  columns: number,
): Float64Array {
  for (let to = 0, from = start; to < matrix.length; to += columns, from += stride)
    for (let k = 0; k < columns; k++) matrix[to + k] = values[from + k];
  return matrix;
}

/** values[p, q, y, x] -> matrix[(p, x), (q, y)], y on the first spatial axis, x on the others. */
function spatialMatrix(
  { outer, inner, spatial, positions }: Kernel,
  values: ArrayLike<number>,
  matrix: Float64Array,
): Float64Array {
  const first = spatial[0];
  const others = positions / first;
  let from = 0;
  for (let p = 0; p < outer; p++)
    for (let q = 0; q < inner; q++)
      for (let y = 0; y < first; y++)
        for (let x = 0; x < others; x++) matrix[(p * others + x) * inner * first + q * first + y] = values[from++];
  return matrix;
}
