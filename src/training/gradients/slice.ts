import type { Kernels, Value } from '../kernels.js';
import { unpick } from './along-axis.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, knownOf, type RuleTable } from './rule.js';

/** The gradients of what was cut out go back to where it lay. */
const slice: GradientRule = (call) => {
  const { shape } = inputOf(call, 0);
  const [starts, ends] = [1, 2].map((input) => knownOf(call, input, 'Slice'));
  const axes = call.inputs[3] ? fromFront(knownOf(call, 3, 'Slice'), shape.length) : starts.map((_, axis) => axis);
  const steps = call.inputs[4] ? knownOf(call, 4, 'Slice') : starts.map(() => 1);
  const picked = axes.map((axis, i) => rangeOf(shape[axis], starts[i], ends[i], steps[i]));
  if (steps.some((step) => step !== 1)) return [unpickAll(call.kernels, gradientOf(call), axes, picked, shape)];
  const at = (axis: number) => picked[axes.indexOf(axis)] ?? [0];
  const begin = shape.map((_, axis) => at(axis)[0]);
  const end = shape.map((size, axis) => size - begin[axis] - call.outputs[0].shape[axis]);
  return [call.kernels.pad(gradientOf(call), begin, end)];
};

/** Coordinates start, start + step, … before end, bounds clamped as ONNX Slice does. */
function rangeOf(size: number, start: number, end: number, step: number): number[] {
  const [lowest, highest] = step > 0 ? [0, size] : [-1, size - 1];
  const clamp = (bound: number, least: number) => Math.max(least, Math.min(highest, bound < 0 ? bound + size : bound));
  const first = clamp(start, 0);
  const count = Math.max(0, Math.ceil((clamp(end, lowest) - first) / step));
  return Array.from({ length: count }, (_, j) => first + j * step);
}

/** Constant: what was padded goes, what was cut off gets 0; the constant gets the sum of the rest. Others: by axis. */
const pad: GradientRule = (call) => {
  const { kernels } = call;
  const { shape } = inputOf(call, 0);
  const dy = gradientOf(call);
  const pads = knownOf(call, 1, 'Pad');
  const axes = call.inputs[3] ? fromFront(knownOf(call, 3, 'Pad'), shape.length) : shape.map((_, axis) => axis);
  const mode = String(call.attributes.mode);
  if (mode !== 'constant') {
    const picked = axes.map((axis, i) => paddedRange(mode, shape[axis], pads[i], pads[i + axes.length]));
    return [unpickAll(kernels, dy, axes, picked, shape)];
  }
  const opposite = (offset: number) =>
    shape.map((_, axis) => (axes.includes(axis) ? -pads[axes.indexOf(axis) + offset] : 0));
  const dx = kernels.pad(dy, opposite(0), opposite(axes.length));
  return [dx, undefined, call.wanted[2] ? gradientOfConstant(call, dy, dx) : undefined];
};

function gradientOfConstant({ kernels, inputs }: GradientCall, dy: Value, dx: Value): Value {
  return kernels.reshape(kernels.subtract(kernels.total(dy), kernels.total(dx)), inputs[2]?.shape ?? []);
}

/** The coordinate that each padded one repeats (ONNX Pad); a negative pad cuts off. */
function paddedRange(mode: string, size: number, begin: number, end: number): number[] {
  // Reflection goes back and forth with this period; what stands in the middle is not doubled at the ends.
  const period = Math.max(1, 2 * (size - 1));
  return Array.from({ length: begin + size + end }, (_, j) => {
    const at = j - begin;
    if (mode === 'edge') return Math.max(0, Math.min(size - 1, at));
    if (mode === 'wrap') return modulo(at, size);
    const folded = modulo(at, period);
    return folded < size ? folded : period - folded;
  });
}

function modulo(a: number, by: number): number {
  return ((a % by) + by) % by;
}

/** The sum over the copies. */
const tile: GradientRule = (call) => {
  const { kernels } = call;
  const { shape } = inputOf(call, 0);
  const dy = gradientOf(call);
  const apart = shape.flatMap((size, axis) => [dy.shape[axis] / size, size]);
  const copies = shape.flatMap((size, axis) => (dy.shape[axis] === size ? [] : [2 * axis]));
  return [kernels.reshape(kernels.sum(kernels.reshape(dy, apart), copies), shape)];
};

/** The sum over the copies. */
const expand: GradientRule = (call) => [call.kernels.sumTo(gradientOf(call), inputOf(call, 0).shape)];

/** Each dX[i] sums the dY[j] with index i. */
const gather: GradientRule = (call) => {
  const { kernels } = call;
  const [{ shape }, indices, dy] = [inputOf(call, 0), inputOf(call, 1), gradientOf(call)];
  const [axis] = fromFront([Number(call.attributes.axis)], shape.length);
  const count = indices.shape.reduce((a, b) => a * b, 1);
  const flat = kernels.reshape(dy, [...shape.slice(0, axis), count, ...shape.slice(axis + 1)]);
  const picked = knownOf(call, 1, 'Gather').map((index) => (index < 0 ? index + shape[axis] : index));
  return [unpick(kernels, flat, axis, picked, shape[axis])];
};

function unpickAll(
  kernels: Kernels,
  dy: Value,
  axes: readonly number[],
  picked: readonly (readonly number[])[],
  shape: readonly number[],
): Value {
  return axes.reduce((sum, axis, i) => unpick(kernels, sum, axis, picked[i], shape[axis]), dy);
}

function fromFront(axes: readonly number[], rank: number): number[] {
  return axes.map((axis) => (axis < 0 ? axis + rank : axis));
}

export const sliceRules: RuleTable = { Slice: slice, Pad: pad, Tile: tile, Expand: expand, Gather: gather };
