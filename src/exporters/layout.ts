import type { Graph, Node } from '../ir/graph.js';
import { elementCount } from '../ir/tensor.js';
import { CutProblem } from './minimum-cut.js';

/**
 * How a value of three and more axes lies in the artefact: `last` moves the channels (axis 1) behind the spatial axes,
 * `as-is` keeps the graph's order. Values of fewer axes are always as they are.
 */
export type Layout = 'last' | 'as-is';

/** What an operator asks of its operands' layout, and gives: a fixed one, or `own`, which the plan chooses for the node. */
export interface LayoutRule {
  readonly inputs: Layout | 'own';
  readonly outputs: Layout | 'own';
}

export const CHANNELS_LAST: LayoutRule = { inputs: 'last', outputs: 'last' };
export const AS_IS: LayoutRule = { inputs: 'as-is', outputs: 'as-is' };
/** Operators that work in any order of axes. */
export const ANY: LayoutRule = { inputs: 'own', outputs: 'own' };

/** The layout of every node and value of a graph. */
export interface LayoutPlan {
  /** In which layout the node reads its operands. */
  inputs(node: Node): Layout;
  /** In which layout the value is made. */
  of(value: string): Layout;
}

export interface LayoutRequest {
  readonly graph: Graph;
  rule(node: Node): LayoutRule;
  /** The layout of inputs and outputs of the graph in the artefact. */
  interfaceLayout(value: string): Layout;
}

/**
 * Chooses layouts such that the fewest bytes are transposed: a minimum cut between what must be channels last and what
 * must stay. Operators that take any layout lie on either side; a value costs its bytes once where its maker and any
 * reader come to lie on different sides, and next to nothing where moving its axes moves no bytes.
 */
export function planLayout({ graph, rule, interfaceLayout }: LayoutRequest): LayoutPlan {
  const problem = new CutProblem();
  const fixed = (layout: Layout) => (layout === 'last' ? problem.source : problem.sink);
  const own = new Map<Node, number>();
  const rules = new Map(graph.nodes.map((node) => [node, rule(node)]));
  const side = (node: Node, which: 'inputs' | 'outputs') => {
    const wanted = rules.get(node)?.[which] ?? 'as-is';
    if (wanted !== 'own') return fixed(wanted);
    const known = own.get(node) ?? problem.addNode();
    own.set(node, known);
    return known;
  };
  const makers = new Map<string, number>(graph.inputs.map((input) => [input, fixed(interfaceLayout(input))]));
  for (const node of graph.nodes) for (const output of node.outputs) makers.set(output, side(node, 'outputs'));
  for (const [value, maker] of makers) {
    if (!hasLayout(graph, value)) continue;
    const readers = graph.readers(value).filter(({ node }) => readsWhole(graph, node, value));
    const sides = new Set(readers.map(({ node }) => side(node, 'inputs')));
    if (graph.outputs.includes(value)) sides.add(fixed(interfaceLayout(value)));
    addValue(problem, maker, [...sides], costOfMoving(graph, value));
  }
  const isLast = problem.solve();
  const layoutAt = (node: number | undefined): Layout => (node !== undefined && isLast[node] ? 'last' : 'as-is');
  return {
    inputs: (node) => layoutAt(side(node, 'inputs')),
    of: (value) => (hasLayout(graph, value) ? layoutAt(makers.get(value)) : 'as-is'),
  };
}

/** The cost is paid once, in whichever direction, however many readers differ from the maker. */
function addValue(problem: CutProblem, maker: number, readers: readonly number[], cost: number): void {
  if (readers.every((reader) => reader === maker)) return;
  const [lastMade, lastRead] = [problem.addNode(), problem.addNode()];
  problem.addEdge(maker, lastMade, cost);
  problem.addEdge(lastRead, maker, cost);
  for (const reader of readers) {
    problem.addEdge(lastMade, reader, Number.POSITIVE_INFINITY);
    problem.addEdge(reader, lastRead, Number.POSITIVE_INFINITY);
  }
}

/** Bytes that a transposition would move; 1 where it only renames axes. */
function costOfMoving(graph: Graph, value: string): number {
  const shape = (graph.type(value).shape ?? []).map(Number);
  return movesBytes(shape) ? elementCount(shape) * 4 : 1;
}

/** Whether moving the channels of this shape behind the spatial axes changes the order of the elements. */
export function movesBytes(shape: readonly number[]): boolean {
  return shape[1] !== 1 && shape.slice(2).some((extent) => extent !== 1);
}

function hasLayout(graph: Graph, value: string): boolean {
  return (graph.type(value).shape?.length ?? 0) > 2;
}

/** Operands of fewer axes than the node's result are brought to its layout by themselves. */
function readsWhole(graph: Graph, node: Node, value: string): boolean {
  const rank = graph.type(value).shape?.length ?? 0;
  const ranks = node.inputs.map((input) => graph.type(input).shape?.length ?? 0);
  return rank === Math.max(...ranks);
}

/** `list`, one entry an axis in the graph's order, in the order of the layout. */
export function arranged<T>(list: readonly T[], layout: Layout): T[] {
  const [batch, channels, ...spatial] = list;
  return layout === 'last' && list.length > 2 ? [batch, ...spatial, channels] : [...list];
}

/** Where the graph's axis lies in a value of that many axes. */
export function placeOf(axis: number, rank: number, layout: Layout): number {
  if (layout === 'as-is' || rank < 3 || axis === 0) return axis;
  return axis === 1 ? rank - 1 : axis - 1;
}

/** For each axis of the artefact's value, the graph's axis that lies there. */
export function orderOf(rank: number, layout: Layout): number[] {
  return arranged(
    Array.from({ length: rank }, (_, axis) => axis),
    layout,
  );
}
