import type { Graph } from '../ir/graph.js';
import { RECOGNIZING_RULES, SIMPLIFYING_RULES } from './canonical/index.js';
import { RewriteRound } from './canonical/round.js';
import type { Rule } from './canonical/rule.js';
import type { Pass, PassContext } from './pass.js';

/**
 * Brings what exporters write in many ways into the one form that the other passes know.
 *
 * Before: Identity, shape arithmetic over known sizes, norms and activations taken apart, zero-stuffed kernels; after:
 * constants, one operator each, dilations. Every rule is exact; symbolic sizes stay symbolic. The rules with their
 * algebra stand in canonical/, one file a theme.
 */
export const canonicalize: Pass<Record<string, never>> = {
  name: 'canonicalize',
  summary: 'brings operators into the forms that other passes know',
  keeps: 'exact',
  run(graph, _, context) {
    for (;;) {
      const next = rewriteRound(graph, SIMPLIFYING_RULES, context) ?? rewriteRound(graph, RECOGNIZING_RULES, context);
      if (!next) return graph;
      graph = next;
    }
  },
};

/** Applies every rule that fits somewhere, at most one to a node; undefined where none does. */
function rewriteRound(graph: Graph, rules: readonly Rule[], context: PassContext): Graph | undefined {
  const round = new RewriteRound(graph);
  for (const node of graph.nodes)
    for (const { ops, action, apply } of rules) {
      if (round.isTouched(node)) break;
      if (ops !== 'any' && !ops.includes(node.op)) continue;
      const found = apply(round, node);
      if (found && round.accept(found)) context.note({ layer: node.name, action });
    }
  const next = round.result(context.semantics);
  return next === graph ? undefined : next;
}
