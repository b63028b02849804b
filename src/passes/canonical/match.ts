import type { Graph, Node } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import type { Shape } from '../../ir/types.js';
import type { RewriteScope } from './rule.js';

/** The elements of a constant or computed integer vector, where all of them are numbers. */
export function knownNumbers(scope: RewriteScope, value: string): readonly number[] | undefined {
  const known = scope.graph.known.get(value);
  if (known)
    return known.elements.every((element) => typeof element === 'number')
      ? (known.elements as readonly number[])
      : undefined;
  const tensor = scope.constant(value);
  return tensor && tensor.size <= MOST_NUMBERS ? Array.from(tensor.toFloat64()) : undefined;
}

/** Axes and sizes are few; nothing longer is read for them. */
const MOST_NUMBERS = 64;

/** The one number of a constant with a single element. */
export function constantNumber(scope: RewriteScope, value: string): number | undefined {
  const tensor = scope.constant(value);
  return tensor?.size === 1 ? tensor.toFloat64()[0] : undefined;
}

/** The constant operand of a node of two, and the other one. */
export interface WithConstant {
  readonly value: string;
  readonly name: string;
  readonly tensor: Tensor;
  /** Which operand the constant is. */
  readonly at: number;
}

export function withConstant(scope: RewriteScope, node: Node): WithConstant | undefined {
  const at = node.inputs.findIndex((input) => scope.constant(input));
  const tensor = at < 0 ? undefined : scope.constant(node.inputs[at]);
  return tensor && { value: node.inputs[1 - at], name: node.inputs[at], tensor, at };
}

/** The node that makes a value which nothing else reads, if it is one of the operators. */
export function privateMaker(graph: Graph, value: string, ...ops: readonly string[]): Node | undefined {
  const maker = graph.producer(value);
  return maker && ops.includes(maker.op) && graph.hasOneReader(value) ? maker : undefined;
}

/** The node that alone reads a value, if it is one of the operators. */
export function privateReader(graph: Graph, value: string, ...ops: readonly string[]): Node | undefined {
  if (!graph.hasOneReader(value)) return undefined;
  const [{ node, index }] = graph.readers(value);
  return index >= 0 && ops.includes(node.op) ? node : undefined;
}

/** Whether two shapes are certainly equal; equal texts are equal sizes. */
export function sameShape(a: Shape | null, b: Shape | null): boolean {
  return a !== null && b !== null && a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** The name for what a constant becomes: its own, unless others read it too. */
export function nameOfChanged(scope: RewriteScope, name: string): string {
  return scope.graph.hasOneReader(name) ? name : scope.fresh(name);
}
