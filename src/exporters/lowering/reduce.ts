import type { Graph, Node } from '../../ir/graph.js';
import { normalizeAxis } from '../../ops/op.js';
import { ANY, AS_IS, arranged, type LayoutRule } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import type { ReduceFunction } from './operations.js';
import type { LoweringRule, LoweringRules } from './rule.js';

export const reduceRules: LoweringRules = {
  ReduceMean: reduction('mean'),
  ReduceSum: reduction('sum'),
  ReduceMax: reduction('max'),
  ReduceMin: reduction('min'),
  ReduceProd: reduction('product'),
  ReduceL2: {
    layout: layoutOfReduction,
    lower(node) {
      const sum = reduced(node, 'sum', node.unary('square', node.input()));
      node.give(node.unary('sqrt', sum));
    },
  },
  ArgMax: argument('max'),
  ArgMin: argument('min'),
};

function reduction(name: ReduceFunction): LoweringRule {
  return { layout: layoutOfReduction, lower: (node) => node.give(reduced(node, name, node.input())) };
}

function reduced(node: NodeLowering, name: ReduceFunction, x: string): string {
  const axes = reducedAxes(node.numbers(1), node.rank, node.number('noop_with_empty_axes') === 1);
  if (axes.length === 0) return x;
  return node.reduce(name, x, node.axes(axes), node.number('keepdims') === 1);
}

function reducedAxes(named: readonly number[] | undefined, rank: number, emptyMeansNone: boolean): number[] {
  if (named?.length) return named.map((axis) => normalizeAxis(axis, rank));
  return emptyMeansNone ? [] : Array.from({ length: rank }, (_, axis) => axis);
}

function argument(name: 'max' | 'min'): LoweringRule {
  return {
    layout: layoutOfArgument,
    limits: 'the first of equals; as 32-bit integers',
    lower(node) {
      if (node.number('select_last_index') === 1) node.fail('of equal elements only the first can be taken there');
      const x = node.input();
      const axis = node.axis(node.number('axis'));
      const shape = node.shapeOf(x);
      const index = node.apply(
        'argument',
        [x],
        { function: name, axis },
        shape.filter((_, i) => i !== axis),
        'i32',
      );
      const kept = shape.map((size, i) => (i === axis ? 1 : size));
      node.give(node.number('keepdims') === 1 ? node.reshape(index, kept) : index);
    },
  };
}

function layoutOfReduction(node: Node, graph: Graph): LayoutRule {
  const rank = graph.type(node.inputs[0]).shape?.length ?? 0;
  const named = graph.constants.get(node.inputs[1] ?? '');
  const axes = reducedAxes(named && Array.from(named.toNumbers()), rank, node.attributes.noop_with_empty_axes === 1);
  return node.attributes.keepdims === 0 ? layoutWithout(axes, rank) : ANY;
}

function layoutOfArgument(node: Node, graph: Graph): LayoutRule {
  const rank = graph.type(node.inputs[0]).shape?.length ?? 0;
  const axis = (node.attributes.axis as number | undefined) ?? 0;
  return node.attributes.keepdims === 0 ? layoutWithout([normalizeAxis(axis, rank)], rank) : ANY;
}

/** In which layouts a value may lie that loses axes: what is left must be in one of the two orders again. */
export function layoutWithout(gone: readonly number[], rank: number): LayoutRule {
  const left = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !gone.includes(axis));
  const leftOfLast = arranged(
    Array.from({ length: rank }, (_, axis) => axis),
    'last',
  ).filter((axis) => !gone.includes(axis));
  if (leftOfLast.join() === left.join()) return { inputs: 'own', outputs: 'as-is' };
  return leftOfLast.join() === arranged(left, 'last').join() ? ANY : AS_IS;
}
