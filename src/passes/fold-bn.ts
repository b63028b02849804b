import type { Graph, Node } from '../ir/graph.js';
import { applyEdits } from '../ir/rewrite.js';
import { affineOf } from './folding/affine.js';
import { FOLD_RULES, type FoldEdit, type FoldRule, LAST_RULES } from './folding/rules.js';
import { createScope } from './folding/scope.js';
import type { Pass, PassContext } from './pass.js';

/**
 * Folds BatchNormalizations, and the Mul and Add that exporters take them apart into, into neighbouring layers.
 *
 * Before: Conv → BatchNormalization; after: Conv with W' = s·W and b' = s·b + t (algorithms, C). Every rule is exact;
 * what cannot be folded exactly stays and is named with the reason.
 */
export const foldBn: Pass<Record<string, never>> = {
  name: 'fold-bn',
  summary: 'folds BatchNormalizations into convolutions',
  keeps: 'exact',
  run(graph, _, context) {
    const warned = new Set<string>();
    const warn = (message: string) => {
      if (!warned.has(message)) context.warn(message);
      warned.add(message);
    };
    const folded = untilDone(
      graph,
      (current) => foldRound(current, FOLD_RULES, context, warn) ?? foldRound(current, LAST_RULES, context, warn),
    );
    for (const node of folded.nodes)
      if (node.op === 'BatchNormalization')
        context.note({ layer: node.name, action: 'kept', reason: whyKept(folded, node) });
    return folded;
  },
};

function untilDone(graph: Graph, step: (graph: Graph) => Graph | undefined): Graph {
  for (let next: Graph | undefined = graph; ; ) {
    next = step(graph);
    if (!next) return graph;
    graph = next;
  }
}

/** Applies every rule that fits somewhere, at most one to a node; undefined where none does. */
function foldRound(
  graph: Graph,
  rules: readonly FoldRule[],
  context: PassContext,
  warn: (message: string) => void,
): Graph | undefined {
  const scope = createScope(graph);
  const touched = new Set<Node>();
  const edits: FoldEdit[] = [];
  for (const node of graph.nodes) {
    const affine = touched.has(node) ? undefined : affineOf(graph, node, warn);
    if (!affine) continue;
    for (const rule of rules) {
      const edit = rule(scope, affine);
      if (typeof edit === 'string' || [...edit.replace.keys()].some((other) => touched.has(other))) continue;
      for (const other of edit.replace.keys()) touched.add(other);
      edits.push(edit);
      context.note({ layer: node.name, action: edit.action });
      break;
    }
  }
  return edits.length ? applyEdits(graph, context.semantics, edits) : undefined;
}

/** What stops each rule, once for each reason. */
function whyKept(graph: Graph, node: Node): string {
  const affine = affineOf(graph, node);
  if (!affine) return 'its parameters are not constants';
  const scope = createScope(graph);
  const reasons = [...FOLD_RULES, ...LAST_RULES].map((rule) => rule(scope, affine));
  return [...new Set(reasons)].join('; ');
}
