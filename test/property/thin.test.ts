import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verify } from '../../src/ir/verify.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { applyThinning } from '../../src/passes/thinning/apply.js';
import { patterns } from '../support/patterns.js';
import { drawNet, randomNets } from '../support/random-net.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { keptWithout, randomUnits, zeroed } from '../support/zero-units.js';

const SEEDS = [1, 2, 3];

describe.each(['makers', 'readers'] as const)('random units whose %s are zeroed', (side) => {
  it.each(patterns)('$name: thinning exactly them keeps the outputs', async ({ make, sizes, ...pattern }) => {
    const graph = make();
    for (const seed of SEEDS) {
      const dropped = randomUnits(graph, createRandom(seed));
      const prepared = zeroed(graph, dropped, side);
      const thinned = applyThinning(prepared, keptWithout(graph, dropped), semantics);
      expect(verify(thinned, semantics)).toEqual([]);
      const expected = await runGraph(prepared, { sizes });
      const difference = largestDifference(expected, await runGraph(thinned, { sizes }));
      const isExact = !pattern.mixesChannels && !(pattern.addsScalars && side === 'makers');
      if (isExact) expect(difference).toBeLessThan(1e-5);
    }
  });
});

it('thinning exactly the zeroed units keeps the outputs of random nets', async () => {
  await fc.assert(
    fc.asyncProperty(randomNets, async (choice) => {
      const graph = drawNet(choice);
      const dropped = randomUnits(graph, createRandom(choice.seed));
      const prepared = zeroed(graph, dropped, 'readers');
      const thinned = applyThinning(prepared, keptWithout(graph, dropped), semantics);
      expect(verify(thinned, semantics)).toEqual([]);
      expect(largestDifference(await runGraph(prepared), await runGraph(thinned))).toBeLessThan(1e-4);
    }),
    { numRuns: 100, seed: 2 },
  );
});
