import { badNode } from '../errors.js';
import {
  addDims,
  ceilDivide,
  differ,
  floorDivide,
  formatShape,
  moreKnown,
  multiplyDims,
  subtractDims,
} from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import { Tensor } from '../ir/tensor.js';
import type { Dim, Shape } from '../ir/types.js';
import { carriedAxes } from './axes.js';
import { commonType } from './broadcast.js';
import { indexAt, integersOf, knownValue, rearranged, unknownSize, vectorOf } from './known.js';
import {
  axisOf,
  defineOp,
  extent,
  type NarrowCall,
  type Narrowing,
  normalizeAxis,
  operand,
  type Tie,
  type TieCall,
} from './op.js';

/** The inputs one after another along `axis`. */
const concat = defineOp({
  name: 'Concat',
  inputs: [{ name: 'inputs', variadic: true }],
  outputs: ['concat_result'],
  attributes: { axis: { kind: 'int' } },
  infer(call, { axis }) {
    const operands = call.inputs.map((_, i) => operand(call, i));
    const dtype = commonType(operands);
    const shapes = operands.map(({ type }) => type.shape);
    if (!shapes.every((shape) => shape !== null)) return [{ dtype, shape: null }];
    return [{ dtype, shape: shapes.reduce((a, b) => joined(a, b, concatAxis(axis, a.length))) }];
  },
  evaluate(call, { axis }) {
    const values = call.inputs.map((input) => input?.known());
    if (!values.every((value) => value !== undefined)) return [undefined];
    const [first] = values;
    if (concatAxis(axis, first.shape.length) !== 0) return [undefined];
    const shape = values.map((value): Shape => value.shape).reduce((a, b) => joined(a, b, 0)) as readonly number[];
    const elements = values.flatMap((value) => value.elements);
    return [knownValue(shape, (i) => elements[i])];
  },
  ties(call, { axis }) {
    const [output] = call.outputs;
    const rank = output.type.shape?.length;
    if (rank === undefined) return [];
    const along = concatAxis(axis, rank);
    const wholeIsKnown = extent(output.type, along) !== undefined;
    const ties: Tie[] = [];
    let offset = 0;
    for (const input of call.inputs) {
      if (!input) continue;
      ties.push(...carriedAxes(input, output, (i) => (i === along ? undefined : i)));
      if (!wholeIsKnown) continue;
      ties.push({ kind: 'part', whole: axisOf(output, along), part: axisOf(input, along), offset });
      offset += extent(input.type, along) ?? 0;
    }
    return ties;
  },
});

function concatAxis(axis: number | undefined, rank: number): number {
  if (axis === undefined) throw badNode("attribute 'axis' is missing");
  return normalizeAxis(axis, rank);
}

function joined(a: Shape, b: Shape, along: number): Shape {
  const fits = a.length === b.length && a.every((dim, axis) => axis === along || !differ(dim, b[axis]));
  if (!fits)
    throw badNode(`inputs of shapes ${formatShape(a)} and ${formatShape(b)} cannot be joined along axis ${along}`);
  return a.map((dim, axis) => (axis === along ? addDims(dim, b[axis]) : moreKnown(dim, b[axis])));
}

