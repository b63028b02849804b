import type { Node } from '../../ir/graph.js';
import { constantNumber, knownNumbers, sameShape } from './match.js';
import { disappear, type RewriteScope, type Rule, replaceNode } from './rule.js';

/** When an operator gives out its first input as it is. */
const UNCHANGED: Readonly<Record<string, (scope: RewriteScope, node: Node) => boolean>> = {
  Identity: () => true,
  Dropout: (scope, { inputs, outputs }) =>
    (!outputs[1] || scope.graph.readers(outputs[1]).length === 0) &&
    (!inputs[2] || constantNumber(scope, inputs[2]) === 0) &&
    !scope.graph.outputs.includes(outputs[1] ?? ''),
  Cast: keepsType,
  CastLike: keepsType,
  Transpose: ({ graph }, node) => isIdentity(permutation(node, rankOf(graph, node.inputs[0]))),
  Reshape: keepsShape,
  Flatten: keepsShape,
  Expand: keepsShape,
  Squeeze: keepsShape,
  Pad: (scope, { inputs }) => knownNumbers(scope, inputs[1])?.every((pad) => pad === 0) ?? false,
  Concat: (_, { inputs }) => inputs.length === 1,
};

function keepsType({ graph }: RewriteScope, { inputs, outputs }: Node): boolean {
  const { dtype } = graph.type(outputs[0]);
  return dtype !== null && dtype === graph.type(inputs[0]).dtype;
}

function keepsShape({ graph }: RewriteScope, { inputs, outputs }: Node): boolean {
  return sameShape(graph.type(inputs[0]).shape, graph.type(outputs[0]).shape);
}

/** f(x) = x. */
export const withoutEffect: Rule = {
  action: 'removed, as it changes nothing',
  ops: Object.keys(UNCHANGED),
  apply: (scope, node) => (UNCHANGED[node.op](scope, node) ? disappear(scope, node, node.inputs[0]) : undefined),
};

/** Axis i of transpose(transpose(x, p), q) is axis p[q[i]] of x. */
export const consecutiveTransposes: Rule = {
  action: 'joined with the Transpose before it',
  ops: ['Transpose'],
  apply(scope, node) {
    const { graph } = scope;
    const first = graph.producer(node.inputs[0]);
    const rank = rankOf(graph, node.inputs[0]);
    if (first?.op !== 'Transpose' || rank === undefined) return undefined;
    const [before, after] = [permutation(first, rank), permutation(node, rank)];
    const perm = after?.map((axis) => before?.[axis] ?? 0);
    if (isIdentity(perm)) return disappear(scope, node, first.inputs[0]);
    if (!perm || !graph.hasOneReader(node.inputs[0])) return undefined;
    return replaceNode(node, withInputs(node, [first.inputs[0]], { perm }));
  },
};

const RESHAPES = ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'];

/** reshape(reshape(x, s), t) = reshape(x, t), as elements keep their order; a 0 in t must copy the same size from x. */
export const consecutiveReshapes: Rule = {
  action: 'joined with the reshaping before it',
  ops: ['Reshape'],
  apply(scope, node) {
    const { graph } = scope;
    const first = graph.producer(node.inputs[0]);
    if (!first || !RESHAPES.includes(first.op) || !graph.hasOneReader(node.inputs[0])) return undefined;
    const stated = graph.known.get(node.inputs[1])?.elements ?? knownNumbers(scope, node.inputs[1]);
    const [before, between] = [first.inputs[0], node.inputs[0]].map((value) => graph.type(value).shape);
    if (!stated || !before || !between) return undefined;
    const copies = stated.flatMap((size, axis) => (size === 0 && !node.attributes.allowzero ? [axis] : []));
    if (copies.some((axis) => before[axis] === undefined || before[axis] !== between[axis])) return undefined;
    return replaceNode(node, withInputs(node, [first.inputs[0], node.inputs[1]], node.attributes));
  },
};

function withInputs(node: Node, inputs: readonly string[], attributes: Node['attributes']): Node {
  return { ...node, inputs, attributes, origin: undefined };
}

function rankOf(graph: RewriteScope['graph'], value: string): number | undefined {
  return graph.type(value).shape?.length;
}

/** Without `perm` the axes are reversed. */
export function permutation({ attributes }: Node, rank: number | undefined): readonly number[] | undefined {
  if (rank === undefined) return undefined;
  return (attributes.perm as readonly number[] | undefined) ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
}

function isIdentity(perm: readonly number[] | undefined): boolean {
  return perm?.every((axis, i) => axis === i) ?? false;
}
