import type { Graph, Node } from '../ir/graph.js';
import type { AxisRef, ElementSource } from '../ops/op.js';

/** Where an element of a computed shape comes from, with the constant's name where it is one. */
export type TracedElement =
  | { readonly kind: 'constant'; readonly constant: string; readonly position: number }
  | { readonly kind: 'size'; readonly axis: AxisRef };

/**
 * Follows element `position` of a shape operand back through shape arithmetic (Concat, Gather, Slice, Squeeze, …).
 * A constant that other values are computed from too cannot be rewritten for one reader alone, so it counts as not
 * found, unless it is the operand itself (then the reader gets a constant of its own).
 */
export function traceElement(graph: Graph, value: string, position: number): TracedElement | undefined {
  if (graph.constants.has(value)) return { kind: 'constant', constant: value, position };
  const found = follow(graph, value, position);
  return found?.kind === 'constant' && !found.exclusive ? undefined : found;
}

/** The same without the constant's name, as an operator's ties see it. */
export function elementSource(graph: Graph, value: string, position: number): ElementSource | undefined {
  const found = traceElement(graph, value, position);
  return found?.kind === 'constant' ? { kind: 'constant' } : found;
}

type Followed =
  | { kind: 'constant'; constant: string; position: number; exclusive: boolean }
  | { kind: 'size'; axis: AxisRef };

function follow(graph: Graph, value: string, position: number): Followed | undefined {
  if (graph.constants.has(value))
    return { kind: 'constant', constant: value, position, exclusive: graph.hasOneReader(value) };
  const node = graph.producer(value);
  const step = node && STEPS[node.op]?.(graph, node, position);
  if (!step) return undefined;
  if ('axis' in step) return { kind: 'size', axis: step };
  const found = follow(graph, step.from, step.position);
  return found?.kind === 'constant' ? { ...found, exclusive: found.exclusive && graph.hasOneReader(value) } : found;
}

type Step = { from: string; position: number } | AxisRef | undefined;

const through = (_: Graph, node: Node, position: number): Step => ({ from: node.inputs[0], position });

const STEPS: Record<string, (graph: Graph, node: Node, position: number) => Step> = {
  Identity: through,
  Cast: through,
  Squeeze: through,
  Unsqueeze: through,
  Reshape: through,
  Concat(graph, node, position) {
    let left = position;
    for (const input of node.inputs) {
      const length = graph.type(input).shape?.[0];
      if (typeof length !== 'number') return undefined;
      if (left < length) return { from: input, position: left };
      left -= length;
    }
    return undefined;
  },
  Gather(graph, node, position) {
    const index = numbersOf(graph, node.inputs[1])?.[position];
    const length = graph.type(node.inputs[0]).shape?.[0];
    if (index === undefined || typeof length !== 'number') return undefined;
    return { from: node.inputs[0], position: index < 0 ? index + length : index };
  },
  Slice(graph, node, position) {
    const start = numbersOf(graph, node.inputs[1])?.[0];
    const step = node.inputs[4] ? numbersOf(graph, node.inputs[4])?.[0] : 1;
    const length = graph.type(node.inputs[0]).shape?.[0];
    if (start === undefined || step !== 1 || typeof length !== 'number') return undefined;
    return { from: node.inputs[0], position: (start < 0 ? Math.max(0, start + length) : start) + position };
  },
  Shape(graph, node, position) {
    const start = (node.attributes.start as number | undefined) ?? 0;
    const rank = graph.type(node.inputs[0]).shape?.length;
    if (rank === undefined) return undefined;
    return { value: node.inputs[0], axis: Math.max(0, start < 0 ? start + rank : start) + position };
  },
};

function numbersOf(graph: Graph, value: string): readonly number[] | undefined {
  const tensor = graph.constants.get(value);
  return tensor && Array.from(tensor.toNumbers() as ArrayLike<number>);
}
