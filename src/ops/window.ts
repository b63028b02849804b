import { badNode } from '../errors.js';
import { addDims, ceilDivide, floorDivide, multiplyDims, subtractDims } from '../ir/dims.js';
import type { Dim, Shape } from '../ir/types.js';
import type { AttributeTable, Resolved } from './attributes.js';

/** The attributes that convolutions and pools share. */
export const WINDOW_ATTRIBUTES = {
  auto_pad: { kind: 'string', default: 'NOTSET' },
  kernel_shape: { kind: 'ints' },
  strides: { kind: 'ints' },
  pads: { kind: 'ints' },
  dilations: { kind: 'ints' },
} as const satisfies AttributeTable;

/** How a window slides over the spatial axes; every list has one entry a spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padsBegin: readonly number[];
  readonly padsEnd: readonly number[];
  readonly autoPad: 'NOTSET' | 'VALID' | 'SAME_UPPER' | 'SAME_LOWER';
}

/** Reads and checks the window attributes; `kernel` comes from the weight where the node does not name it. */
export function readWindow(
  attributes: Resolved<typeof WINDOW_ATTRIBUTES>,
  rank: number,
  kernelOfWeight?: readonly number[],
): Window {
  const kernel = attributes.kernel_shape ?? kernelOfWeight;
  if (!kernel) throw badNode("attribute 'kernel_shape' is missing");
  const strides = attributes.strides ?? Array<number>(rank).fill(1);
  const dilations = attributes.dilations ?? Array<number>(rank).fill(1);
  const autoPad = attributes.auto_pad as Window['autoPad'];
  if (!['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'].includes(autoPad))
    throw badNode(`attribute 'auto_pad' is '${autoPad}'; NOTSET, VALID, SAME_UPPER or SAME_LOWER is possible`);
  const pads = autoPad === 'NOTSET' && attributes.pads ? attributes.pads : Array<number>(2 * rank).fill(0);
  for (const [name, list, length, least] of [
    ['kernel_shape', kernel, rank, 1],
    ['strides', strides, rank, 1],
    ['dilations', dilations, rank, 1],
    ['pads', pads, 2 * rank, Number.NEGATIVE_INFINITY],
  ] as const) {
    if (list.length !== length)
      throw badNode(`attribute '${name}' has ${list.length} numbers; ${rank}-D needs ${length}`);
    if (list.some((number) => number < least))
      throw badNode(`attribute '${name}' holds a number below ${least}: [${list}]`);
  }
  if (kernelOfWeight && kernel.join() !== kernelOfWeight.join())
    throw badNode(`attribute 'kernel_shape' [${kernel}] disagrees with the weight's [${kernelOfWeight}]`);
  return { kernel, strides, dilations, padsBegin: pads.slice(0, rank), padsEnd: pads.slice(rank), autoPad };
}

/** How far the window reaches on one axis, holes of the dilation included. */
function reach(window: Window, axis: number): number {
  return (window.kernel[axis] - 1) * window.dilations[axis] + 1;
}

/** Spatial output shape of a convolution or pool (ONNX Conv, Pool; `ceilMode` as in MaxPool-12). */
export function slide(window: Window, spatial: Shape, ceilMode = false): Dim[] {
  return spatial.map((dim, axis) => {
    const stride = window.strides[axis];
    if (window.autoPad === 'SAME_UPPER' || window.autoPad === 'SAME_LOWER') return ceilDivide(dim, stride);
    const begin = window.padsBegin[axis];
    const padded = addDims(dim, begin + window.padsEnd[axis]);
    const steps = subtractDims(padded, reach(window, axis));
    const last = (ceilMode ? ceilDivide : floorDivide)(steps, stride);
    if (typeof last === 'number' && last < 0)
      throw badNode(
        `the window of ${reach(window, axis)} does not fit the padded size ${padded} of spatial axis ${axis}`,
      );
    // A window that would start in the end padding is left out (ONNX, from opset 19; all runtimes do so).
    if (ceilMode && typeof last === 'number' && typeof dim === 'number' && last * stride >= dim + begin) return last;
    return addDims(last, 1);
  });
}

/** Explicit begin and end pads for SAME at a known size; explicit pads come back as they are. */
export function explicitPads(window: Window, spatial: readonly number[]): { begin: number[]; end: number[] } {
  if (window.autoPad === 'NOTSET' || window.autoPad === 'VALID')
    return { begin: [...window.padsBegin], end: [...window.padsEnd] };
  const total = spatial.map((size, axis) => {
    const out = Math.ceil(size / window.strides[axis]);
    return Math.max(0, (out - 1) * window.strides[axis] + reach(window, axis) - size);
  });
  const small = total.map((pads) => Math.floor(pads / 2));
  const large = total.map((pads, axis) => pads - small[axis]);
  return window.autoPad === 'SAME_UPPER' ? { begin: small, end: large } : { begin: large, end: small };
}

/** Spatial output shape of a transposed convolution (ONNX ConvTranspose). */
export function slideBack(window: Window, spatial: Shape, outputPadding: readonly number[]): Dim[] {
  return spatial.map((dim, axis) => {
    const stride = window.strides[axis];
    if (window.autoPad === 'SAME_UPPER' || window.autoPad === 'SAME_LOWER') return multiplyDims(dim, stride);
    const pads = window.padsBegin[axis] + window.padsEnd[axis];
    const constant = reach(window, axis) + outputPadding[axis] - pads;
    const size = addDims(multiplyDims(stride, dim), constant - stride);
    if (typeof size === 'number' && size < 1)
      throw badNode(`the pads leave nothing of spatial axis ${axis}: its size would be ${size}`);
    return size;
  });
}
