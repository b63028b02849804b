import { badNode } from '../errors.js';
import { formatShape } from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import type { Dim, Shape } from '../ir/types.js';
import { sameAxes } from './axes.js';
import { unknownSize, vectorOf } from './known.js';
import { axisOf, defineOp, normalizeAxis, operand, type Tie, type TieCall } from './op.js';
import { dimOfProduct, exactQuotient, productOfDims } from './product.js';
import { commonFactors, type Factor } from './shared-factors.js';
import { narrowStatedSizes, statedSizeTies } from './stated-size.js';

/** The same elements, row-major, in the shape that the operand states; 0 copies a size, −1 takes what is left. */
const reshape = defineOp({
  name: 'Reshape',
  inputs: [{ name: 'data' }, { name: 'shape' }],
  outputs: ['reshaped'],
  attributes: { allowzero: { kind: 'int', default: 0 } },
  infer(call, { allowzero }) {
    const { dtype, shape } = operand(call, 0).type;
    const stated = vectorOf(operand(call, 1));
    return [{ dtype, shape: stated && resolved(call, shape, stated, allowzero !== 0) }];
  },
  evaluate(call, { allowzero }) {
    const value = call.inputs[0]?.known();
    const stated = vectorOf(operand(call, 1));
    if (!value || !stated) return [undefined];
    const shape = resolved(call, value.shape, stated, allowzero !== 0);
    if (!shape.every((dim) => typeof dim === 'number')) return [undefined];
    return [{ shape, elements: value.elements }];
  },
  tiesAfterOthers: true,
  ties(call, { allowzero }) {
    const data = operand(call, 0);
    const [output] = call.outputs;
    const stated = call.inputs[1]?.known()?.elements;
    if (!stated) return [];
    return factorTies(call, (position) => {
      if (stated[position] === -1) return [];
      if (stated[position] !== 0 || allowzero) return statedSizeTies(call, 1, position, axisOf(output, position));
      return sameAxes(data, position, output, position);
    });
  },
  narrow: (call) => narrowStatedSizes(call, 1, (size) => size === -1 || size === 0),
});

/** The output shape; sizes that follow from nothing known are symbols of their own. */
function resolved(call: Call, input: Shape | null, stated: readonly (Dim | undefined)[], allowZero: boolean): Dim[] {
  const open = stated.flatMap((size, i) => (size === -1 ? [i] : []));
  const refuse = (reason: string) => badNode(`the shape [${stated}] ${reason}`);
  if (open.length > 1) throw refuse('holds −1 more than once');
  if (allowZero && open.length > 0 && stated.includes(0)) throw refuse('holds both 0 and −1 under allowzero');
  const dims = stated.map((size, i): Dim => {
    if (typeof size === 'number' && size < -1) throw refuse(`holds ${size}`);
    const copied = size === 0 && !allowZero;
    if (copied && input && i >= input.length) throw refuse(`copies axis ${i} of an input of rank ${input.length}`);
    return (copied ? input?.[i] : size === -1 ? undefined : size) ?? unknownSize('reshape', call.inputs, i);
  });
  if (!input) return dims;
  const whole = productOfDims(input);
  const others = productOfDims(dims.filter((_, i) => i !== open[0]));
  if (open.length === 1 && others.coefficient === 0) throw refuse('leaves −1 open beside a size of 0');
  const left = exactQuotient(whole, others);
  if (left === undefined || (open.length === 0 && typeof left === 'number' && left !== 1))
    throw badNode(`shape ${formatShape(input)} cannot be reshaped to [${stated}]`);
  return dims.map((dim, i) => (i === open[0] ? left : dim));
}

/** The axes before `axis` merged into one, and those from `axis` on into another. */
const flatten = defineOp({
  name: 'Flatten',
  inputs: [{ name: 'input' }],
  outputs: ['output'],
  attributes: { axis: { kind: 'int', default: 1 } },
  infer(call, { axis }) {
    const { dtype, shape } = operand(call, 0).type;
    if (!shape) return [{ dtype, shape }];
    const cut = axis === shape.length ? axis : normalizeAxis(axis, shape.length);
    const merged = [shape.slice(0, cut), shape.slice(cut)].map((part) => dimOfProduct(productOfDims(part)));
    return [{ dtype, shape: merged }];
  },
  tiesAfterOthers: true,
  ties: (call) => factorTies(call, () => []),
});

/**
 * Ties along the factors that input and output axes share. Where several factors make up one axis, one of them carries
 * the coordinates and the others stay whole: of those that are an axis of their own on the other side and are not fixed
 * yet, the largest, at a tie the innermost. `stated` says what lets an output axis change its size, undefined that
 * nothing does.
 */
function factorTies(call: TieCall, stated: (outputAxis: number) => Tie[] | undefined): Tie[] {
  const data = operand(call, 0);
  const [output] = call.outputs;
  if (!data.type.shape || !output.type.shape) return [];
  const factors = commonFactors(data.type.shape, output.type.shape);
  const carriers: Factor[] = [];
  const offer = (candidates: Factor[]) => {
    const [best] = candidates.sort(
      (a, b) => b.size - a.size || b.inputAxis - a.inputAxis || b.outputAxis - a.outputAxis,
    );
    if (best) carriers.push(best);
  };
  for (const axis of data.type.shape.keys())
    offer(
      factors.filter(
        (factor) =>
          factor.inputAxis === axis &&
          factor.isOutputAxis &&
          stated(factor.outputAxis) &&
          (factor.isInputAxis || !call.isPinned(axisOf(output, factor.outputAxis))),
      ),
    );
  for (const axis of output.type.shape.keys())
    if (stated(axis))
      offer(
        factors.filter(
          (factor) =>
            factor.outputAxis === axis &&
            factor.isInputAxis &&
            !factor.isOutputAxis &&
            !call.isPinned(axisOf(data, factor.inputAxis)),
        ),
      );
  return carriers.flatMap((factor) => [...carry(call, factor), ...(stated(factor.outputAxis) ?? [])]);
}

/** Row-major index arithmetic: which coordinate of the factor each coordinate of the axis around it has. */
function carry(call: TieCall, { inputAxis, outputAxis, isInputAxis, isOutputAxis, ...factor }: Factor): Tie[] {
  const data = operand(call, 0);
  const [output] = call.outputs;
  if (isInputAxis && isOutputAxis) return sameAxes(data, inputAxis, output, outputAxis);
  const into = axisOf(data, inputAxis);
  const out = axisOf(output, outputAxis);
  const [from, to, inner, around] = isOutputAxis
    ? [out, into, factor.innerOfInput, data.type.shape?.[inputAxis]]
    : [into, out, factor.innerOfOutput, output.type.shape?.[outputAxis]];
  const indices = Array.from({ length: Number(around) }, (_, c) => Math.floor(c / inner) % factor.size);
  return [{ kind: 'map', from, to, indices }];
}

export const reshapeOps = [reshape, flatten];
