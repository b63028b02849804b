import { badNode } from '../errors.js';
import { differ, subtractDims } from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import { Tensor } from '../ir/tensor.js';
import type { Dim, Shape } from '../ir/types.js';
import { axesOperand, carriedAxes, normalizeAxes, sameAxes } from './axes.js';
import { commonType } from './broadcast.js';
import { integersOf, knownValue, rearranged, unknownSize, vectorOf } from './known.js';
import { axisOf, defineOp, type NarrowCall, operand } from './op.js';
import { dimOfProduct, productOfDims } from './product.js';
import { narrowStatedSizes, statedSizeTies } from './stated-size.js';

/** Axis i of the output is axis `perm[i]` of the input; without `perm` the order is reversed. */
const transpose = defineOp({
  name: 'Transpose',
  inputs: [{ name: 'data' }],
  outputs: ['transposed'],
  attributes: { perm: { kind: 'ints' } },
  infer(call, { perm }) {
    const { dtype, shape } = operand(call, 0).type;
    return [{ dtype, shape: shape && order(perm, shape.length).map((axis) => shape[axis]) }];
  },
  evaluate(call, { perm }) {
    const value = call.inputs[0]?.known();
    if (!value) return [undefined];
    const axes = order(perm, value.shape.length);
    return [
      rearranged(
        value,
        axes.map((axis) => value.shape[axis]),
        (at) => value.shape.map((_, axis) => at[axes.indexOf(axis)]),
      ),
    ];
  },
  ties(call, { perm }) {
    const data = operand(call, 0);
    const axes = order(perm, data.type.shape?.length ?? 0);
    return carriedAxes(data, call.outputs[0], (axis) => axes.indexOf(axis));
  },
});

function order(perm: readonly number[] | undefined, rank: number): readonly number[] {
  if (!perm) return Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  const isPermutation = perm.length === rank && perm.every((_, axis) => perm.includes(axis));
  if (!isPermutation) throw badNode(`attribute 'perm' [${perm}] is no order of the ${rank} axes`);
  return perm;
}

/** Drops the axes `axes`, which must be of extent 1; without them all axes of extent 1. */
const squeeze = defineOp({
  name: 'Squeeze',
  inputs: [{ name: 'data' }, { name: 'axes', optional: true }],
  outputs: ['squeezed'],
  attributes: {},
  infer(call) {
    const { dtype, shape } = operand(call, 0).type;
    const dropped = shape && squeezedAxes(call, shape);
    return [{ dtype, shape: dropped && shape.filter((_, axis) => !dropped.includes(axis)) }];
  },
  evaluate(call) {
    const value = call.inputs[0]?.known();
    const dropped = value && squeezedAxes(call, value.shape);
    if (!dropped) return [undefined];
    const shape = value.shape.filter((_, axis) => !dropped.includes(axis));
    return [{ shape, elements: value.elements }];
  },
  ties(call) {
    const data = operand(call, 0);
    const dropped = data.type.shape && squeezedAxes(call, data.type.shape);
    if (!dropped) return [];
    const stays = data.type.shape.map((_, axis) => axis).filter((axis) => !dropped.includes(axis));
    return stays.flatMap((axis, target) => sameAxes(data, axis, call.outputs[0], target));
  },
  narrow(call) {
    // An axis that is thinned to one channel must not fall to a Squeeze that drops all such axes.
    const dropped = call.inputs[1] ? null : squeezedAxes(call, operand(call, 0).type.shape ?? []);
    return dropped && isThinned(call) ? { constants: new Map([[1, Tensor.integers(dropped)]]) } : {};
  },
});

function isThinned(call: NarrowCall): boolean {
  const data = operand(call, 0);
  return data.type.shape?.some((_, axis) => call.kept(axisOf(data, axis)) !== null) ?? false;
}

/** The axes that go; null where that is not known. */
function squeezedAxes(call: Pick<Call, 'inputs'>, shape: Shape): readonly number[] | null {
  const named = axesOperand(call, 1);
  if (named === null) return null;
  if (named === undefined) {
    if (shape.some((dim) => typeof dim === 'string')) return null;
    return shape.map((_, axis) => axis).filter((axis) => shape[axis] === 1);
  }
  const axes = normalizeAxes(named, shape.length);
  const wide = axes.find((axis) => differ(shape[axis], 1));
  if (wide !== undefined) throw badNode(`axis ${wide} has extent ${shape[wide]}; only axes of extent 1 can be dropped`);
  return axes;
}

/** Puts in axes of extent 1; `axes` count in the output. */
const unsqueeze = defineOp({
  name: 'Unsqueeze',
  inputs: [{ name: 'data' }, { name: 'axes' }],
  outputs: ['expanded'],
  attributes: {},
  infer(call) {
    const { dtype, shape } = operand(call, 0).type;
    const added = shape && addedAxes(call, shape.length);
    return [{ dtype, shape: added && unsqueezed<Dim>(shape, added) }];
  },
  evaluate(call) {
    const value = call.inputs[0]?.known();
    const added = value && addedAxes(call, value.shape.length);
    return [added ? { shape: unsqueezed<number>(value.shape, added), elements: value.elements } : undefined];
  },
  ties(call) {
    const data = operand(call, 0);
    const rank = data.type.shape?.length ?? 0;
    const added = addedAxes(call, rank) ?? [];
    const old = Array.from({ length: rank + added.length }, (_, axis) => axis).filter((axis) => !added.includes(axis));
    return carriedAxes(data, call.outputs[0], (axis) => old[axis]);
  },
});

