import type { Graph, Node } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import { isFloat } from '../../ir/types.js';
import { constantNumber, privateMaker, sameShape, withConstant } from './match.js';
import { type Rewrite, type RewriteScope, type Rule, replaceNode } from './rule.js';

/** clip(x + 3, 0, 6) / 6 = clip(x/6 + 1/2, 0, 1) = hardsigmoid(x) with α = 1/6, β = 1/2. */
export const hardSigmoid: Rule = {
  action: 'recognized as HardSigmoid',
  ops: ['Mul', 'Div'],
  apply(scope, node) {
    const clipped = dividedBySix(scope, node);
    const input = clipped && shiftedAndClipped(scope, clipped);
    if (!input) return undefined;
    return activation(scope, node, 'HardSigmoid', input, { alpha: 1 / 6, beta: 0.5 });
  },
};

/** x · hardsigmoid(x) with α = 1/6, β = 1/2 is hardswish(x). */
export const hardSwish: Rule = {
  action: 'recognized as HardSwish',
  ops: ['Mul'],
  apply(scope, node) {
    for (const [x, gate] of bothWays(node)) {
      const maker = privateMaker(scope.graph, gate, 'HardSigmoid');
      if (maker && maker.inputs[0] === x && isSwishGate(maker)) return activation(scope, node, 'HardSwish', x);
    }
    return undefined;
  },
};

/** (x · clip(x + 3, 0, 6)) / 6 = hardswish(x). */
export const hardSwishDividedLast: Rule = {
  action: 'recognized as HardSwish',
  ops: ['Mul', 'Div'],
  apply(scope, node) {
    const product = dividedBySix(scope, node);
    const maker = product && privateMaker(scope.graph, product, 'Mul');
    for (const [x, gate] of maker ? bothWays(maker) : [])
      if (shiftedAndClipped(scope, gate) === x) return activation(scope, node, 'HardSwish', x);
    return undefined;
  },
};

function activation(
  { graph }: RewriteScope,
  node: Node,
  op: string,
  input: string,
  attributes: Node['attributes'] = {},
): Rewrite | undefined {
  if (!sameType(graph, input, node.outputs[0])) return undefined;
  return replaceNode(node, { op, name: node.name, inputs: [input], outputs: node.outputs, attributes });
}

function sameType(graph: Graph, a: string, b: string): boolean {
  return graph.type(a).dtype === graph.type(b).dtype && sameShape(graph.type(a).shape, graph.type(b).shape);
}

function bothWays({ inputs: [a, b] }: Node): [string, string][] {
  return [
    [a, b],
    [b, a],
  ];
}

function isSwishGate({ attributes }: Node): boolean {
  return Math.fround(attributes.alpha as number) === Math.fround(1 / 6) && attributes.beta === 0.5;
}

/** The value that a node divides by 6, or multiplies by what its own type holds of 1/6. */
function dividedBySix(scope: RewriteScope, node: Node): string | undefined {
  const found = withConstant(scope, node);
  if (found?.tensor.size !== 1 || !isFloat(found.tensor.dtype)) return undefined;
  const [sixth] = Tensor.encode(found.tensor.dtype, [1], [1 / 6]).toFloat64();
  const [number] = found.tensor.toFloat64();
  const isDivided = node.op === 'Mul' ? number === sixth : found.at === 1 && number === 6;
  return isDivided ? found.value : undefined;
}

/** The x of clip(x + 3, 0, 6). */
function shiftedAndClipped(scope: RewriteScope, value: string): string | undefined {
  const clip = privateMaker(scope.graph, value, 'Clip');
  const bounds = clip?.inputs.slice(1).map((bound) => constantNumber(scope, bound));
  if (!clip || bounds?.[0] !== 0 || bounds[1] !== 6) return undefined;
  const add = privateMaker(scope.graph, clip.inputs[0], 'Add');
  const shift = add && withConstant(scope, add);
  return shift && constantNumber(scope, shift.name) === 3 ? shift.value : undefined;
}
