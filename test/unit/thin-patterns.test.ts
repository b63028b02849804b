import { describe, expect, it } from 'vitest';
import { layersOf } from '../../src/analysis/layers.js';
import type { Graph } from '../../src/ir/graph.js';
import { type ThinOptions, thin } from '../../src/passes/thin.js';
import { type Pattern, patterns } from '../support/patterns.js';
import { runGraph } from '../support/run-graph.js';
import { runPass } from '../support/run-pass.js';

const HALF: ThinOptions = { keep: 0.5, round: 1, shape: 'proportional' };

const CHOICES: readonly ThinOptions[] = [
  HALF,
  { ...HALF, keep: 0.125 },
  { ...HALF, round: 4 },
  { ...HALF, shape: 'flat' },
  { ...HALF, shape: 'flat', width: 3 },
];

function widthsOf(graph: Graph): Record<string, unknown> {
  return Object.fromEntries(
    layersOf(graph).map(({ node, channels }) => [node.name, graph.type(channels.value).shape?.[channels.axis]]),
  );
}

describe('thin on every pattern', () => {
  it.each(patterns)('$name: what it makes runs, under every choice of widths', async ({ make, sizes }) => {
    const graph = make();
    const expected = await runGraph(graph, { sizes });
    for (const options of CHOICES) {
      const thinned = await runPass(thin, graph, options);
      const outputs = await runGraph(thinned.graph, { sizes });
      expect(outputs.map(({ dims }) => dims)).toEqual(expected.map(({ dims }) => dims));
      expect(outputs.every(({ values }) => values.every(Number.isFinite))).toBe(true);
    }
  });

  it.each(patterns)('$name: what it notes is what it did', async ({ make }) => {
    const graph = make();
    const before = widthsOf(graph);
    const thinned = await runPass(thin, graph, HALF);
    const after = widthsOf(thinned.graph);
    expect(thinned.changes.map(({ layer }) => layer)).toEqual(layersOf(graph).map(({ node }) => node.name));
    for (const change of thinned.changes) {
      expect(change).toMatchObject({ before: before[change.layer], after: after[change.layer] });
      expect(change.action).toBe(change.before === change.after ? 'kept' : 'thinned');
    }
  });

  it.each(having('widths'))('$name: half of every class is what was worked out by hand', async ({ make, widths }) => {
    const { graph } = await runPass(thin, make(), HALF);
    expect(widthsOf(graph)).toMatchObject(widths ?? {});
  });

  it.each(having('fixed'))('$name: says why layers are fixed', async ({ make, fixed }) => {
    const { changes } = await runPass(thin, make(), HALF);
    for (const [layer, reason] of Object.entries(fixed ?? {}))
      expect(changes.find((change) => change.layer === layer)?.reason).toContain(reason);
  });
});

function having(key: keyof Pattern): Pattern[] {
  return patterns.filter((pattern) => pattern[key] !== undefined);
}
