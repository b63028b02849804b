import type { Call } from '../ir/semantics.js';
import { type DataType, type Dim, isInteger, type KnownValue, type Shape } from '../ir/types.js';
import { axesOperand, carriedAxes, normalizeAxes } from './axes.js';
import { add, type BinaryRule, maximum, minimum, multiply, stored } from './elements.js';
import { defineOp, normalizeAxis, type OpDefinition, operand } from './op.js';

const REDUCE_ATTRIBUTES = {
  keepdims: { kind: 'int', default: 1 },
  noop_with_empty_axes: { kind: 'int', default: 0 },
} as const;

/** An operator that turns `axes` (without them: all) into one element each; `step` folds known elements. */
function reduction(name: string, step?: BinaryRule): OpDefinition {
  return defineOp({
    name,
    inputs: [{ name: 'data' }, { name: 'axes', optional: true }],
    outputs: ['reduced'],
    attributes: REDUCE_ATTRIBUTES,
    infer(call, { keepdims, noop_with_empty_axes }) {
      const { dtype, shape } = operand(call, 0).type;
      const reduced = shape && reducedAxes(call, shape.length, noop_with_empty_axes !== 0);
      return [{ dtype, shape: reduced && shapeAfter(shape, reduced, keepdims !== 0) }];
    },
    evaluate(call, { keepdims, noop_with_empty_axes }) {
      const { known, type } = operand(call, 0);
      // Floating-point results depend on the order of the steps, which is the runtime's own.
      const value = isInteger(type.dtype) ? known() : undefined;
      const reduced = value && reducedAxes(call, value.shape.length, noop_with_empty_axes !== 0);
      if (!step || !value || !reduced || reduced.length !== value.shape.length) return [undefined];
      return [folded(value, step, type.dtype, keepdims !== 0)];
    },
    ties(call, { keepdims, noop_with_empty_axes }) {
      const data = operand(call, 0);
      const rank = data.type.shape?.length ?? 0;
      const reduced = reducedAxes(call, rank, noop_with_empty_axes !== 0);
      if (!reduced) return [];
      const target = targetAxes(rank, reduced, keepdims !== 0);
      return carriedAxes(data, call.outputs[0], (axis) => target[axis]);
    },
  });
}

/** The axes that are reduced; null where they are not known. */
function reducedAxes(call: Pick<Call, 'inputs'>, rank: number, emptyMeansNone: boolean): readonly number[] | null {
  const named = axesOperand(call, 1);
  if (named === null) return null;
  if (named !== undefined && named.length > 0) return normalizeAxes(named, rank);
  return emptyMeansNone ? [] : Array.from({ length: rank }, (_, axis) => axis);
}

function shapeAfter(shape: Shape, reduced: readonly number[], keepdims: boolean): Shape {
  if (keepdims) return shape.map((dim, axis) => (reduced.includes(axis) ? 1 : dim));
  return shape.filter((_, axis) => !reduced.includes(axis));
}

/** Where each axis of the input lies in the output; undefined for those that are reduced. */
function targetAxes(rank: number, reduced: readonly number[], keepdims: boolean): (number | undefined)[] {
  let next = 0;
  return Array.from({ length: rank }, (_, axis) => {
    const gone = reduced.includes(axis);
    const target = gone ? undefined : next;
    if (!gone || keepdims) next++;
    return target;
  });
}

/** All elements folded into one; undefined where one step cannot be told. */
function folded(
  value: KnownValue,
  step: BinaryRule,
  dtype: DataType | null,
  keepdims: boolean,
): KnownValue | undefined {
  const [first, ...rest] = value.elements;
  const result = rest.reduce<Dim | undefined>(
    (sum, element) => (sum === undefined ? undefined : stored(step(sum, element, dtype), dtype)),
    first,
  );
  return result === undefined ? undefined : { shape: keepdims ? value.shape.map(() => 1) : [], elements: [result] };
}

/** The position of the largest (or smallest) element along `axis`. */
function argReduction(name: string): OpDefinition {
  return defineOp({
    name,
    inputs: [{ name: 'data' }],
    outputs: ['reduced'],
    attributes: {
      axis: { kind: 'int', default: 0 },
      keepdims: { kind: 'int', default: 1 },
      select_last_index: { kind: 'int', default: 0 },
    },
    infer(call, { axis, keepdims }) {
      const { shape } = operand(call, 0).type;
      const reduced = shape && [normalizeAxis(axis, shape.length)];
      return [{ dtype: 'i64', shape: reduced && shapeAfter(shape, reduced, keepdims !== 0) }];
    },
    ties(call, { axis, keepdims }) {
      const data = operand(call, 0);
      const rank = data.type.shape?.length;
      if (rank === undefined) return [];
      const target = targetAxes(rank, [normalizeAxis(axis, rank)], keepdims !== 0);
      return carriedAxes(data, call.outputs[0], (i) => target[i]);
    },
  });
}

export const reduceOps = [
  reduction('ReduceMean'),
  reduction('ReduceMax', maximum),
  reduction('ReduceMin', minimum),
  reduction('ReduceSum', add),
  reduction('ReduceProd', multiply),
  reduction('ReduceL2'),
  argReduction('ArgMax'),
  argReduction('ArgMin'),
];
