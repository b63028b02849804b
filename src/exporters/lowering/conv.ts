import { slide, type Window } from '../../ops/window.js';
import { CHANNELS_LAST } from '../layout.js';
import { lowerConvTranspose } from './conv-transpose.js';
import { type Kernel, perGroup, readKernel, widened, withoutDilation } from './kernels.js';
import type { NodeLowering } from './node-lowering.js';
import type { Padding } from './operations.js';
import type { LoweringRules } from './rule.js';
import { arePadsOfSame, isSizeOfSame, touchedPads, twoDimensional } from './windows.js';

export const convRules: LoweringRules = {
  Conv: { layout: CHANNELS_LAST, lower: lowerConv, limits: 'at most 3 spatial axes; weights must be constants' },
  ConvTranspose: {
    layout: CHANNELS_LAST,
    lower: lowerConvTranspose,
    limits: 'at most 3 spatial axes; weights must be constants',
    needs: [{ kind: 'transposeConv3d', what: 'in 3-D' }],
  },
};

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
