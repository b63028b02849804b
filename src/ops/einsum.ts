import { badNode } from '../errors.js';
import { differ, formatShape } from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import type { Dim, Shape } from '../ir/types.js';
import { sameAxes } from './axes.js';
import { broadcastShapes, commonType } from './broadcast.js';
import { defineOp, operand, type Tie, type TieCall } from './op.js';

/** The index of every axis: a letter, or `...i` for the i-th axis from the right that an ellipsis stands for. */
export type Indices = readonly string[];

interface Equation {
  readonly terms: readonly Indices[];
  readonly output: Indices;
}

/** Σ over the indices that the output does not name of the product of the inputs' elements. */
const einsum = defineOp({
  name: 'Einsum',
  inputs: [{ name: 'Inputs', variadic: true }],
  outputs: ['Output'],
  attributes: { equation: { kind: 'string' } },
  infer(call, { equation }) {
    const dtype = commonType(call.inputs.map((_, i) => operand(call, i)));
    const parsed = readEquation(call, equation);
    if (!parsed) return [{ dtype, shape: null }];
    const extents = extentsOf(call, parsed);
    return [{ dtype, shape: parsed.output.map((index) => extents.get(index) ?? 1) }];
  },
  ties(call, { equation }) {
    const parsed = readEquation(call, equation);
    if (!parsed) return [];
    const { terms, output } = parsed;
    const indices = new Set([...terms.flat(), ...output]);
    // An index that one operand has twice is a diagonal; it is left out and so fixed.
    const single = [...indices].filter((index) => terms.every((term) => term.filter((i) => i === index).length < 2));
    return single.flatMap((index) => indexTies(call, parsed, index));
  },
  macs(call, _, { equation }) {
    const parsed = readEquation(call, equation);
    if (!parsed) return Number.NaN;
    return [...extentsOf(call, parsed).values()].reduce<number>((product, dim) => product * Number(dim), 1);
  },
});

/** An index of the output is carried; a contracted one is tied between weights and at most one activation. */
function indexTies(call: TieCall, { terms, output }: Equation, index: string): Tie[] {
  const holders = call.inputs.flatMap((input, i) => {
    const axis = terms[i].indexOf(index);
    return input && axis >= 0 ? [{ input, axis }] : [];
  });
  const target = output.indexOf(index);
  if (target >= 0) return holders.flatMap(({ input, axis }) => sameAxes(input, axis, call.outputs[0], target));
  if (holders.filter(({ input }) => !input.constant).length > 1) return [];
  const [first, ...others] = holders;
  return others.flatMap(({ input, axis }) => sameAxes(first.input, first.axis, input, axis));
}

/** Gives every axis of every operand its index; undefined where a rank is not known. */
export function readEquation(call: Pick<Call, 'inputs'>, equation: string | undefined): Equation | undefined {
  if (equation === undefined) throw badNode("attribute 'equation' is missing");
  const match = /^([A-Za-z.,]*)(?:->([A-Za-z.]*))?$/.exec(equation.replaceAll(' ', ''));
  const texts = match?.[1].split(',') ?? [];
  if (!match || ![...texts, match[2] ?? ''].every((text) => /^[A-Za-z]*(\.{3})?[A-Za-z]*$/.test(text)))
    throw badNode(`attribute 'equation' is '${equation}', which is no equation of terms such as 'ij,jk->ik'`);
  if (texts.length !== call.inputs.length)
    throw badNode(`the equation '${equation}' has ${texts.length} terms for ${call.inputs.length} inputs`);
  const shapes = call.inputs.map((_, i) => operand(call, i).type.shape);
  if (!shapes.every((shape) => shape !== null)) return undefined;
  const terms = texts.map((text, i) => indicesOf(text, shapes[i]));
  return { terms, output: outputIndices(match[2], terms, equation) };
}

function indicesOf(text: string, shape: Shape): Indices {
  const letters = text.replace('...', '').length;
  const hidden = shape.length - letters;
  if (text.includes('...') ? hidden < 0 : hidden !== 0)
    throw badNode(`the term '${text}' does not fit an input of shape ${formatShape(shape)}`);
  return expanded(text, hidden);
}

function expanded(text: string, hidden: number): Indices {
  const [before, after] = text.split('...');
  if (after === undefined) return [...before];
  return [...before, ...Array.from({ length: hidden }, (_, i) => `...${hidden - 1 - i}`), ...after];
}

/** Without an output term: the ellipsis, then the letters that stand once, in alphabetical order. */
function outputIndices(text: string | undefined, terms: readonly Indices[], equation: string): Indices {
  const all = terms.flat();
  const hidden = Math.max(0, ...terms.map((term) => term.filter((index) => index.startsWith('.')).length));
  const letters = all.filter((index) => !index.startsWith('.'));
  if (text === undefined) {
    const once = letters.filter((letter) => letters.indexOf(letter) === letters.lastIndexOf(letter));
    return [...expanded('...', hidden), ...once.sort()];
  }
  const output = expanded(text, hidden);
  const wrong = output.find((index, i) => !all.includes(index) || output.indexOf(index) !== i);
  if (wrong) throw badNode(`the equation '${equation}' names '${wrong}' in the output, but not once in the inputs`);
  return output;
}

function extentsOf(call: Pick<Call, 'inputs'>, { terms }: Equation): ReadonlyMap<string, Dim> {
  const extents = new Map<string, Dim>();
  for (const [i, term] of terms.entries())
    for (const [axis, index] of term.entries()) {
      const dim = operand(call, i).type.shape?.[axis] ?? 1;
      const old = extents.get(index) ?? 1;
      if (differ(dim, old) && dim !== 1 && old !== 1)
        throw badNode(`index '${index}' has the extents ${old} and ${dim}; they must be equal`);
      extents.set(index, broadcastShapes([[dim], [old]])?.[0] ?? dim);
    }
  return extents;
}

export const einsumOps = [einsum];
