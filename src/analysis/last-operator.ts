import type { Graph } from '../ir/graph.js';

/** Operators that only move values, so that the one before them says what an output is. */
const MOVES = new Set([
  'Identity',
  'Cast',
  'Reshape',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Dropout',
  'Slice',
  'Resize',
]);

/** The operator that computes an output's values; undefined where the output is an input or a constant. */
export function lastOperator(graph: Graph, output: string): string | undefined {
  let node = graph.producer(output);
  while (node && MOVES.has(node.op)) node = graph.producer(node.inputs[0]);
  return node?.op === 'Opaque' ? node.origin?.op : node?.op;
}
