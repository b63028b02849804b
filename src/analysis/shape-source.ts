import type { Graph, Node, Reader } from '../ir/graph.js';
import type { AxisRef, ElementSource } from '../ops/op.js';

/** Where an element of a computed shape comes from, with the constant and its reader on the way where it is one. */
export type TracedElement =
  | { readonly kind: 'constant'; readonly constant: string; readonly position: number; readonly reader: Reader }
  | { readonly kind: 'size'; readonly axis: AxisRef };

/**
 * Follows element `position` of the operand `reader` back through shape arithmetic (Concat, Gather, Slice, …). A
 * constant can be rewritten for the one node that reads it on this way. So it counts as not found where a value between
 * has other readers, which would see the new number too.
 */
export function traceElement(graph: Graph, reader: Reader, position: number): TracedElement | undefined {
  let isPrivate = true;
  for (;;) {
    const value = reader.node.inputs[reader.index] ?? '';
    if (graph.constants.has(value))
      return isPrivate ? { kind: 'constant', constant: value, position, reader } : undefined;
    isPrivate &&= graph.hasOneReader(value);
    const step = stepBack(graph, value, position);
    if (!step || 'axis' in step) return step && { kind: 'size', axis: step };
    ({ reader, position } = step);
  }
}

/** The same as an operator's ties see it. */
export function elementSource(graph: Graph, reader: Reader, position: number): ElementSource | undefined {
  const found = traceElement(graph, reader, position);
  return found?.kind === 'constant' ? { kind: 'constant' } : found;
}

/** Finds the axes whose sizes nodes compute with: such an axis may change only where the node says how it follows. */
export class SizeReaders {
  private readonly fromSizes = new Set<string>();

  constructor(private readonly graph: Graph) {
    for (const node of graph.nodes)
      if (node.op === 'Shape' || (node.op in STEPS && dataOperands(node).some((value) => this.fromSizes.has(value))))
        for (const output of node.outputs) this.fromSizes.add(output);
  }

  /** The axes whose sizes `node` reads from its operands and does not merely pass on. */
  readBy(node: Node): AxisRef[] {
    const passesOn = this.passesOn(node) ? dataOperands(node) : [];
    return node.inputs.flatMap((value) => (passesOn.includes(value) ? [] : this.within(value)));
  }

  /** The axes whose sizes stand in a value. */
  within(value: string): AxisRef[] {
    if (!this.fromSizes.has(value)) return [];
    return positionsOf(this.graph, value).flatMap((position) => this.sizeAt(value, position) ?? []);
  }

  private sizeAt(value: string, position: number): AxisRef | undefined {
    for (;;) {
      const step = stepBack(this.graph, value, position);
      if (!step || 'axis' in step) return step;
      value = step.reader.node.inputs[step.reader.index];
      position = step.position;
    }
  }

  /** Whether every element that comes out can be followed back. */
  private passesOn(node: Node): boolean {
    if (node.op === 'Shape') return true;
    return (
      node.op in STEPS && positionsOf(this.graph, node.outputs[0]).every((i) => STEPS[node.op](this.graph, node, i))
    );
  }
}

/** One step back from an element of a computed value: into an operand of its maker, or to the axis that it counts. */
function stepBack(
  graph: Graph,
  value: string,
  position: number,
): { reader: Reader; position: number } | AxisRef | undefined {
  const node = graph.producer(value);
  const step = node && STEPS[node.op]?.(graph, node, position);
  if (!step) return undefined;
  if ('axis' in step) return { value: node.inputs[0], axis: step.axis };
  return { reader: { node, index: step.input }, position: step.position };
}

type Step = { input: number; position: number } | { axis: number } | undefined;

const through = (_graph: Graph, _node: Node, position: number): Step => ({ input: 0, position });

/** How elements of vectors and scalars pass through shape arithmetic. */
const STEPS: Record<string, (graph: Graph, node: Node, position: number) => Step> = {
  Identity: through,
  Cast: through,
  Squeeze: through,
  Unsqueeze: through,
  Reshape: through,
  Concat(graph, node, position) {
    let left = position;
    for (const [input, value] of node.inputs.entries()) {
      const length = vectorLength(graph, value);
      if (length === undefined) return undefined;
      if (left < length) return { input, position: left };
      left -= length;
    }
    return undefined;
  },
  Gather(graph, node, position) {
    const index = numbersOf(graph, node.inputs[1])?.[position];
    const length = vectorLength(graph, node.inputs[0]);
    if (index === undefined || length === undefined) return undefined;
    return { input: 0, position: index < 0 ? index + length : index };
  },
  Slice(graph, node, position) {
    const start = numbersOf(graph, node.inputs[1])?.[0];
    const step = node.inputs[4] ? numbersOf(graph, node.inputs[4])?.[0] : 1;
    const length = vectorLength(graph, node.inputs[0]);
    if (start === undefined || step !== 1 || length === undefined) return undefined;
    return { input: 0, position: (start < 0 ? Math.max(0, start + length) : start) + position };
  },
  Shape(graph, node, position) {
    const start = (node.attributes.start as number | undefined) ?? 0;
    const rank = graph.type(node.inputs[0]).shape?.length;
    if (rank === undefined) return undefined;
    return { axis: Math.max(0, start < 0 ? start + rank : start) + position };
  },
};

/** The operands whose elements come out again. */
function dataOperands(node: Node): readonly string[] {
  return node.op === 'Concat' ? node.inputs : node.inputs.slice(0, 1);
}

function positionsOf(graph: Graph, value: string): number[] {
  const count = graph.type(value).shape?.reduce<number>((product, dim) => product * Number(dim), 1) ?? 0;
  return Array.from({ length: count || 0 }, (_, i) => i);
}

function vectorLength(graph: Graph, value: string): number | undefined {
  const shape = graph.type(value).shape;
  return shape?.length === 1 && typeof shape[0] === 'number' ? shape[0] : undefined;
}

function numbersOf(graph: Graph, value: string): readonly number[] | undefined {
  const tensor = graph.constants.get(value);
  return tensor && Array.from(tensor.toNumbers() as ArrayLike<number>);
}
