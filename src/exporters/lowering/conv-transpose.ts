import type { Window } from '../../ops/window.js';
import { type Kernel, perGroup, readKernel, scattered, ungrouped, widened, withoutDilation } from './kernels.js';
import type { NodeLowering } from './node-lowering.js';
import { widenedWindow } from './windows.js';

/** How one axis of a transposed convolution is said: all of `valid`'s output and what is cut from it, or `same`. */
interface TransposedAxis {
  readonly kernel: number;
  readonly begin: number;
  readonly size: number;
  readonly isSame: boolean;
}

export function lowerConvTranspose(node: NodeLowering): void {
  const rank = node.shape().length - 2;
  const { window, weight, bias, groups } = withoutDilation(readKernel(node, rank));
  const outputs = node.outputShape().slice(2);
  const wide = rank === 1 ? { window: widenedWindow(window), weight: widened(weight, 2) } : { window, weight };
  const [batch, channels] = node.outputShape();
  const x = rank === 1 ? node.reshape(node.input(), widenedShape(node.shapeOf(node.input()))) : node.input();
  const sizes = rank === 1 ? [1, ...outputs] : outputs;
  const axes = sizes.map((size, axis) =>
    transposedAxis(node, axis, size, wide.window, node.shapeOf(x)[axis + 1], rank),
  );
  const y = transposeGroups(node, x, axes, { ...wide, bias, groups });
  node.give(rank === 1 ? node.reshape(y, [batch, ...outputs, channels]) : y);
}

/** Zeros that may be added to a weight to spare slices, or several passes over the output. */
const MOST_ZEROS = 1024;

/**
 * No format has groups here. Small weights get zeros between the groups; where each channel is a group and windows do
 * not overlap, every place of the window is a product of its own; all else goes group by group.
 */
function transposeGroups(node: NodeLowering, x: string, axes: readonly TransposedAxis[], kernel: Kernel): string {
  const { weight, groups, bias, window } = kernel;
  if (groups === 1) return transposed(node, x, axes, kernel);
  const isTiled = weight.shape[1] === 1 && groups === weight.shape[0] && isTiling(axes, window, node.shapeOf(x));
  if (isTiled && node.target.repeatsFast) return repeatedAndScaled(node, x, kernel);
  const isSmall = weight.size * (groups - 1) <= MOST_ZEROS;
  if (isSmall) return transposed(node, x, axes, { ...kernel, weight: ungrouped(weight, groups) });
  if (isTiled) return productsByPlace(node, x, kernel);
  const [inputs, width] = [weight.shape[0] / groups, weight.shape[1]];
  return perGroup(node, x, groups, (part, group) =>
    transposed(node, part, axes, {
      ...kernel,
      weight: weight.slice(0, group * inputs, (group + 1) * inputs),
      bias: bias?.slice(0, group * width, (group + 1) * width),
    }),
  );
}

/** Whether the output is a square of each input element's own, with nothing between or cut. */
function isTiling(
  axes: readonly TransposedAxis[],
  { kernel, strides }: Window,
  [, ...input]: readonly number[],
): boolean {
  const isWhole = axes.every(({ begin, size }, i) => begin === 0 && size === input[i] * strides[i]);
  return isWhole && axes.length === 2 && [...kernel, ...strides].every((size) => size === kernel[0]);
}

/**
 * y[c, k·h + i, k·w + j] = x[c, h, w] · W[c, i, j]: each element repeated, and every k rows of k columns times the same
 * factors, which a shape with i and (j, c) as axes says by broadcasting.
 */
function repeatedAndScaled(node: NodeLowering, x: string, { window, weight, bias }: Kernel): string {
  const [size] = window.kernel;
  const [batch, height, width, channels] = node.shapeOf(x);
  const shape = [batch, height * size, width * size, channels];
  const flags = { alignCorners: false, halfPixelCenters: false };
  const repeated = node.apply('resize2d', [x], { method: 'nearest', size: shape.slice(1, 3), ...flags }, shape);
  const rows = node.reshape(repeated, [batch * height, size, width, size * channels]);
  const factors = weight
    .reshape([channels, size, size])
    .permute([1, 2, 0])
    .reshape([1, size, 1, size * channels]);
  const y = node.reshape(node.binary('multiply', rows, node.addConstant('factors', factors)), shape);
  return bias ? node.binary('add', y, node.addConstant('bias', bias)) : y;
}

