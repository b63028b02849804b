import { isTiling, tapOffsets } from './adjoint-convolution.js';
import { timesTransposed } from './fused-matmul.js';
import type { Convolution, Kernels, Value } from './kernels.js';

/**
 * Faster forms of the adjoints of convolutions, in plain operators. Each covers what networks are mostly made of and is
 * undefined for the rest. (One thread, 33 MB: the convolution that has dY as its kernel takes 250 to 350 ms, these 9 to
 * 110.)
 */

/** More positions of the kernel than this are not worth a node each. */
const MOST_TAPS = 49;

/** dW [O, I / groups, k…]. */
export function plainWeightGradient(
  k: Kernels,
  { x, dy, shape, how }: { x: Value; dy: Value; shape: readonly number[]; how: Convolution },
): Value | undefined {
  const [out, perGroup, ...kernel] = shape;
  const isDepthwise = perGroup === 1 && how.groups === out && how.groups > 1;
  if (isSquareTiling(how, kernel, x)) {
    if (isDepthwise) return tiledDepthwiseGradient(k, x, dy, kernel[0]);
    return how.groups === 1 ? tiledGradient(k, x, dy, kernel[0]) : undefined;
  }
  if (isDepthwise && how.strides.at(-1) === 1) return depthwiseGradient(k, x, dy, kernel, how);
  const taps = kernel.reduce((product, size) => product * size, 1);
  const isUnit = how.strides.every((stride) => stride === 1);
  return how.groups === 1 && isUnit && taps <= MOST_TAPS ? gradientByTaps(k, x, dy, kernel, how) : undefined;
}

/** One matrix product a tap: dY times what the tap has read. */
function gradientByTaps(k: Kernels, x: Value, dy: Value, kernel: readonly number[], how: Convolution): Value {
  const [batch, channels] = x.shape;
  const space = dy.shape.slice(2);
  const axes = space.map((_, axis) => axis + 2);
  const pixels = space.reduce((product, size) => product * size, 1);
  const gradient = k.reshape(dy, [batch, dy.shape[1], pixels]);
  const padded = k.pad(x, [0, 0, ...how.padsBegin], [0, 0, ...how.padsEnd]);
  const products = tapOffsets(kernel, how).map((from) => {
    const to = from.map((start, axis) => start + space[axis]);
    const read = k.reshape(k.slice(padded, axes, from, to), [batch, channels, pixels]);
    return k.sum(timesTransposed(k, gradient, read), [0], true);
  });
  const byTap = k.transpose(k.concat(products, 0), [1, 2, 0]);
  return k.reshape(byTap, [dy.shape[1], channels, ...kernel]);
}

/** dY as the kernel of a convolution in one group a channel and image, for one column of the kernel after the other. */
function depthwiseGradient(k: Kernels, x: Value, dy: Value, kernel: readonly number[], how: Convolution): Value {
  const [batch, channels] = x.shape;
  const groups = batch * channels;
  const space = dy.shape.slice(2);
  const last = space.length + 1;
  const padded = k.pad(x, [0, 0, ...how.padsBegin], [0, 0, ...how.padsEnd]);
  const filter = k.reshape(dy, [groups, 1, ...space]);
  const width = space[last - 2];
  const attributes = {
    kernel_shape: space,
    strides: how.dilations.map((step, axis) => (axis === last - 2 ? 1 : step)),
    dilations: how.strides,
    group: groups,
  };
  const columns = Array.from({ length: kernel[last - 2] }, (_, i) => {
    const from = i * how.dilations[last - 2];
    const column = k.slice(padded, [last], [from], [from + width]);
    return k.operator('Conv', [k.reshape(column, [1, groups, ...column.shape.slice(2)]), filter], attributes);
  });
  const all = k.concat(columns, last);
  // Rows that the stride never reaches give taps beyond the kernel.
  const axes = kernel.map((_, axis) => axis + 2);
  const taps = k.slice(
    all,
    axes,
    axes.map(() => 0),
    kernel,
  );
  return k.reshape(k.sum(k.reshape(taps, [batch, channels, ...kernel]), [0]), [channels, 1, ...kernel]);
}

