import { type Indices, readEquation } from '../../ops/einsum.js';
import type { Kernels, Value } from '../kernels.js';
import { type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

/** A tensor and the index of each of its axes. */
interface Term {
  readonly value: Value;
  readonly indices: Indices;
}

/**
 * Each input's gradient is the Einsum of dY and the other inputs to its own indices. An index that only the input has
 * was summed away: its gradient is the same all along it. One that it has twice was a diagonal: nothing lies beside it.
 */
const einsum: GradientRule = (call) => {
  const operands = call.inputs.map((_, i) => operandOf(inputOf(call, i)));
  const parsed = readEquation({ inputs: operands }, call.attributes.equation as string);
  if (!parsed) throw new Error('a value has no shape');
  const terms = parsed.terms.map((indices, i): Term => ({ value: inputOf(call, i), indices }));
  const dy: Term = { value: gradientOf(call), indices: parsed.output };
  const letters = lettersFor([...terms, dy].flatMap(({ indices }) => indices));
  return terms.map((term, i) => {
    if (!call.wanted[i]) return undefined;
    return gradientOfTerm(call.kernels, term, [dy, ...terms.filter((_, other) => other !== i)], letters);
  });
};

function operandOf({ dtype, shape }: Value) {
  return { name: '', type: { dtype, shape }, known: () => undefined };
}

/** One letter for each index, those that an ellipsis stands for included. */
function lettersFor(indices: Indices): ReadonlyMap<string, string> {
  const distinct = [...new Set(indices)];
  return new Map(distinct.map((index, i) => [index, String.fromCharCode((i < 26 ? 97 : 65 - 26) + i)]));
}

function gradientOfTerm(
  kernels: Kernels,
  { value, indices }: Term,
  factors: readonly Term[],
  letters: ReadonlyMap<string, string>,
): Value {
  const extents = extentsOf(factors);
  const isFirst = (axis: number) => indices.indexOf(indices[axis]) === axis;
  // An axis that was stretched to the others' extent is summed like one that the input does not have.
  const kept = indices.filter((index, axis) => {
    const extent = extents.get(index);
    return isFirst(axis) && extent !== undefined && (value.shape[axis] > 1 || extent === 1);
  });
  const product = contract(kernels, factors, kept, letters);
  const spread = indices.map((index, axis) => (isFirst(axis) && kept.includes(index) ? (extents.get(index) ?? 1) : 1));
  const diagonal = indices.reduce(
    (masked, index, axis) =>
      isFirst(axis) ? masked : onDiagonal(kernels, masked, indices.indexOf(index), axis, value),
    kernels.reshape(product, spread),
  );
  return kernels.expand(diagonal, value.shape);
}

function extentsOf(terms: readonly Term[]): ReadonlyMap<string, number> {
  const extents = new Map<string, number>();
  for (const { value, indices } of terms)
    for (const [axis, index] of indices.entries())
      extents.set(index, Math.max(value.shape[axis], extents.get(index) ?? 1));
  return extents;
}

/** The Einsum of the factors to `output`; scalars, which an equation has no letters for, are multiplied afterwards. */
function contract(
  kernels: Kernels,
  factors: readonly Term[],
  output: Indices,
  letters: ReadonlyMap<string, string>,
): Value {
  const text = (indices: Indices) => indices.map((index) => letters.get(index)).join('');
  const tensors = factors.filter(({ indices }) => indices.length > 0);
  const scalars = factors.filter(({ indices }) => indices.length === 0).map(({ value }) => value);
  if (tensors.length === 0) return scalars.reduce((a, b) => kernels.multiply(a, b));
  const equation = `${tensors.map(({ indices }) => text(indices)).join()}->${text(output)}`;
  const inputs = tensors.map(({ value }) => value);
  return scalars.reduce((a, b) => kernels.multiply(a, b), kernels.operator('Einsum', inputs, { equation }));
}

/** Spreads x over a second axis of the same index, with zeros beside the diagonal. */
function onDiagonal(kernels: Kernels, x: Value, axis: number, second: number, like: Value): Value {
  const size = like.shape[axis];
  const shape = like.shape.map((_, i) => (i === axis || i === second ? size : 1));
  const ones = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  return kernels.multiply(x, kernels.floats(ones, shape));
}

export const einsumRules: RuleTable = { Einsum: einsum };
