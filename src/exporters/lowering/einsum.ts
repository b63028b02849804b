import { type Indices, readEquation } from '../../ops/einsum.js';
import { AS_IS } from '../layout.js';
import { multiplied } from './dense.js';
import type { NodeLowering } from './node-lowering.js';
import type { LoweringRules } from './rule.js';

export const einsumRules: LoweringRules = {
  Einsum: { layout: AS_IS, lower: lowerEinsum, limits: 'of one or two operands, each index once in each' },
};

/** An operand, and the index of each of its axes. */
interface Term {
  readonly value: string;
  readonly indices: Indices;
}

/** Sums over products by a formula, as transpositions, sums and one product of matrices. */
function lowerEinsum(node: NodeLowering): void {
  const { terms, output } = equationOf(node);
  const [first, second] = terms.map((indices, input) =>
    summed(node, { value: node.input(input), indices }, [...output, ...terms.filter((_, i) => i !== input).flat()]),
  );
  const product = second ? productOf(node, first, second, output) : first;
  node.give(arrangedAs(node, product, output));
}

function equationOf(node: NodeLowering) {
  const inputs = node.node.inputs.map((name, input) => ({
    name,
    type: { dtype: node.dataType(input), shape: node.shape(input) },
    known: () => undefined,
  }));
  const equation = readEquation({ inputs }, node.text('equation'));
  if (!equation || equation.terms.length > 2)
    node.fail('sums over products of more than two operands have no counterpart there; take two at a time');
  const extents = new Map<string, number>();
  for (const [input, term] of equation.terms.entries())
    for (const [axis, index] of term.entries()) {
      const extent = node.shape(input)[axis];
      if (term.indexOf(index) !== axis) node.fail(`a diagonal ('${index}' twice in one term) has no counterpart there`);
      if ((extents.get(index) ?? extent) !== extent)
        node.fail(`'${index}' has two extents, which have no counterpart there; expand the smaller first`);
      extents.set(index, extent);
    }
  return equation;
}

/** Without the indices that nothing else names. */
function summed(node: NodeLowering, { value, indices }: Term, named: Indices): Term {
  const gone = indices.flatMap((index, axis) => (named.includes(index) ? [] : [axis]));
  if (gone.length === 0) return { value, indices };
  return { value: node.reduce('sum', value, gone, false), indices: indices.filter((_, axis) => !gone.includes(axis)) };
}

/** Indices of both operands that stay are a stack of matrices, those that go the axis within the product. */
function productOf(node: NodeLowering, first: Term, second: Term, output: Indices): Term {
  const shared = first.indices.filter((index) => second.indices.includes(index));
  const stack = shared.filter((index) => output.includes(index));
  const inner = shared.filter((index) => !output.includes(index));
  const [rows, columns] = [first, second].map(({ indices }) => indices.filter((index) => !shared.includes(index)));
  const left = grouped(node, first, [stack, rows, inner]);
  const right = grouped(node, second, [stack, inner, columns]);
  // Of one element within, products need no sum.
  const product = inner.length === 0 ? node.binary('multiply', left, right) : multiplied(node, left, right);
  const indices = [...stack, ...rows, ...columns];
  const extentOf = (index: string) => {
    const { value, indices: own } = first.indices.includes(index) ? first : second;
    return node.shapeOf(value)[own.indexOf(index)];
  };
  return { value: node.reshape(product, indices.map(extentOf)), indices };
}

/** One axis for each group of indices. */
function grouped(node: NodeLowering, term: Term, groups: readonly Indices[]): string {
  const value = arrangedAs(node, term, groups.flat());
  const shape = node.shapeOf(value);
  let start = 0;
  const sizes = groups.map(({ length }) => {
    start += length;
    return shape.slice(start - length, start).reduce((product, size) => product * size, 1);
  });
  return node.reshape(value, sizes);
}

function arrangedAs(node: NodeLowering, { value, indices }: Term, wanted: Indices): string {
  return node.transpose(
    value,
    wanted.map((index) => indices.indexOf(index)),
  );
}
