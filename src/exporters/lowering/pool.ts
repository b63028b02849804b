import { Tensor } from '../../ir/tensor.js';
import { explicitPads, readWindow, slide, type Window } from '../../ops/window.js';
import { ANY, CHANNELS_LAST } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import type { LoweringRules } from './rule.js';
import { arePadsOfSame, isSizeOfSame, type Pads, touchedPads, widenedWindow } from './windows.js';

export const poolRules: LoweringRules = {
  MaxPool: { layout: CHANNELS_LAST, lower: lowerMaxPool, limits: 'at most 3 spatial axes; without the indices' },
  AveragePool: { layout: CHANNELS_LAST, lower: lowerAveragePool, limits: 'at most 3 spatial axes; without dilations' },
  LpPool: { layout: CHANNELS_LAST, lower: lowerLpPool, limits: 'at most 3 spatial axes; without dilations' },
  GlobalAveragePool: { layout: ANY, lower: (node) => globalPool(node, 'mean') },
  GlobalMaxPool: { layout: ANY, lower: (node) => globalPool(node, 'max') },
  GlobalLpPool: { layout: ANY, lower: lowerGlobalLpPool },
};

/** The most negative single: pads a maximum without ever being it, and is a number in every kernel. */
const LOWEST = -3.4028234663852886e38;

/** A pool over two axes of a value [N, H, W, C]. */
type Pool2d = (x: string, window: Window, output: readonly number[]) => string;

function lowerMaxPool(node: NodeLowering): void {
  if (node.node.outputs[1]) node.fail('its second output, the indices, has no counterpart there');
  node.give(separately(node, (x, window, output) => maxPool2d(node, x, window, output)));
}

function maxPool2d(node: NodeLowering, x: string, window: Window, output: readonly number[]): string {
  const spatial = node.shapeOf(x).slice(1, 3);
  const pads = touchedPads(window, spatial, output);
  const isDilated = window.dilations.some((dilation) => dilation > 1);
  if (!isDilated && isSame(window, spatial, output, pads)) return pool2d(node, x, 'max', window, output, 'same');
  const padded = node.padOrCrop(x, [0, ...pads.begin, 0], [0, ...pads.end, 0], LOWEST);
  return isDilated ? maxOfTaps(node, padded, window, output) : pool2d(node, padded, 'max', window, output, 'valid');
}

function isSame(window: Window, spatial: readonly number[], output: readonly number[], pads: Pads): boolean {
  const isPadded = [...pads.begin, ...pads.end].some((count) => count !== 0);
  return isPadded && isSizeOfSame(window, spatial, output) && arePadsOfSame(window, spatial, pads);
}

/** No format has dilated pools: the largest of one strided view for each place in the window. */
function maxOfTaps(node: NodeLowering, x: string, window: Window, output: readonly number[]): string {
  const [batch, , , channels] = node.shapeOf(x);
  const taps: string[] = [];
  for (let row = 0; row < window.kernel[0]; row++)
    for (let column = 0; column < window.kernel[1]; column++) {
      const begin = [0, row * window.dilations[0], column * window.dilations[1], 0];
      const strides = [1, ...window.strides, 1];
      const shape = [batch, ...output, channels];
      const end = shape.map((size, axis) => begin[axis] + (size - 1) * strides[axis] + 1);
      taps.push(node.apply('stridedSlice', [x], { begin, end, strides }, shape));
    }
  return taps.reduce((largest, tap) => node.binary('maximum', largest, tap));
}

function lowerAveragePool(node: NodeLowering): void {
  const includesPads = node.number('count_include_pad') === 1;
  node.give(separately(node, (x, window, output) => averagePool2d(node, x, window, output, includesPads)));
}

/** Padding counts as zeros here; what it may not count is made up for by a factor at each position of the output. */
function averagePool2d(
  node: NodeLowering,
  x: string,
  window: Window,
  output: readonly number[],
  includesPads: boolean,
): string {
  if (window.dilations.some((dilation) => dilation > 1))
    node.fail('an average over a dilated window has no counterpart there');
  const spatial = node.shapeOf(x).slice(1, 3);
  const pads = touchedPads(window, spatial, output);
  if (!includesPads && isSame(window, spatial, output, pads)) return pool2d(node, x, 'average', window, output, 'same');
  const padded = node.padOrCrop(x, [0, ...pads.begin, 0], [0, ...pads.end, 0], 0);
  const mean = pool2d(node, padded, 'average', window, output, 'valid');
  const declared = explicitPads(window, spatial);
  const [rows, columns] = [0, 1].map((axis) => {
    const counted = includesPads
      ? { from: -declared.begin[axis], to: spatial[axis] + declared.end[axis] }
      : { from: 0, to: spatial[axis] };
    return correction(window, axis, output[axis], pads.begin[axis], counted);
  });
  const factors = rows.flatMap((row) => columns.map((column) => row * column));
  if (factors.every((factor) => factor === 1)) return mean;
  const tensor = Tensor.floats(factors, [1, ...output, 1]);
  return node.binary('multiply', mean, node.addConstant('window_share', tensor));
}

