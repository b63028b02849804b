import { Tensor } from '../../ir/tensor.js';
import { readWindow, slide, type Window } from '../../ops/window.js';
import { CHANNELS_LAST } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import type { Padding } from './operations.js';
import type { LoweringRules } from './rule.js';
import { arePadsOfSame, isSizeOfSame, touchedPads, twoDimensional, widenedWindow } from './windows.js';

export const convRules: LoweringRules = {
  Conv: { layout: CHANNELS_LAST, lower: lowerConv, limits: '1-D to 3-D; weights must be constants' },
  ConvTranspose: { layout: CHANNELS_LAST, lower: lowerConvTranspose, limits: '1-D to 3-D; weights must be constants' },
};

/** A convolution as the kernels want it: the window without dilation where that cannot be said, weights [O, I/groups, k…]. */
interface Kernel {
  readonly window: Window;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly groups: number;
}

function lowerConv(node: NodeLowering): void {
  const rank = node.shape().length - 2;
  const kernel = readKernel(node, rank);
  node.give(
    twoDimensional(node, node.input(), kernel.window, (x, window) => {
      const weight = widened(kernel.weight, window.kernel.length);
      return convolve(node, x, { ...kernel, window, weight });
    }),
  );
}

function readKernel(node: NodeLowering, rank: number): Kernel {
  if (rank > 3) node.fail(`it has ${rank} spatial axes; at most 3 are possible`);
  const weight = node.requireConstant(1);
  const bias = node.has(2) ? node.requireConstant(2) : undefined;
  const window = readWindow(node.attributes as never, rank, weight.shape.slice(2));
  return { window, weight, bias, groups: node.number('group') };
}

/** One spatial axis of extent 1 put before the only one of a 1-D weight. */
function widened(weight: Tensor, spatialRank: number): Tensor {
  const [o, i, ...kernel] = weight.shape;
  return kernel.length < spatialRank ? weight.reshape([o, i, 1, ...kernel]) : weight;
}

function convolve(node: NodeLowering, x: string, given: Kernel): string {
  const kernel = node.target.dilatedStrides ? given : withoutDilatedStrides(given);
  const channels = node.shapeOf(x)[node.shapeOf(x).length - 1];
  const { groups, weight, window } = kernel;
  if (window.kernel.length === 2 && groups === channels && groups > 1) return depthwise(node, x, kernel);
  const splits = groups > 1 && (window.kernel.length === 3 || !node.target.groupedConvolution);
  if (!splits) return dense(node, x, kernel);
  return perGroup(node, x, groups, (part, group) => {
    const outputs = weight.shape[0] / groups;
    const rows = [group * outputs, (group + 1) * outputs] as const;
    return dense(node, part, {
      window,
      weight: weight.slice(0, ...rows),
      bias: kernel.bias?.slice(0, ...rows),
      groups: 1,
    });
  });
}

/** Slices of the channels, each on its own, joined again. */
function perGroup(
  node: NodeLowering,
  x: string,
  groups: number,
  make: (part: string, group: number) => string,
): string {
  const shape = node.shapeOf(x);
  const axis = shape.length - 1;
  const width = shape[axis] / groups;
  const parts = Array.from({ length: groups }, (_, group) => {
    const begin = shape.map((_, i) => (i === axis ? group * width : 0));
    return make(
      node.slice(
        x,
        begin,
        shape.map((size, i) => (i === axis ? width : size)),
      ),
      group,
    );
  });
  return node.concat(parts, axis);
}

/** Filter as [O, h, w, I] in 2-D and [d, h, w, I, O] in 3-D. */
function dense(node: NodeLowering, x: string, { window, weight, bias }: Kernel): string {
  const is3d = window.kernel.length === 3;
  const filter = node.addConstant('filter', weight.permute(is3d ? [2, 3, 4, 1, 0] : [0, 2, 3, 1]));
  const { value, padding, shape } = padded(node, x, window);
  return node.apply(
    is3d ? 'conv3d' : 'conv2d',
    [value, filter, ...(bias ? [node.addConstant('bias', bias)] : [])],
    { strides: window.strides, dilations: window.dilations, padding },
    [...shape, weight.shape[0]],
  );
}