/** The same as products of all of x, place (i, j) after place, as depth to space wants them. */
function productsByPlace(node: NodeLowering, x: string, { window, weight, bias }: Kernel): string {
  const [blockSize] = window.kernel;
  const [batch, height, width, channels] = node.shapeOf(x);
  const places = weight.reshape([channels, blockSize * blockSize]).permute([1, 0]);
  const products = Array.from({ length: blockSize * blockSize }, (_, place) => {
    const factor = places.slice(0, place, place + 1).reshape([channels]);
    return node.binary('multiply', x, node.addConstant('factor', factor));
  });
  const y = node.apply('depthToSpace', [node.concat(products, 3)], { blockSize }, [
    batch,
    height * blockSize,
    width * blockSize,
    channels,
  ]);
  return bias ? node.binary('add', y, node.addConstant('bias', bias)) : y;
}

function widenedShape([batch, length, channels]: readonly number[]): number[] {
  return [batch, 1, length, channels];
}

/**
 * ONNX cuts `begin` elements from the front of the full output, (input − 1)·stride + kernel, and takes `size` from
 * there. TensorFlow's `same` is that with size = input·stride and begin = ⌊(kernel − stride) / 2⌋. Where the full output ends
 * too early (output_padding beyond the end pad), zeros behind the kernel make it longer.
 */
function transposedAxis(
  node: NodeLowering,
  axis: number,
  size: number,
  window: Window,
  input: number,
  rank: number,
): TransposedAxis {
  const [kernel, stride] = [window.kernel[axis], window.strides[axis]];
  const begin = cutBefore(node, axis, size, window, input, rank);
  const full = (input - 1) * stride + kernel;
  const isSame = kernel >= stride && size === input * stride && begin === Math.floor((kernel - stride) / 2);
  return { kernel: kernel + Math.max(0, begin + size - full), begin, size, isSame };
}

/** Pads before an axis: those that the node names, or what its output's size leaves (ONNX ConvTranspose, `auto_pad` and `output_shape`). */
function cutBefore(
  node: NodeLowering,
  axis: number,
  size: number,
  window: Window,
  input: number,
  rank: number,
): number {
  const own = rank === 1 ? axis - 1 : axis;
  if (own < 0) return 0;
  const isSame = window.autoPad === 'SAME_UPPER' || window.autoPad === 'SAME_LOWER';
  if (!isSame && !node.list('output_shape')) return window.padsBegin[axis];
  const outputPadding = node.list('output_padding')?.[own] ?? 0;
  const total = Math.max(0, window.strides[axis] * (input - 1) + outputPadding + window.kernel[axis] - size);
  return window.autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : total - Math.floor(total / 2);
}

/** Filter as [O, h, w, I] in 2-D and [d, h, w, O, I] in 3-D; the weight is [I, O, k…]. */
function transposed(
  node: NodeLowering,
  x: string,
  axes: readonly TransposedAxis[],
  { window, weight, bias }: Kernel,
): string {
  const is3d = axes.length === 3;
  const isSame = axes.every((axis) => axis.isSame);
  const kernels = axes.map(({ kernel }, axis) => (isSame ? window.kernel[axis] : kernel));
  const isLonger = kernels.some((kernel, axis) => kernel > window.kernel[axis]);
  const longer = isLonger
    ? scattered(
        weight,
        kernels,
        kernels.map(() => 1),
      )
    : weight;
  const filter = node.addConstant('filter', longer.permute(is3d ? [2, 3, 4, 1, 0] : [1, 2, 3, 0]));
  const [batch, ...rest] = node.shapeOf(x);
  const channels = weight.shape[1];
  const full = axes.map((axis, i) => (isSame ? axis.size : (rest[i] - 1) * window.strides[i] + kernels[i]));
  const y = node.apply(
    is3d ? 'transposeConv3d' : 'transposeConv2d',
    [x, filter, ...(bias ? [node.addConstant('bias', bias)] : [])],
    { strides: window.strides, padding: isSame ? 'same' : 'valid' },
    [batch, ...full, channels],
  );
  if (isSame) return y;
  return node.slice(y, [0, ...axes.map(({ begin }) => begin), 0], [batch, ...axes.map(({ size }) => size), channels]);
}
