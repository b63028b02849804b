import { type Graph, type Node, OPAQUE } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';

/** The graph that rules look at, with what other rules of the same round have done already. */
export interface RewriteScope {
  readonly graph: Graph;
  /** The constant that a value is, or has become. */
  constant(value: string): Tensor | undefined;
  /** A name that no value has, nor any other rule of the round takes. */
  fresh(base: string): string;
}

/**
 * A local rewrite. Every value that is still there afterwards is what it was before; nodes that nothing reads any more
 * disappear by themselves.
 */
export interface Rewrite {
  readonly replace: ReadonlyMap<Node, readonly Node[]>;
  readonly constants?: ReadonlyMap<string, Tensor>;
  /** Values that go, each with the value that is read in its place. */
  readonly aliases?: ReadonlyMap<string, string>;
}

/** One rewrite of one kind. It is exact wherever it applies. */
export interface Rule {
  /** What it does, for the report. */
  readonly action: string;
  /** Operators of the nodes at which it is tried. */
  readonly ops: readonly string[] | 'any';
  apply(scope: RewriteScope, node: Node): Rewrite | undefined;
}

/** One node in the place of another, with constants that it reads. */
export function replaceNode(node: Node, by: Node, constants?: ReadonlyMap<string, Tensor>): Rewrite {
  return { replace: new Map([[node, [by]]]), constants };
}

/**
 * Takes out a node whose output is `input` itself. An output of the model keeps its name: its maker takes it over.
 * Undefined where that is not possible (an input that goes straight to an output; a name within a subgraph).
 */
export function disappear({ graph }: RewriteScope, node: Node, input: string): Rewrite | undefined {
  const [output] = node.outputs;
  if (isCaptured(graph, output)) return undefined;
  if (!graph.outputs.includes(output)) return { replace: new Map([[node, []]]), aliases: new Map([[output, input]]) };
  const maker = graph.producer(input);
  if (!maker || maker.op === OPAQUE || graph.outputs.includes(input) || isCaptured(graph, input)) return undefined;
  const outputs = maker.outputs.map((name) => (name === input ? output : name));
  return {
    replace: new Map<Node, readonly Node[]>([
      [maker, [{ ...maker, outputs, origin: undefined }]],
      [node, []],
    ]),
    aliases: new Map([[input, output]]),
  };
}

/** Whether a subgraph within a node reads the value by its name. */
function isCaptured(graph: Graph, value: string): boolean {
  return graph.readers(value).some(({ index }) => index < 0);
}
