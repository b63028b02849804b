import { describe, expect, it } from 'vitest';
import { costOf } from '../../src/analysis/cost.js';
import type { Graph } from '../../src/ir/graph.js';
import { parseGraph } from '../../src/ir/parse.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { type ThinOptions, thin } from '../../src/passes/thin.js';
import { patterns } from '../support/patterns.js';
import { runPass } from '../support/run-pass.js';

const HALF: ThinOptions = { keep: 0.5, round: 1, shape: 'proportional' };

function unet(): Graph {
  return patterns.find(({ name }) => name === 'unet-static')?.make() as Graph;
}

async function widths(graph: Graph, options: ThinOptions): Promise<unknown[]> {
  const { changes } = await runPass(thin, graph, options);
  return changes.map(({ after }) => after);
}

describe('widths', () => {
  it('never fall below one channel, nor rise above what there was', async () => {
    expect(await widths(unet(), { ...HALF, keep: 0.01 })).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
    expect(await widths(unet(), { ...HALF, keep: 0.01, round: 64 })).toEqual([
      8, 8, 12, 12, 16, 16, 12, 12, 12, 8, 8, 8, 2,
    ]);
    expect(await widths(unet(), { ...HALF, keep: 1 })).toEqual([8, 8, 12, 12, 16, 16, 12, 12, 12, 8, 8, 8, 2]);
  });

  it('go up to the multiple', async () => {
    expect(await widths(unet(), { ...HALF, round: 8 })).toEqual([8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 2]);
  });

  it('can be set for single layers; of two layers of one class the larger holds', async () => {
    const layerKeep = (layer: string) => ({ conv3: 1, conv4: 0.25 })[layer];
    expect(await widths(unet(), { ...HALF, layerKeep })).toEqual([4, 4, 12, 3, 8, 8, 6, 6, 6, 4, 4, 4, 2]);
    const residual = patterns.find(({ name }) => name === 'residual')?.make() as Graph;
    const onBoth = (layer: string) => ({ conv1: 0.25, conv3: 0.75 })[layer];
    expect(await widths(residual, { ...HALF, layerKeep: onBoth })).toEqual([6, 5, 6, 6, 6, 6, 2]);
  });

  it('are the same everywhere in a flat net, up to what there was', async () => {
    expect(await widths(unet(), { ...HALF, shape: 'flat', width: 10 })).toEqual([
      8, 8, 10, 10, 10, 10, 10, 10, 10, 8, 8, 8, 2,
    ]);
  });

  it('of a flat net cost about what the proportional net does', async () => {
    const proportional = await runPass(thin, unet(), HALF);
    const flat = await runPass(thin, unet(), { ...HALF, shape: 'flat' });
    const macs = (graph: Graph) => costOf(graph).macs ?? Number.NaN;
    const width = Number(flat.changes[0].after);
    const neighbours = await Promise.all(
      [width - 1, width + 1].map((other) => runPass(thin, unet(), { ...HALF, shape: 'flat', width: other })),
    );
    const distance = (graph: Graph) => Math.abs(macs(graph) - macs(proportional.graph));
    for (const { graph } of neighbours) expect(distance(flat.graph)).toBeLessThanOrEqual(distance(graph));
  });
});

describe('which channels stay', () => {
  const parse = (text: string) =>
    parseGraph(text, semantics, (_, { seed }, count) => {
      const random = createRandom(seed);
      return Float32Array.from({ length: count }, () => random.normal());
    });

  it('is decided by makers and readers together', async () => {
    const graph = parse(`graph g(%x: f32[1,1,4,4]) {
      %a = const f32[4,1,1,1] {1, 2, 3, 4}
      %b = const f32[1,4,1,1] {9, 4, 2, 1}
      %c = Conv(%x, %a)
      %y = Conv(%c, %b)
      return %y
    }`);
    const { graph: thinned } = await runPass(thin, graph, HALF);
    expect([...(thinned.constants.get('a')?.toFloat64() ?? [])]).toEqual([1, 2]);
  });

  it('counts the scale of a BatchNormalization behind an activation', async () => {
    const graph = parse(`graph g(%x: f32[1,1,4,4]) {
      %a = const f32[4,1,1,1] {1, 2, 3, 4}
      %gamma = const f32[4] {-9, 3, 1, 1}
      %zero = const f32[4] {0, 0, 0, 0}
      %one = const f32[4] {1, 1, 1, 1}
      %b = const f32[1,4,1,1] {1, 1, 1, 1}
      %c = Conv(%x, %a)
      %r = Relu(%c)
      %n = BatchNormalization(%r, %gamma, %zero, %zero, %one)
      %y = Conv(%n, %b)
      return %y
    }`);
    const { graph: thinned } = await runPass(thin, graph, HALF);
    expect([...(thinned.constants.get('a')?.toFloat64() ?? [])]).toEqual([1, 2]);
  });

  it('survives weights that are all zero', async () => {
    const graph = parse(`graph g(%x: f32[1,1,4,4]) {
      %a = const f32[4,1,1,1] {0, 0, 0, 0}
      %b = const f32[1,4,1,1] {1, 2, 0, 0}
      %c = Conv(%x, %a)
      %y = Conv(%c, %b)
      return %y
    }`);
    const { graph: thinned } = await runPass(thin, graph, HALF);
    expect([...(thinned.constants.get('b')?.toFloat64() ?? [])]).toEqual([1, 2]);
  });

  it('does not touch a graph without a free class', async () => {
    const graph = parse('graph g(%x: f32[1,4]) {\n%y = Softmax(%x)\nreturn %y\n}');
    for (const shape of ['proportional', 'flat'] as const) {
      const { graph: thinned, changes } = await runPass(thin, graph, { ...HALF, shape });
      expect(thinned.nodes).toEqual(graph.nodes);
      expect(changes).toEqual([]);
    }
  });
});