/** Window size over the number of its elements that count, for each position on one axis. */
function correction(
  { kernel, strides }: Window,
  axis: number,
  output: number,
  begin: number,
  counted: { from: number; to: number },
): number[] {
  return Array.from({ length: output }, (_, position) => {
    const start = position * strides[axis] - begin;
    const count = Math.min(start + kernel[axis], counted.to) - Math.max(start, counted.from);
    return kernel[axis] / count;
  });
}

/** (Σ |x|^p)^(1/p) by the mean over all of the window, padding as zeros. */
function lowerLpPool(node: NodeLowering): void {
  const p = node.number('p');
  const mean = separately(
    node,
    (x, window, output) => averagePool2d(node, x, window, output, true),
    powered(node, node.input(), p),
  );
  const size = readWindow(node.attributes as never, node.rank - 2).kernel.reduce(
    (product, extent) => product * extent,
    1,
  );
  const sum = node.binary('multiply', mean, node.scalar(size));
  node.give(rooted(node, sum, p));
}

function powered(node: NodeLowering, x: string, p: number): string {
  if (p === 2) return node.unary('square', x);
  const size = node.unary('abs', x);
  return p === 1 ? size : node.binary('power', size, node.scalar(p));
}

function rooted(node: NodeLowering, x: string, p: number): string {
  if (p === 2) return node.unary('sqrt', x);
  return p === 1 ? x : node.binary('power', x, node.scalar(1 / p));
}

function globalPool(node: NodeLowering, name: 'mean' | 'max'): void {
  node.give(node.reduce(name, node.input(), spatialAxes(node)));
}

function lowerGlobalLpPool(node: NodeLowering): void {
  const p = node.number('p');
  node.give(rooted(node, node.reduce('sum', powered(node, node.input(), p), spatialAxes(node)), p));
}

function spatialAxes(node: NodeLowering): number[] {
  return node.axes(Array.from({ length: node.rank - 2 }, (_, axis) => axis + 2));
}

function pool2d(
  node: NodeLowering,
  x: string,
  name: 'max' | 'average',
  window: Window,
  output: readonly number[],
  padding: 'same' | 'valid',
): string {
  const [batch, , , channels] = node.shapeOf(x);
  const { kernel, strides } = window;
  return node.apply('pool2d', [x], { function: name, window: kernel, strides, padding }, [batch, ...output, channels]);
}

/**
 * Runs a pool whose result over several axes is that over one after another: in 1-D with an axis of extent 1 more, in
 * 3-D first over height and width with the depth among the images, then over the depth with height and width as one axis.
 */
function separately(node: NodeLowering, pool: Pool2d, x = node.input()): string {
  const spatial = node.shapeOf(x).slice(1, -1);
  const [batch, ...rest] = node.shapeOf(x);
  const channels = rest[rest.length - 1];
  const rank = spatial.length;
  if (rank > 3) node.fail(`it has ${rank} spatial axes; at most 3 are possible`);
  const window = readWindow(node.attributes as never, rank);
  const output = slide(window, spatial, node.number('ceil_mode') === 1).map(Number);
  if (rank === 2) return pool(x, window, output);
  if (rank === 1) {
    const y = pool(node.reshape(x, [batch, 1, spatial[0], channels]), widenedWindow(window), [1, ...output]);
    return node.reshape(y, [batch, ...output, channels]);
  }
  const [depth, height, width] = spatial;
  const flat = pool(node.reshape(x, [batch * depth, height, width, channels]), onAxes(window, [1, 2]), output.slice(1));
  const area = output[1] * output[2];
  const deep = widenedWindow(onAxes(window, [0]));
  const y = pool(node.reshape(flat, [batch, depth, area, channels]), swapped(deep), [output[0], area]);
  return node.reshape(y, [batch, ...output, channels]);
}

function onAxes(window: Window, axes: readonly number[]): Window {
  const pick = (list: readonly number[]) => axes.map((axis) => list[axis]);
  return {
    kernel: pick(window.kernel),
    strides: pick(window.strides),
    dilations: pick(window.dilations),
    padsBegin: pick(window.padsBegin),
    padsEnd: pick(window.padsEnd),
    autoPad: window.autoPad,
  };
}

function swapped(window: Window): Window {
  return onAxes(window, [1, 0]);
}
