import { CompressError, messageOf } from '../errors.js';
import { GraphBuilder } from './builder.js';
import type { Graph } from './graph.js';
import { copyNode } from './rewrite.js';
import type { Semantics } from './semantics.js';
import type { ValueType } from './types.js';

/**
 * Checks a graph that a pass has made. A finding is always a bug of ours, never the user's. Checked are:
 *  1. every value has one maker and a name;
 *  2. every value that is read has been made before (topological order);
 *  3. operands and attributes fit the operator, and shapes and types follow (inference is run anew);
 *  4. the types that the graph states are the inferred ones;
 *  5. a constant's stated type is its tensor's;
 *  6. every output of the graph is made.
 * Returns the findings, in graph order.
 */
export function verify(graph: Graph, semantics: Semantics): string[] {
  const findings: string[] = [];
  const builder = new GraphBuilder(semantics, graph);
  const attempt = (step: () => void) => {
    try {
      step();
    } catch (error) {
      if (!(error instanceof CompressError)) throw error;
      findings.push(messageOf(error));
    }
  };
  for (const input of graph.inputs) attempt(() => builder.input(input, graph.type(input)));
  for (const [name, tensor] of graph.constants) {
    attempt(() => builder.constant(name, tensor));
    compare(name, graph.type(name), { dtype: tensor.dtype, shape: tensor.shape }, findings);
  }
  for (const node of graph.nodes) {
    attempt(() => copyNode(graph, node, builder));
    for (const output of node.outputs)
      if (output !== '' && builder.has(output)) compare(output, graph.type(output), builder.type(output), findings);
  }
  for (const output of graph.outputs)
    if (!builder.has(output)) findings.push(`output '${output}' of the graph is made by nothing`);
  return findings;
}

function compare(name: string, stated: ValueType, found: ValueType, findings: string[]): void {
  const text = ({ dtype, shape }: ValueType) => `${dtype}[${shape ?? '?'}]`;
  if (text(stated) !== text(found)) findings.push(`value '${name}' is stated as ${text(stated)} but is ${text(found)}`);
}
