import { badNode } from '../errors.js';
import type { Call } from '../ir/semantics.js';
import type { ValueType } from '../ir/types.js';
import { integersOf } from './known.js';
import { axisOf, extent, normalizeAxis, type Tie } from './op.js';

/** A value as ties see it: an operand or an output. */
export interface Typed {
  readonly name: string;
  readonly type: ValueType;
}

/** Ties one axis to another where both have the same static extent; an axis of unknown extent has no coordinates. */
export function sameAxes(a: Typed, axisA: number, b: Typed, axisB: number): Tie[] {
  const size = extent(a.type, axisA);
  if (size === undefined || size !== extent(b.type, axisB)) return [];
  return [{ kind: 'same', a: axisOf(a, axisA), b: axisOf(b, axisB) }];
}

/** Ties axis i of `x` to axis `target(i)` of `y`; an axis whose target is undefined is left out. */
export function carriedAxes(x: Typed, y: Typed, target: (axis: number) => number | undefined): Tie[] {
  return (x.type.shape ?? []).flatMap((_, axis) => {
    const other = target(axis);
    return other === undefined ? [] : sameAxes(x, axis, y, other);
  });
}

/** Axes counted from the front; one named twice is refused. */
export function normalizeAxes(axes: readonly number[], rank: number): number[] {
  const normalized = axes.map((axis) => normalizeAxis(axis, rank));
  const twice = normalized.find((axis, i) => normalized.indexOf(axis) !== i);
  if (twice !== undefined) throw badNode(`axis ${twice} is named twice in [${axes}]`);
  return normalized;
}

/** The numbers of an optional `axes` operand: undefined where it is absent, null where they are not known. */
export function axesOperand(call: Pick<Call, 'inputs'>, index: number): readonly number[] | null | undefined {
  const axes = call.inputs[index];
  return axes && (integersOf(axes) ?? null);
}