/** Cuts the input along `axis` into pieces of the sizes `split`, or into equal ones of which the last may be smaller. */
const split = defineOp({
  name: 'Split',
  inputs: [{ name: 'input' }, { name: 'split', optional: true }],
  outputs: 'variadic',
  attributes: { axis: { kind: 'int', default: 0 }, num_outputs: { kind: 'int' } },
  infer(call, { axis, num_outputs }) {
    const { type } = operand(call, 0);
    const count = call.outputCount;
    if (num_outputs !== undefined && num_outputs !== count)
      throw badNode(`attribute 'num_outputs' is ${num_outputs}, but the node has ${count} outputs`);
    if ((num_outputs !== undefined) === (call.inputs[1] !== undefined))
      throw badNode("the sizes must be given either by input 'split' or by attribute 'num_outputs'");
    const { shape, dtype } = type;
    if (!shape) return Array.from({ length: count }, () => ({ dtype, shape }));
    const along = normalizeAxis(axis, shape.length);
    return pieceSizes(call.inputs, shape[along], count).map((size) => ({
      dtype,
      shape: shape.map((dim, i) => (i === along ? size : dim)),
    }));
  },
  evaluate(call, { axis }) {
    const value = call.inputs[0]?.known();
    if (!value) return [];
    const along = normalizeAxis(axis, value.shape.length);
    let start = 0;
    return pieceSizes(call.inputs, value.shape[along], call.outputCount).map((size) => {
      if (typeof size !== 'number' || Number.isNaN(start)) {
        start = Number.NaN;
        return undefined;
      }
      const offset = start;
      start += size;
      const shape = value.shape.map((dim, i) => (i === along ? size : dim));
      return rearranged(value, shape, (at) => at.map((c, i) => (i === along ? c + offset : c)));
    });
  },
  ties(call, { axis }) {
    const input = operand(call, 0);
    const rank = input.type.shape?.length;
    if (rank === undefined) return [];
    const along = normalizeAxis(axis, rank);
    const others = call.outputs.flatMap((output) => carriedAxes(input, output, (i) => (i === along ? undefined : i)));
    return [...others, ...pieceTies(call, along)];
  },
  narrow(call, { axis }) {
    const input = operand(call, 0);
    return narrowPieces(call, normalizeAxis(axis, input.type.shape?.length ?? 0));
  },
});

function pieceSizes(inputs: Call['inputs'], whole: Dim, count: number): Dim[] {
  const sizes = inputs[1] && vectorOf(inputs[1]);
  if (sizes === undefined) return equalPieces(whole, count);
  if (sizes && sizes.length !== count) throw badNode(`input 'split' has ${sizes.length} sizes for ${count} outputs`);
  const stated = Array.from({ length: count }, (_, i) => sizes?.[i] ?? unknownSize('split', inputs, i));
  const total = stated.reduce(addDims, 0);
  if (stated.some((size) => typeof size === 'number' && size < 0) || differ(total, whole))
    throw badNode(`the sizes [${stated}] of input 'split' do not add up to the extent ${whole} of the axis`);
  return stated;
}

function equalPieces(whole: Dim, count: number): Dim[] {
  const size = ceilDivide(whole, count);
  const last = floorDivide(whole, count) === size ? size : subtractDims(whole, multiplyDims(count - 1, size));
  if (typeof last === 'number' && (last < 0 || (last === 0 && whole !== 0)))
    throw badNode(`an axis of extent ${whole} cannot be cut into ${count} pieces of ${size}`);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? last : size));
}

interface Piece {
  readonly start: number;
  readonly size: number;
}

/** Where each piece lies on a static axis; undefined where that is not known. */
function piecesOf(call: TieCall | NarrowCall, along: number): Piece[] | undefined {
  const whole = extent(operand(call, 0).type, along);
  const sizes = whole === undefined ? [] : pieceSizes(call.inputs, whole, call.outputs.length);
  if (whole === undefined || !sizes.every((size) => typeof size === 'number')) return undefined;
  return sizes.map((size, i) => ({ size, start: sizes.slice(0, i).reduce((sum, before) => sum + before, 0) }));
}

/** Only pieces whose sizes can be stated anew let their axis be thinned. */
function pieceTies(call: TieCall, along: number): Tie[] {
  const pieces = piecesOf(call, along);
  if (!pieces?.every((_, i) => !call.inputs[1] || call.source(1, i)?.kind === 'constant')) return [];
  const whole = axisOf(operand(call, 0), along);
  return call.outputs.flatMap((output, i): Tie[] =>
    output.name === '' ? [] : [{ kind: 'part', whole, part: axisOf(output, along), offset: pieces[i].start }],
  );
}

