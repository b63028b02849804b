import { GraphBuilder } from './builder.js';
import type { Graph, Node } from './graph.js';
import type { Semantics } from './semantics.js';
import type { Tensor } from './tensor.js';

/**
 * Replays a graph forward into a builder. `visit` may add replacement nodes (their outputs must carry the names of the
 * outputs they replace) and return true; otherwise the node is copied. Nodes and constants that nothing reads any more
 * disappear.
 */
export function rewrite(
  graph: Graph,
  semantics: Semantics,
  visit: (node: Node, builder: GraphBuilder) => boolean,
): Graph {
  const builder = new GraphBuilder(semantics, graph);
  builder.reserve(graph.types.keys());
  for (const input of graph.inputs) builder.input(input, graph.type(input));
  for (const [name, tensor] of graph.constants) builder.constant(name, tensor);
  for (const node of graph.nodes) if (!visit(node, builder)) copyNode(graph, node, builder);
  return builder.build(graph.outputs);
}

/** Adds `node` of `graph` to the builder as it is. */
export function copyNode(graph: Graph, node: Node, builder: GraphBuilder): void {
  builder.add(
    node,
    node.outputs.map((output) => graph.type(output)),
  );
}

/** The same graph with some constants replaced; shapes are inferred anew. */
export function withConstants(graph: Graph, semantics: Semantics, replaced: ReadonlyMap<string, Tensor>): Graph {
  const constants = new Map([...graph.constants].map(([name, tensor]) => [name, replaced.get(name) ?? tensor]));
  return rewrite(graph.with({ constants }), semantics, () => false);
}

/** A local rewrite: each touched node with what takes its place (nothing, where it disappears). */
export interface Edit {
  readonly replace: ReadonlyMap<Node, readonly Node[]>;
  readonly constants: ReadonlyMap<string, Tensor>;
}

/** Applies edits that touch different nodes, all at once. */
export function applyEdits(graph: Graph, semantics: Semantics, edits: readonly Edit[]): Graph {
  const replacements = new Map(edits.flatMap(({ replace }) => [...replace]));
  const constants = new Map([...graph.constants, ...edits.flatMap((edit) => [...edit.constants])]);
  return rewrite(graph.with({ constants }), semantics, (node, builder) => {
    const replacement = replacements.get(node);
    for (const inserted of replacement ?? []) builder.add(inserted);
    return replacement !== undefined;
  });
}
