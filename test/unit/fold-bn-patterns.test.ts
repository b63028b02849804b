import { describe, expect, it } from 'vitest';
import { verify } from '../../src/ir/verify.js';
import { semantics } from '../../src/ops/index.js';
import { foldBn } from '../../src/passes/fold-bn.js';
import { patterns } from '../support/patterns.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { countOf, runPass } from '../support/run-pass.js';

describe('fold-bn on every pattern', () => {
  it.each(patterns)('$name: the outputs stay, and what can fold does', async ({ make, batchNorms, sizes }) => {
    const graph = make();
    expect(verify(graph, semantics)).toEqual([]);
    const folded = await runPass(foldBn, graph, {});
    expect(countOf(folded.graph, 'BatchNormalization')).toBe(batchNorms);
    const expected = await runGraph(graph, { sizes });
    expect(largestDifference(expected, await runGraph(folded.graph, { sizes }))).toBeLessThan(1e-5);
    const again = await runPass(foldBn, folded.graph, {});
    expect(again.changes.filter(({ action }) => action !== 'kept')).toEqual([]);
    expect(again.graph.nodes).toEqual(folded.graph.nodes);
  });

  it.each(patterns.filter(({ batchNorms }) => batchNorms > 0))('$name: says what is left and why', async ({ make }) => {
    const { graph, changes } = await runPass(foldBn, make(), {});
    const kept = changes.filter(({ action }) => action === 'kept');
    expect(kept.map(({ layer }) => layer)).toEqual(
      graph.nodes.filter(({ op }) => op === 'BatchNormalization').map(({ name }) => name),
    );
    for (const { reason } of kept) expect(reason).toMatch(/'\w/);
  });
});