/** Filter as [1, h, w, C·multiplier]. */
function depthwise(node: NodeLowering, x: string, { window, weight, bias, groups }: Kernel): string {
  const filter = node.addConstant('filter', weight.permute([1, 2, 3, 0]));
  const { value, padding, shape } = padded(node, x, window);
  return node.apply(
    'depthwiseConv2d',
    [value, filter, ...(bias ? [node.addConstant('bias', bias)] : [])],
    { strides: window.strides, dilations: window.dilations, padding, multiplier: weight.shape[0] / groups },
    [...shape, weight.shape[0]],
  );
}

/** The input with the padding that the operation itself cannot say, what is left to say, and the output's shape but for the channels. */
function padded(
  node: NodeLowering,
  x: string,
  window: Window,
): { value: string; padding: Padding; shape: readonly number[] } {
  const [batch, ...rest] = node.shapeOf(x);
  const spatial = rest.slice(0, -1);
  const output = slide(window, spatial).map(Number);
  const pads = touchedPads(window, spatial, output);
  const shape = [batch, ...output];
  const { begin, end } = pads;
  if ([...begin, ...end].every((count) => count === 0)) return { value: x, padding: 'valid', shape };
  if (isSizeOfSame(window, spatial, output) && arePadsOfSame(window, spatial, pads))
    return { value: x, padding: 'same', shape };
  const isNegative = begin.some((count) => count < 0);
  if (node.target.explicitPadding && !isNegative && spatial.length === 2)
    return { value: x, padding: { before: begin, after: end }, shape };
  return { value: node.padOrCrop(x, [0, ...begin, 0], [0, ...end, 0], 0), padding: 'valid', shape };
}

/** Dilation as zeros within the kernel, where an axis has strides too. */
function withoutDilatedStrides(kernel: Kernel): Kernel {
  const { window } = kernel;
  const isDilated = window.dilations.some((dilation) => dilation > 1);
  return isDilated && window.strides.some((stride) => stride > 1) ? withoutDilation(kernel) : kernel;
}

/** The same kernel with its holes written out as zeros. */
function withoutDilation(kernel: Kernel): Kernel {
  const { window, weight } = kernel;
  if (window.dilations.every((dilation) => dilation === 1)) return kernel;
  const reach = window.kernel.map((size, axis) => (size - 1) * window.dilations[axis] + 1);
  return {
    ...kernel,
    weight: scattered(weight, reach, window.dilations),
    window: { ...window, kernel: reach, dilations: reach.map(() => 1) },
  };
}

/** The weight in a larger kernel, its taps `steps` apart from the first corner on, zeros elsewhere. */
function scattered(weight: Tensor, kernel: readonly number[], steps: readonly number[]): Tensor {
  const [o, i, ...small] = weight.shape;
  const values = weight.toFloat32();
  const taps = small.reduce((product, size) => product * size, 1);
  const places = Array.from({ length: taps }, (_, tap) => {
    let rest = tap;
    let place = 0;
    let stride = 1;
    for (let axis = small.length - 1; axis >= 0; axis--) {
      place += (rest % small[axis]) * steps[axis] * stride;
      rest = Math.floor(rest / small[axis]);
      stride *= kernel[axis];
    }
    return place;
  });
  const size = kernel.reduce((product, extent) => product * extent, 1);
  const result = new Float32Array(o * i * size);
  for (let filter = 0; filter < o * i; filter++)
    for (let tap = 0; tap < taps; tap++) result[filter * size + places[tap]] = values[filter * taps + tap];
  return Tensor.encode(weight.dtype === 'f16' ? 'f16' : 'f32', [o, i, ...kernel], result);
}

/** How one axis of a transposed convolution is said: all of `valid`'s output and what is cut from it, or `same`. */
interface TransposedAxis {
  readonly kernel: number;
  readonly begin: number;
  readonly size: number;
  readonly isSame: boolean;
}

function lowerConvTranspose(node: NodeLowering): void {
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
  const kernel = { ...wide, bias, groups };
  const width = channels / groups;
  const transposeGroup = (part: string, group: number) =>
    transposed(node, part, axes, {
      ...kernel,
      weight: wide.weight.slice(
        0,
        (group * wide.weight.shape[0]) / groups,
        ((group + 1) * wide.weight.shape[0]) / groups,
      ),
      bias: bias?.slice(0, group * width, (group + 1) * width),
    });
  const y = groups === 1 ? transposed(node, x, axes, kernel) : perGroup(node, x, groups, transposeGroup);
  node.give(rank === 1 ? node.reshape(y, [batch, ...outputs, channels]) : y);
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
