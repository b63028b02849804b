import { badNode } from '../errors.js';
import { addDims, ceilDivide, subtractDims } from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import type { Dim } from '../ir/types.js';
import { carriedAxes, normalizeAxes } from './axes.js';
import { integersOf, rearranged, unknownSize, vectorOf } from './known.js';
import { axisOf, defineOp, extent, type NarrowCall, type Narrowing, operand, type Tie, type TieCall } from './op.js';

const STARTS = 1;
const ENDS = 2;
const AXES = 3;
const STEPS = 4;

/** Bounds from here on mean "as far as it goes"; exporters write the largest int32 or int64. */
const FAR = 2 ** 31 - 1;

/** What the operands say about one axis; undefined where a number is not known. */
interface Cut {
  readonly axis: number;
  /** Element of the operands that this cut stands in. */
  readonly position: number;
  readonly start: Dim | undefined;
  readonly end: Dim | undefined;
  readonly step: Dim | undefined;
}

/** A cut of an axis of known extent: coordinates start, start + step, …, `count` of them. */
interface Range {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** Coordinates starts, starts + steps, … before ends, of each of `axes`. */
const slice = defineOp({
  name: 'Slice',
  inputs: [
    { name: 'data' },
    { name: 'starts' },
    { name: 'ends' },
    { name: 'axes', optional: true },
    { name: 'steps', optional: true },
  ],
  outputs: ['output'],
  attributes: {},
  infer(call) {
    const { dtype, shape } = operand(call, 0).type;
    const cuts = shape && cutsOf(call, shape.length);
    if (!cuts) return [{ dtype, shape: null }];
    return [{ dtype, shape: shape.map((dim, axis) => lengthAfter(call, cuts.get(axis), dim, axis)) }];
  },
  evaluate(call) {
    const value = call.inputs[0]?.known();
    const cuts = value && cutsOf(call, value.shape.length);
    if (!cuts) return [undefined];
    const whole = (size: number): Range => ({ start: 0, step: 1, count: size });
    const ranges = value.shape.map((size, axis) => {
      const cut = cuts.get(axis);
      return cut ? rangeOf(cut, size) : whole(size);
    });
    if (!ranges.every((range) => range !== undefined)) return [undefined];
    const shape = ranges.map(({ count }) => count);
    return [rearranged(value, shape, (at) => at.map((c, axis) => ranges[axis].start + c * ranges[axis].step))];
  },
  ties(call) {
    const data = operand(call, 0);
    const cuts = data.type.shape && cutsOf(call, data.type.shape.length);
    if (!cuts) return [];
    const others = carriedAxes(data, call.outputs[0], (axis) => (cuts.has(axis) ? undefined : axis));
    return [...others, ...[...cuts.values()].flatMap((cut) => cutTies(call, cut))];
  },
  narrow(call) {
    const rank = operand(call, 0).type.shape?.length ?? 0;
    const cuts = [...(cutsOf(call, rank)?.values() ?? [])];
    return { elements: cuts.flatMap((cut) => narrowCut(call, cut)) };
  },
});

/** The cuts by axis; null where the axes are not known. */
function cutsOf({ inputs }: Pick<Call, 'inputs'>, rank: number): ReadonlyMap<number, Cut> | null {
  const starts = vectorOf(operand({ inputs }, STARTS));
  const ends = vectorOf(operand({ inputs }, ENDS));
  const steps = inputs[STEPS] && vectorOf(inputs[STEPS]);
  const count = starts?.length ?? ends?.length;
  if (count === undefined) return null;
  const named = inputs[AXES] ? integersOf(inputs[AXES]) : Array.from({ length: count }, (_, i) => i);
  if (!named) return null;
  for (const list of [starts, ends, steps, named])
    if (list && list.length !== count)
      throw badNode(`inputs 'starts', 'ends', 'axes' and 'steps' differ in length: ${count} against ${list.length}`);
  if (steps?.includes(0)) throw badNode("input 'steps' holds a 0");
  const axes = normalizeAxes(named, rank);
  return new Map(
    axes.map((axis, i) => [
      axis,
      { axis, position: i, start: starts?.[i], end: ends?.[i], step: steps === undefined ? 1 : steps?.[i] },
    ]),
  );
}

function rangeOf({ start, end, step }: Cut, size: number): Range | undefined {
  if (typeof start !== 'number' || typeof end !== 'number' || typeof step !== 'number') return undefined;
  const [lowest, highest] = step > 0 ? [0, size] : [-1, size - 1];
  const clamp = (bound: number, least: number) => Math.max(least, Math.min(highest, bound < 0 ? bound + size : bound));
  const first = clamp(start, 0);
  const count = size === 0 ? 0 : Math.max(0, Math.ceil((clamp(end, lowest) - first) / step));
  return { start: first, step, count };
}

function lengthAfter(call: Call, cut: Cut | undefined, dim: Dim, axis: number): Dim {
  if (!cut) return dim;
  const length = typeof dim === 'number' ? rangeOf(cut, dim)?.count : symbolicLength(cut, dim);
  return length ?? unknownSize('slice', call.inputs, axis);
}

/** The usual forms on a symbolic axis; a slice that reaches beyond the axis is not foreseen for it. */
function symbolicLength({ start, end, step }: Cut, dim: Dim): Dim | undefined {
  const toTheEnd = end === dim || (typeof end === 'number' && end >= FAR);
  if (step === -1 && start === -1 && typeof end === 'number' && end <= -FAR) return dim;
  if (typeof start !== 'number' || start < 0 || typeof step !== 'number' || step < 1) return undefined;
  if (toTheEnd) return ceilDivide(subtractDims(dim, start), step);
  if (typeof end === 'number' && end < 0) return ceilDivide(subtractDims(addDims(dim, end), start), step);
  return undefined;
}

/**
 * Thinned coordinates are still a range where the step is 1 or −1, as what is left between the bounds stays together;
 * under any other step they need not be, so that axis is fixed. Bounds that then change must be restatable.
 */
function cutTies(call: TieCall, cut: Cut): Tie[] {
  const data = operand(call, 0);
  const size = extent(data.type, cut.axis);
  const range = size === undefined ? undefined : rangeOf(cut, size);
  if (size === undefined || !range || Math.abs(range.step) !== 1) return [];
  for (const { input } of changingBounds(cut, range, size))
    if (call.source(input, cut.position)?.kind !== 'constant') return [];
  const [from, to] = [axisOf(data, cut.axis), axisOf(call.outputs[0], cut.axis)];
  if (range.step === 1) return [{ kind: 'part', whole: from, part: to, offset: range.start }];
  return [{ kind: 'map', from, to, indices: Array.from({ length: range.count }, (_, i) => range.start - i) }];
}

function narrowCut(call: NarrowCall, cut: Cut): NonNullable<Narrowing['elements']> {
  const data = operand(call, 0);
  const size = extent(data.type, cut.axis);
  const kept = call.kept(axisOf(data, cut.axis));
  const range = size === undefined ? undefined : rangeOf(cut, size);
  if (!kept || size === undefined || !range) return [];
  const keptBefore = (coordinate: number) => kept.filter((c) => c < coordinate).length;
  const { start, step, count } = range;
  // On the way back the first coordinate is the last that stays, and the end lies one before the range.
  const bounds =
    step === 1
      ? { [STARTS]: keptBefore(start), [ENDS]: keptBefore(start + count) }
      : { [STARTS]: keptBefore(start + 1) - 1, [ENDS]: keptBefore(start + 1 - count) - 1 };
  return changingBounds(cut, range, size).map(({ input }) => ({
    input,
    position: cut.position,
    value: bounds[input] < 0 ? -kept.length - 1 : bounds[input],
  }));
}

/** The bounds that mean another coordinate once the axis is thinned: all but those at (or beyond) its ends. */
function changingBounds({ start, end }: Cut, { step }: Range, size: number): { input: typeof STARTS | typeof ENDS }[] {
  const startStays = step === 1 ? start === 0 : start === -1 || Number(start) >= size - 1;
  const endStays = step === 1 ? Number(end) >= size : Number(end) < -size;
  return [...(startStays ? [] : [{ input: STARTS } as const]), ...(endStays ? [] : [{ input: ENDS } as const])];
}

export const sliceOps = [slice];
