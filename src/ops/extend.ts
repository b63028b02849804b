import { badNode } from '../errors.js';
import { addDims, multiplyDims } from '../ir/dims.js';
import type { Call, Operand } from '../ir/semantics.js';
import type { Dim, Shape } from '../ir/types.js';
import { axesOperand, carriedAxes, normalizeAxes, sameAxes, type Typed } from './axes.js';
import { broadcastShapes } from './broadcast.js';
import { rearranged, unknownSize, vectorOf } from './known.js';
import { axisOf, defineOp, extent, type Narrowing, operand, type Tie, type TieCall } from './op.js';
import { narrowStatedSizes, statedSizeTies } from './stated-size.js';

const PAD_MODES = ['constant', 'reflect', 'edge', 'wrap'];

/** What the operands add to one axis; undefined where a number is not known. */
interface Padding {
  readonly begin: Dim | undefined;
  readonly end: Dim | undefined;
  /** Elements of `pads` that state them. */
  readonly positions: readonly [number, number];
}

/** Coordinates before and after those of the input, on each of `axes`; negative numbers cut off. */
const pad = defineOp({
  name: 'Pad',
  inputs: [
    { name: 'data' },
    { name: 'pads' },
    { name: 'constant_value', optional: true },
    { name: 'axes', optional: true },
  ],
  outputs: ['output'],
  attributes: { mode: { kind: 'string', default: 'constant' } },
  infer(call, { mode }) {
    if (!PAD_MODES.includes(mode)) throw badNode(`attribute 'mode' is '${mode}'; ${PAD_MODES.join(', ')} are possible`);
    const { dtype, shape } = operand(call, 0).type;
    if (!shape) return [{ dtype, shape }];
    const paddings = paddingsOf(call, shape.length);
    return [{ dtype, shape: shape.map((dim, axis) => paddedSize(call, paddings, dim, axis)) }];
  },
  ties(call, { mode }) {
    const data = operand(call, 0);
    const paddings = data.type.shape && paddingsOf(call, data.type.shape.length);
    if (!paddings) return [];
    const others = carriedAxes(data, call.outputs[0], (axis) => (paddings.has(axis) ? undefined : axis));
    return [...others, ...[...paddings].flatMap(([axis, padding]) => paddingTies(call, mode, axis, padding))];
  },
});

/** The paddings by axis; null where the axes are not known. */
function paddingsOf(call: Pick<Call, 'inputs'>, rank: number): ReadonlyMap<number, Padding> | null {
  const named = axesOperand(call, 3);
  if (named === null) return null;
  const axes = normalizeAxes(named ?? Array.from({ length: rank }, (_, axis) => axis), rank);
  const pads = vectorOf(operand(call, 1));
  if (pads && pads.length !== 2 * axes.length)
    throw badNode(`input 'pads' has ${pads.length} numbers; ${axes.length} axes need ${2 * axes.length}`);
  return new Map(
    axes.map((axis, i) => {
      const positions = [i, i + axes.length] as const;
      return [axis, { begin: pads?.[positions[0]], end: pads?.[positions[1]], positions }];
    }),
  );
}

function paddedSize(call: Call, paddings: ReadonlyMap<number, Padding> | null, dim: Dim, axis: number): Dim {
  if (paddings && !paddings.has(axis)) return dim;
  const { begin, end } = paddings?.get(axis) ?? {};
  if (begin === undefined || end === undefined) return unknownSize('pad', call.inputs, axis);
  const size = addDims(addDims(dim, begin), end);
  if (typeof size === 'number' && size < 0)
    throw badNode(`the pads ${begin} and ${end} cut more than the extent ${dim} of axis ${axis}`);
  return size;
}

/** Padded coordinates are in no tie: they are fixed, as the pads stay what they are. */
function paddingTies(call: TieCall, mode: string, axis: number, { begin, end, positions }: Padding): Tie[] {
  const data = operand(call, 0);
  const [output] = call.outputs;
  if (begin === 0 && end === 0) return sameAxes(data, axis, output, axis);
  if (mode !== 'constant' || typeof begin !== 'number' || typeof end !== 'number' || begin < 0 || end < 0) return [];
  // Amounts that are computed might follow from the size of a thinned axis.
  if (positions.some((position) => call.source(1, position)?.kind !== 'constant')) return [];
  if (extent(data.type, axis) === undefined) return [];
  return [{ kind: 'part', whole: axisOf(output, axis), part: axisOf(data, axis), offset: begin }];
}

