import type { Dim } from '../ir/types.js';
import { type AxisRef, axisOf, type NarrowCall, type Narrowing, type Tie, type TieCall } from './op.js';

/**
 * What lets an axis be thinned although element `position` of the shape operand `input` states its size: nothing where
 * a constant states it (it is rewritten), a tie where it is the size of another axis. Undefined where it must stay.
 */
export function statedSizeTies(call: TieCall, input: number, position: number, axis: AxisRef): Tie[] | undefined {
  const source = call.source(input, position);
  if (!source) return undefined;
  return source.kind === 'size' ? [{ kind: 'same', a: source.axis, b: axis }] : [];
}

/**
 * New sizes for the thinned axes of the first output, which the elements of a shape operand state (the last element the last
 * axis). Elements that `follows` says follow by themselves are left alone.
 */
export function narrowStatedSizes(call: NarrowCall, input: number, follows: (element: Dim) => boolean): Narrowing {
  const elements = call.inputs[input]?.known()?.elements ?? [];
  const shift = (call.outputs[0].type.shape?.length ?? 0) - elements.length;
  return {
    elements: elements.flatMap((element, position) => {
      const kept = call.kept(axisOf(call.outputs[0], position + shift));
      return kept && !follows(element) ? [{ input, position, value: kept.length }] : [];
    }),
  };
}
