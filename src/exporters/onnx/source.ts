import type { OnnxGraphOrigin, OnnxNodeOrigin, SourceNode } from '../../formats/onnx/origin.js';
import type { Graph, Node } from '../../ir/graph.js';

/** What the importer noted about the file that a graph came from; undefined for a graph from elsewhere. */
export function graphOrigin(graph: Graph): OnnxGraphOrigin | undefined {
  return graph.origin?.format === 'onnx' ? (graph.origin as OnnxGraphOrigin) : undefined;
}

export function nodeOrigin(node: Node): OnnxNodeOrigin | undefined {
  return node.origin?.format === 'onnx' ? (node.origin as OnnxNodeOrigin) : undefined;
}

/** A run of nodes that the file says with one node of its own. */
export interface Run {
  readonly nodes: readonly Node[];
  readonly source?: SourceNode;
}

/**
 * Cuts the graph's nodes into runs. A run has a source where it can be written back as it came: all that the source
 * became is there, nothing of it was changed, and only values that it makes itself are read elsewhere.
 */
export function runsOf(graph: Graph): Run[] {
  const runs: Run[] = [];
  for (let at = 0; at < graph.nodes.length; ) {
    const source = nodeOrigin(graph.nodes[at])?.source;
    const nodes = source ? graph.nodes.slice(at, at + source.became.length) : [graph.nodes[at]];
    const run: Run = source && isUntouched(graph, source, nodes) ? { nodes, source } : { nodes: [graph.nodes[at]] };
    runs.push(run);
    at += run.nodes.length;
  }
  return runs;
}

function isUntouched(graph: Graph, source: SourceNode, nodes: readonly Node[]): boolean {
  if (nodes.length !== source.became.length || nodes.some((node, i) => node !== source.became[i])) return false;
  for (const [name, tensor] of source.constants) {
    const current = graph.constants.get(name);
    if (current !== undefined && current !== tensor) return false;
  }
  const within = new Set<Node>(nodes);
  const isPrivate = (value: string) =>
    !graph.outputs.includes(value) && graph.readers(value).every((reader) => within.has(reader.node));
  const made = nodes.flatMap((node) => node.outputs).filter((output) => output !== '');
  return (
    made.every((value) => source.makes.includes(value) || isPrivate(value)) &&
    source.makes.every((value) => made.includes(value) || !graph.types.has(value)) &&
    source.reads.every((value) => isAvailable(graph, value))
  );
}

/** Whether the written file will have the value: from the graph, or as a constant that only the file's form needs. */
function isAvailable(graph: Graph, value: string): boolean {
  return (
    graph.constants.has(value) ||
    graph.inputs.includes(value) ||
    graph.producer(value) !== undefined ||
    (graphOrigin(graph)?.constants.has(value) ?? false)
  );
}
