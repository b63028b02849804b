import { badNode } from '../errors.js';
import { formatShape } from '../ir/dims.js';
import type { Operand } from '../ir/semantics.js';
import { elementCount } from '../ir/tensor.js';
import type { DataType, Dim, KnownValue, Shape, ValueType } from '../ir/types.js';
import { axisOf, extent, type Tie, type TieCall } from './op.js';

/** Results of shape arithmetic beyond these sizes are not followed; no real model has them. */
const MOST_ELEMENTS = 1024;
const LONGEST_EXPRESSION = 1024;

/** The shape of several operands under numpy's broadcasting; null where one of them is unknown. */
export function broadcastShapes(shapes: readonly (Shape | null)[]): Shape | null {
  return shapes.reduce((a, b) => (a && b ? broadcastPair(a, b) : null));
}

function broadcastPair(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const dimA = a[axis - rank + a.length] ?? 1;
    const dimB = b[axis - rank + b.length] ?? 1;
    if (typeof dimA === 'number' && typeof dimB === 'number' && dimA !== dimB && dimA !== 1 && dimB !== 1)
      throw badNode(`the shapes ${formatShape(a)} and ${formatShape(b)} cannot be broadcast together`);
    return broadcastDims(dimA, dimB);
  });
}

/** Two different symbols need not be equal, as either may turn out to be 1. */
function broadcastDims(a: Dim, b: Dim): Dim {
  if (a === b || b === 1) return a;
  if (a === 1 || typeof b === 'number') return b;
  if (typeof a === 'number') return a;
  return `broadcast(${[a, b].sort().join()})`;
}

/** Refuses a shape that does not broadcast to `target` without changing it. */
export function requireBroadcastTo(shape: Shape, target: Shape, what: string): void {
  const shift = target.length - shape.length;
  const fits = (dim: Dim, axis: number) =>
    dim === 1 || typeof dim !== 'number' || typeof target[axis + shift] !== 'number' || dim === target[axis + shift];
  if (shift < 0 || !shape.every(fits))
    throw badNode(`${what} of shape ${formatShape(shape)} cannot be broadcast to ${formatShape(target)}`);
}

/** The element type that all operands share; null where none is known. */
export function commonType(operands: readonly Operand[]): DataType | null {
  const typed = operands.filter(({ type }) => type.dtype !== null);
  for (const { name, type } of typed)
    if (type.dtype !== typed[0].type.dtype)
      throw badNode(`input '${name}' is ${type.dtype}, input '${typed[0].name}' ${typed[0].type.dtype}; cast one`);
  return typed[0]?.type.dtype ?? null;
}

interface Typed {
  readonly name: string;
  readonly type: ValueType;
}

/**
 * Ties each axis of a value to the axis of `to` that it lines up with from the right, where both have the same extent.
 * An axis of extent 1 that is stretched is tied to nothing.
 */
export function alignedTies(value: Typed, to: Typed): Tie[] {
  const shift = (to.type.shape?.length ?? 0) - (value.type.shape?.length ?? 0);
  return (value.type.shape ?? []).flatMap((_, axis): Tie[] => {
    const size = extent(value.type, axis);
    if (size === undefined || size !== extent(to.type, axis + shift)) return [];
    return [{ kind: 'same', a: axisOf(value, axis), b: axisOf(to, axis + shift) }];
  });
}

/** Ties of an operator whose operands are all broadcast to its output. */
export function broadcastTies(call: TieCall): Tie[] {
  return call.inputs.flatMap((input) => (input ? alignedTies(input, call.outputs[0]) : []));
}

/** Computes the elements of broadcast operands; undefined as soon as one of them cannot be told. */
export function evaluateElements(
  operands: readonly Operand[],
  compute: (elements: readonly Dim[]) => Dim | undefined,
): KnownValue | undefined {
  const values: KnownValue[] = [];
  for (const operand of operands) {
    const value = operand.known();
    if (!value) return undefined;
    values.push(value);
  }
  const shape = broadcastShapes(values.map((value) => value.shape)) as readonly number[];
  const count = elementCount(shape);
  if (count > MOST_ELEMENTS) return undefined;
  const elements: Dim[] = [];
  for (let i = 0; i < count; i++) {
    const element = compute(values.map((value) => value.elements[sourceIndex(value.shape, shape, i)]));
    if (element === undefined || (typeof element === 'string' && element.length > LONGEST_EXPRESSION)) return undefined;
    elements.push(element);
  }
  return { shape, elements };
}

/** Where row-major element `index` of `shape` lies in an operand that was broadcast to it. */
function sourceIndex(operand: readonly number[], shape: readonly number[], index: number): number {
  let source = 0;
  let stride = 1;
  for (let axis = operand.length - 1; axis >= 0; axis--) {
    const size = shape[axis + shape.length - operand.length];
    source += operand[axis] === 1 ? 0 : (index % size) * stride;
    index = Math.floor(index / size);
    stride *= operand[axis];
  }
  return source;
}
