import type { Graph } from '../../src/ir/graph.js';
import { verify } from '../../src/ir/verify.js';
import { semantics } from '../../src/ops/index.js';
import type { Change, Pass, PassContext } from '../../src/passes/pass.js';

export interface PassResult {
  readonly graph: Graph;
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
}

/** Runs a pass that needs no data; the graph that it makes must verify. */
export async function runPass<Options>(pass: Pass<Options>, graph: Graph, options: Options): Promise<PassResult> {
  const changes: Change[] = [];
  const warnings: string[] = [];
  const context: PassContext = {
    semantics,
    seed: 0,
    note: (change) => changes.push(change),
    warn: (message) => warnings.push(message),
    resolve: () => {},
    progress: () => {},
  };
  const result = await pass.run(graph, options, context);
  const findings = verify(result, semantics);
  if (findings.length > 0) throw new Error(findings.join('; '));
  return { graph: result, changes, warnings };
}

export function countOf(graph: Graph, op: string): number {
  return graph.nodes.filter((node) => node.op === op).length;
}