function tiledGradient(k: Kernels, large: Value, small: Value, size: number): Value {
  const deep = k.operator('SpaceToDepth', [large], { blocksize: size });
  const rows = (value: Value) => k.reshape(value, [value.shape[0], value.shape[1], value.shape[2] * value.shape[3]]);
  const product = k.sum(timesTransposed(k, rows(small), rows(deep)), [0]);
  const byTap = k.reshape(product, [small.shape[1], size, size, large.shape[1]]);
  return k.transpose(byTap, [0, 3, 1, 2]);
}

function tiledDepthwiseGradient(k: Kernels, large: Value, small: Value, size: number): Value {
  const [batch, channels, height, width] = small.shape;
  const pixels = height * width;
  const deep = k.operator('SpaceToDepth', [large], { blocksize: size });
  const rows = k.reshape(deep, [batch, size * size, channels, 1, pixels]);
  const products = timesTransposed(k, rows, k.reshape(small, [batch, 1, channels, 1, pixels]));
  const byTap = k.sum(k.reshape(products, [batch, size * size, channels]), [0]);
  return k.reshape(k.transpose(byTap, [1, 0]), [channels, 1, size, size]);
}

/** The transposed convolution whose kernel tiles its result. */
export function plainTiles(k: Kernels, call: TransposedConvolution): Value | undefined {
  const { weight, how, space } = call;
  const [input, perGroup, ...kernel] = weight.shape;
  if (how.groups === 1)
    return isSquareTiling(how, kernel, { shape: [0, 0, ...space], dtype: 'f32' }) ? denseTiles(k, call) : undefined;
  return how.groups === input && perGroup === 1 && isTiling(how, kernel, space) ? depthwiseTiles(k, call) : undefined;
}

/** All positions of the kernel as channels of a 1x1 convolution, then depth to space. */
function denseTiles(k: Kernels, { x, weight, bias }: TransposedConvolution): Value {
  const [input, out, size] = weight.shape;
  const taps = size * size;
  const matrix = k.reshape(k.transpose(weight, [2, 3, 1, 0]), [taps * out, input, 1, 1]);
  const biases = bias && k.reshape(k.expand(bias, [taps, out]), [taps * out]);
  const deep = k.operator('Conv', [x, matrix, biases], { kernel_shape: [1, 1] });
  return k.operator('DepthToSpace', [deep], { blocksize: size });
}

/** Each element of x times its channel's kernel: the repeated x times the repeated kernel. */
function depthwiseTiles(k: Kernels, { x, weight, bias }: TransposedConvolution): Value {
  const [channels, , ...kernel] = weight.shape;
  const space = x.shape.slice(2);
  // The last axis first: what is repeated afterwards are long rows.
  const pattern = space.reduceRight(
    (tiles, size, axis) => {
      const repeats = tiles.shape.map((_, i) => (i === axis + 2 ? size : 1));
      return k.operator('Tile', [tiles, k.integers(repeats)]);
    },
    k.reshape(weight, [1, channels, ...kernel]),
  );
  const y = k.multiply(k.repeat(x, kernel), pattern);
  return bias ? k.add(y, k.perChannel(bias, y)) : y;
}

interface TransposedConvolution {
  readonly x: Value;
  readonly weight: Value;
  readonly bias: Value | undefined;
  readonly how: Convolution;
  /** Spatial size of the result. */
  readonly space: readonly number[];
}

/** SpaceToDepth and its inverse know square tiles only. */
function isSquareTiling(how: Convolution, kernel: readonly number[], large: Value): boolean {
  return kernel.length === 2 && kernel[0] === kernel[1] && isTiling(how, kernel, large.shape.slice(2));
}
