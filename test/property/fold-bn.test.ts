import fc from 'fast-check';
import { expect, it } from 'vitest';
import { foldBn } from '../../src/passes/fold-bn.js';
import { drawNet, randomNets } from '../support/random-net.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { runPass } from '../support/run-pass.js';

it('folding keeps the outputs of random nets, and folding again changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(randomNets, async (choice) => {
      const graph = drawNet(choice);
      const folded = await runPass(foldBn, graph, {});
      const difference = largestDifference(await runGraph(graph), await runGraph(folded.graph));
      expect(difference).toBeLessThan(1e-4);
      const again = await runPass(foldBn, folded.graph, {});
      expect(again.changes.filter(({ action }) => action !== 'kept')).toEqual([]);
    }),
    { numRuns: 150, seed: 1 },
  );
});