/** The input `repeats` times over along each axis. */
const tile = defineOp({
  name: 'Tile',
  inputs: [{ name: 'input' }, { name: 'repeats' }],
  outputs: ['output'],
  attributes: {},
  infer(call) {
    const { dtype, shape } = operand(call, 0).type;
    if (!shape) return [{ dtype, shape }];
    const repeats = repeatsOf(call, shape.length);
    return [{ dtype, shape: shape.map((dim, axis) => tiledSize(call, repeats?.[axis], dim, axis)) }];
  },
  evaluate(call) {
    const value = call.inputs[0]?.known();
    const repeats = value && repeatsOf(call, value.shape.length);
    if (!repeats?.every((repeat) => typeof repeat === 'number')) return [undefined];
    const shape = value?.shape.map((size, axis) => size * repeats[axis]) ?? [];
    return [value && rearranged(value, shape, (at) => at.map((c, axis) => c % value.shape[axis]))];
  },
  ties(call) {
    const input = operand(call, 0);
    const repeats = input.type.shape && repeatsOf(call, input.type.shape.length);
    return (repeats ?? []).flatMap((repeat, axis) => tileTies(call, axis, repeat));
  },
  narrow(call): Narrowing {
    const input = operand(call, 0);
    const [output] = call.outputs;
    const elements = (output.type.shape ?? []).flatMap((_, axis) => {
      const kept = isCopied(input, axis, output, axis) && call.kept(axisOf(output, axis));
      return kept ? [{ input: 1, position: axis, value: kept.length }] : [];
    });
    return { elements };
  },
});

function repeatsOf(call: Pick<Call, 'inputs'>, rank: number): readonly (Dim | undefined)[] | null {
  const repeats = vectorOf(operand(call, 1));
  if (repeats && repeats.length !== rank)
    throw badNode(`input 'repeats' has ${repeats.length} numbers for an input of rank ${rank}`);
  const negative = repeats?.find((repeat) => typeof repeat === 'number' && repeat < 0);
  if (negative !== undefined) throw badNode(`input 'repeats' holds ${negative}; it must not be negative`);
  return repeats;
}

function tiledSize(call: Call, repeat: Dim | undefined, dim: Dim, axis: number): Dim {
  return repeat === undefined ? unknownSize('tile', call.inputs, axis) : multiplyDims(dim, repeat);
}

function tileTies(call: TieCall, axis: number, repeat: Dim | undefined): Tie[] {
  const input = operand(call, 0);
  const [output] = call.outputs;
  if (repeat === 1) return sameAxes(input, axis, output, axis);
  if (isCopied(input, axis, output, axis)) {
    const restated = statedSizeTies(call, 1, axis, axisOf(output, axis));
    return restated ? [selfTie(output, axis), ...restated] : [];
  }
  const size = extent(input.type, axis);
  if (typeof repeat !== 'number' || size === undefined || call.source(1, axis)?.kind !== 'constant') return [];
  const indices = Array.from({ length: size * repeat }, (_, c) => c % size);
  return [{ kind: 'map', from: axisOf(input, axis), to: axisOf(output, axis), indices }];
}

/** The input broadcast with `shape`. */
const expand = defineOp({
  name: 'Expand',
  inputs: [{ name: 'input' }, { name: 'shape' }],
  outputs: ['output'],
  attributes: {},
  infer(call) {
    const { dtype, shape } = operand(call, 0).type;
    const target = targetShape(operand(call, 1));
    return [{ dtype, shape: broadcastShapes([shape, target]) }];
  },
  evaluate(call) {
    const value = call.inputs[0]?.known();
    const target = targetShape(operand(call, 1));
    if (!value || !target?.every((size) => typeof size === 'number')) return [undefined];
    const shape = broadcastShapes([value.shape, target]) as readonly number[];
    const shift = shape.length - value.shape.length;
    return [rearranged(value, shape, (at) => at.slice(shift).map((c, axis) => (value.shape[axis] === 1 ? 0 : c)))];
  },
  ties(call) {
    const input = operand(call, 0);
    const [output] = call.outputs;
    const stated = call.inputs[1]?.known()?.elements;
    if (!input.type.shape || !output.type.shape || !stated) return [];
    const toInput = input.type.shape.length - output.type.shape.length;
    const toStated = stated.length - output.type.shape.length;
    return output.type.shape.flatMap((_, axis): Tie[] => {
      const carried = isCopied(input, axis + toInput, output, axis)
        ? [selfTie(output, axis)]
        : sameAxes(input, axis + toInput, output, axis);
      if (carried.length === 0 || (stated[axis + toStated] ?? 1) === 1) return carried;
      const restated = statedSizeTies(call, 1, axis + toStated, axisOf(output, axis));
      return restated ? [...carried, ...restated] : [];
    });
  },
  narrow: (call) => narrowStatedSizes(call, 1, (element) => element === 1),
});

/** Whether the coordinates of an output axis are copies of a single one, so that any of them may go. */
function isCopied(input: Typed, inputAxis: number, output: Typed, axis: number): boolean {
  const size = extent(output.type, axis);
  return size !== undefined && size !== 1 && (inputAxis < 0 || input.type.shape?.[inputAxis] === 1);
}

/** Mentions an axis whose coordinates hang together with nothing. */
function selfTie(value: Typed, axis: number): Tie {
  return { kind: 'same', a: axisOf(value, axis), b: axisOf(value, axis) };
}

function targetShape(shape: Operand): Shape | null {
  const elements = vectorOf(shape);
  const negative = elements?.find((element) => typeof element === 'number' && element < 0);
  if (negative !== undefined) throw badNode(`input 'shape' holds ${negative}; it must not be negative`);
  return elements?.map((element, axis) => element ?? unknownSize('expand', [shape], axis)) ?? null;
}

export const extendOps = [pad, tile, expand];