function narrowPieces(call: NarrowCall, along: number): Narrowing {
  const kept = call.kept(axisOf(operand(call, 0), along));
  const pieces = piecesOf(call, along);
  if (!kept || !pieces) return {};
  const sizes = pieces.map(({ start, size }) => kept.filter((c) => c >= start && c < start + size).length);
  if (call.inputs[1]) return { elements: sizes.map((value, position) => ({ input: 1, position, value })) };
  const asBefore = pieceSizes(call.inputs, kept.length, sizes.length);
  if (asBefore.join() === sizes.join()) return {};
  return { constants: new Map([[1, Tensor.integers(sizes)]]), removeAttributes: ['num_outputs'] };
}

/** Coordinates `indices` of `axis`; the axes of `indices` take its place. */
const gather = defineOp({
  name: 'Gather',
  inputs: [{ name: 'data' }, { name: 'indices' }],
  outputs: ['output'],
  attributes: { axis: { kind: 'int', default: 0 } },
  infer(call, { axis }) {
    const { shape, dtype } = operand(call, 0).type;
    const indexShape = operand(call, 1).type.shape;
    const along = shape && normalizeAxis(axis, shape.length);
    if (along === null) return [{ dtype, shape: null }];
    checkIndices(call, shape?.[along] ?? 0);
    return [
      { dtype, shape: shape && indexShape && [...shape.slice(0, along), ...indexShape, ...shape.slice(along + 1)] },
    ];
  },
  evaluate(call, { axis }) {
    const value = call.inputs[0]?.known();
    const indices = integersOf(call.inputs[1]);
    const indexShape = call.inputs[1]?.type.shape as readonly number[];
    if (!value || !indices) return [undefined];
    const along = normalizeAxis(axis, value.shape.length);
    const end = along + indexShape.length;
    const row = (at: readonly number[]) =>
      fromFront(indices[indexAt(at.slice(along, end), indexShape)], value.shape[along]);
    const shape = [...value.shape.slice(0, along), ...indexShape, ...value.shape.slice(along + 1)];
    return [rearranged(value, shape, (at) => [...at.slice(0, along), row(at), ...at.slice(end)])];
  },
  ties(call, { axis }) {
    const data = operand(call, 0);
    const indices = operand(call, 1);
    const rank = data.type.shape?.length;
    const indexRank = indices.type.shape?.length;
    if (rank === undefined || indexRank === undefined) return [];
    const along = normalizeAxis(axis, rank);
    const [output] = call.outputs;
    const others = carriedAxes(data, output, (i) => (i === along ? undefined : i < along ? i : i + indexRank - 1));
    const size = extent(data.type, along);
    const chosen = indices.constant && integersOf(indices);
    if (indexRank !== 1 || size === undefined || !chosen) return others;
    const selected = chosen.map((index) => fromFront(index, size));
    return [...others, { kind: 'map', from: axisOf(data, along), to: axisOf(output, along), indices: selected }];
  },
  narrow(call, { axis }) {
    const data = operand(call, 0);
    const indices = operand(call, 1);
    const along = normalizeAxis(axis, data.type.shape?.length ?? 0);
    const size = extent(data.type, along);
    const keptIn = call.kept(axisOf(data, along));
    const chosen = indices.constant && integersOf(indices);
    if (!keptIn || size === undefined || !indices.constant || !chosen) return {};
    const keptOut = call.kept(axisOf(call.outputs[0], along)) ?? chosen.map((_, j) => j);
    const place = new Map(keptIn.map((c, i) => [c, i]));
    const renumbered = keptOut.map((j) => place.get(fromFront(chosen[j], size)) ?? 0);
    return { constants: new Map([[1, Tensor.encode(indices.constant.dtype, [renumbered.length], renumbered)]]) };
  },
});

function fromFront(index: number, size: number): number {
  return index < 0 ? index + size : index;
}

function checkIndices(call: Call, size: Dim): void {
  const outside = integersOf(call.inputs[1])?.find((i) => typeof size === 'number' && (i < -size || i >= size));
  if (outside !== undefined) throw badNode(`index ${outside} is outside the extent ${size} of the axis`);
}

export const joinOps = [concat, split, gather];