function addedAxes(call: Pick<Call, 'inputs'>, rank: number): readonly number[] | null {
  const named = axesOperand(call, 1);
  return named ? normalizeAxes(named, rank + named.length) : null;
}

function unsqueezed<T extends Dim>(shape: readonly T[], added: readonly number[]): (T | 1)[] {
  const left = [...shape];
  return Array.from({ length: shape.length + added.length }, (_, axis) =>
    added.includes(axis) ? 1 : (left.shift() as T),
  );
}

/** The extents of the axes `start` to `end` as int64. */
const shapeOfValue = defineOp({
  name: 'Shape',
  inputs: [{ name: 'data' }],
  outputs: ['shape'],
  attributes: { start: { kind: 'int', default: 0 }, end: { kind: 'int' } },
  infer(call, { start, end }) {
    // ONNX clamps both bounds to the rank, as `slice` of JavaScript does.
    const dims = operand(call, 0).type.shape?.slice(start, end);
    return [{ dtype: 'i64', shape: [dims ? dims.length : unknownSize('rank', call.inputs, 0)] }];
  },
  evaluate(call, { start, end }) {
    const dims = operand(call, 0).type.shape?.slice(start, end);
    return [dims && { shape: [dims.length], elements: dims }];
  },
  ties(call) {
    // Reading a size does not fix it: whoever uses it says whether it may change.
    const data = operand(call, 0);
    return carriedAxes(data, data, (axis) => axis);
  },
});

/** The number of elements as an int64 scalar. */
const sizeOfValue = defineOp({
  name: 'Size',
  inputs: [{ name: 'data' }],
  outputs: ['size'],
  attributes: {},
  infer: () => [{ dtype: 'i64', shape: [] }],
  evaluate(call) {
    const { shape } = operand(call, 0).type;
    return [shape ? { shape: [], elements: [dimOfProduct(productOfDims(shape))] } : undefined];
  },
  ties: () => [],
});

/** A tensor of the shape that the operand holds, filled with the one element of `value` (default: the float 0). */
const constantOfShape = defineOp({
  name: 'ConstantOfShape',
  inputs: [{ name: 'input' }],
  outputs: ['output'],
  attributes: { value: { kind: 'tensor' } },
  infer(call, { value }) {
    const dims = vectorOf(operand(call, 0));
    const negative = dims?.find((dim) => typeof dim === 'number' && dim < 0);
    if (negative !== undefined) throw badNode(`input 'input' holds the size ${negative}; it must not be negative`);
    if (value && value.size !== 1) throw badNode(`attribute 'value' has ${value.size} elements; it must have one`);
    const shape = dims?.map((dim, axis) => dim ?? unknownSize('shape', call.inputs, axis)) ?? null;
    return [{ dtype: value?.dtype ?? 'f32', shape }];
  },
  evaluate(call, { value }) {
    const sizes = integersOf(call.inputs[0]);
    if (!sizes) return [undefined];
    const fill = value ? value.toFloat64()[0] : 0;
    return [knownValue(sizes, () => fill)];
  },
  ties(call) {
    const [output] = call.outputs;
    return (output.type.shape ?? []).flatMap((_, axis) => {
      const stated = statedSizeTies(call, 0, axis, axisOf(output, axis));
      return stated ? [...sameAxes(output, axis, output, axis), ...stated] : [];
    });
  },
  narrow: (call) => narrowStatedSizes(call, 0, () => false),
});

/** start, start + delta, … before limit. */
const range = defineOp({
  name: 'Range',
  inputs: [{ name: 'start' }, { name: 'limit' }, { name: 'delta' }],
  outputs: ['output'],
  attributes: {},
  infer(call) {
    const operands = [0, 1, 2].map((i) => operand(call, i));
    return [{ dtype: commonType(operands), shape: [rangeLength(call)] }];
  },
  evaluate(call) {
    const [start, , delta] = call.inputs.map(scalarOf);
    const length = rangeLength(call);
    if (typeof start !== 'number' || typeof delta !== 'number' || typeof length !== 'number') return [undefined];
    return [knownValue([length], (i) => start + i * delta)];
  },
  ties: () => [],
});

function scalarOf(input: Call['inputs'][number]): Dim | undefined {
  return input?.known()?.elements[0];
}

function rangeLength(call: Call): Dim {
  const [start, limit, delta] = call.inputs.map(scalarOf);
  if (delta === 0) throw badNode("input 'delta' is 0; it must differ from 0");
  if (typeof start === 'number' && typeof limit === 'number' && typeof delta === 'number')
    return Math.max(0, Math.ceil((limit - start) / delta));
  if (delta === 1 && start !== undefined && limit !== undefined) return subtractDims(limit, start);
  return unknownSize('range', call.inputs, 0);
}

export const shapeOps = [transpose, squeeze, unsqueeze, shapeOfValue, sizeOfValue, constantOfShape, range];
