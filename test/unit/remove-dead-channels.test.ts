import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/ir/graph.js';
import { parseGraph } from '../../src/ir/parse.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { removeDeadChannels } from '../../src/passes/remove-dead-channels.js';
import { patterns } from '../support/patterns.js';
import { drawNet, randomNets } from '../support/random-net.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { runPass } from '../support/run-pass.js';
import { randomUnits, zeroed } from '../support/zero-units.js';

/** A graph over an input x, in the text form without its head; weights are `normal(seed=…)`. */
function graphOf(x: string, body: string): Graph {
  return parseGraph(`graph g(%x: f32[${x}]) { ${body} }`, semantics, (_, { seed }, count) => {
    const random = createRandom(seed);
    return Float32Array.from({ length: count }, random.normal);
  });
}

/** The graph after the pass, which must compute the same as before and stay as it is the second time. */
async function removed(before: Graph, sizes?: Readonly<Record<string, number>>): Promise<Graph> {
  const { graph } = await runPass(removeDeadChannels, before, {});
  expect((await runPass(removeDeadChannels, graph, {})).graph).toBe(graph);
  expect(largestDifference(await runGraph(before, { sizes }), await runGraph(graph, { sizes }))).toBeLessThan(1e-5);
  return graph;
}

/** Channels of the value c after the pass. */
async function channelsLeft(x: string, body: string): Promise<unknown> {
  return (await removed(graphOf(x, body))).type('c').shape?.[1];
}

/** Three channels of one input, the middle one without weights. */
const MAKER = '%w = const f32[3,1,1,1] {1, 0, -2}';
const READER = '%v = const f32[2,3,3,3] normal(seed=1)';

describe('constant channels', () => {
  const net = (bias: string, reader: string) =>
    `${MAKER} %b = const f32[3] {${bias}} %c = Conv(%x, %w, %b) %r = Relu(%c) ${READER} ${reader} return %y`;

  it('go where they are 0 after the activation, padded or not', async () => {
    expect(await channelsLeft('1,1,6,6', net('1, -5, 1', '%y = Conv(%r, %v) {pads=[1,1,1,1]}'))).toBe(2);
  });

  it('go into the bias of a layer that sums over all taps', async () => {
    const graph = await removed(graphOf('1,1,6,6', net('1, 5, 1', '%y = Conv(%r, %v)')));
    expect(graph.type('c').shape).toEqual([1, 2, 6, 6]);
    expect(graph.nodes.at(-1)?.inputs).toHaveLength(3);
  });

  it('stay where zero padding would be taken for them', async () => {
    expect(await channelsLeft('1,1,6,6', net('1, 5, 1', '%y = Conv(%r, %v) {pads=[1,1,1,1]}'))).toBe(3);
    expect(await channelsLeft('1,1,6,6', net('1, 5, 1', '%y = Conv(%r, %v) {auto_pad="SAME_UPPER"}'))).toBe(3);
    expect(
      await channelsLeft(
        '1,1,6,6',
        net('1, 5, 1', '%t = const f32[3,2,2,2] normal(seed=4) %y = ConvTranspose(%r, %t) {strides=[2,2]}'),
      ),
    ).toBe(3);
  });

  it('stay where an output shows them', async () => {
    expect(await channelsLeft('1,1,6,6', `${MAKER} %c = Conv(%x, %w) return %c`)).toBe(3);
  });

  it('are found behind a BatchNormalization whose scale is 0', async () => {
    const bn = (beta: string) =>
      `%w = const f32[3,1,1,1] {1, 3, -2} %c = Conv(%x, %w) %g = const f32[3] {1, 0, 2} %b = const f32[3] {${beta}} ` +
      '%m = const f32[3] {1, 2, 3} %s = const f32[3] {1, 1, 4} %n = BatchNormalization(%c, %g, %b, %m, %s) %r = Relu(%n)';
    expect(
      await channelsLeft('1,1,6,6', `${bn('1, -1, 1')} ${READER} %y = Conv(%r, %v) {pads=[1,1,1,1]} return %y`),
    ).toBe(2);
    expect(await channelsLeft('1,1,6,6', `${bn('1, 1, 1')} ${READER} %y = Conv(%r, %v) return %y`)).toBe(2);
    expect(
      await channelsLeft('1,1,6,6', `${bn('1, 1, 1')} ${READER} %y = Conv(%r, %v) {pads=[1,1,1,1]} return %y`),
    ).toBe(3);
    const early = `${bn('1, -1, 1')} ${READER} %z = Conv(%c, %v) %y = Conv(%r, %v) return %y, %z`;
    expect(await channelsLeft('1,1,6,6', early)).toBe(3);
  });

  it('are followed through pooling, resizing, concatenation and depthwise convolutions', async () => {
    const body =
      `${MAKER} %b = const f32[3] {1, 2, 1} %c = Conv(%x, %w, %b) %p = MaxPool(%c) {kernel_shape=[2,2]} ` +
      '%d = const f32[3,1,2,2] normal(seed=2) %e = Conv(%p, %d) {group=3} %k = const f32[4] {1,1,2,2} ' +
      '%u = Resize(%e, _, %k) {mode="linear"} %a = Concat(%u, %u) {axis=1} %h = Sigmoid(%a) ' +
      '%v = const f32[2,6,3,3] normal(seed=1) %y = Conv(%h, %v) return %y';
    expect(await channelsLeft('1,1,8,8', body)).toBe(2);
  });

  it('are lost at the border of a padded depthwise convolution', async () => {
    const body =
      `${MAKER} %b = const f32[3] {1, 2, 1} %c = Conv(%x, %w, %b) %d = const f32[3,1,3,3] normal(seed=2) ` +
      `%e = Conv(%c, %d) {group=3, pads=[1,1,1,1]} ${READER} %y = Conv(%e, %v) return %y`;
    expect(await channelsLeft('1,1,8,8', body)).toBe(3);
  });

  it('of a sum go where both sides are constant', async () => {
    const sum = (second: string) =>
      `${MAKER} %w2 = const f32[3,1,1,1] {${second}} %c = Conv(%x, %w) %d = Conv(%x, %w2) %a = Add(%c, %d) ${READER} ` +
      '%y = Conv(%a, %v) {pads=[1,1,1,1]} return %y';
    expect(await channelsLeft('1,1,6,6', sum('3, 0, 4'))).toBe(2);
    expect(await channelsLeft('1,1,6,6', sum('3, 1, 4'))).toBe(3);
  });

  it('that are 0 silence what gates them', async () => {
    const body =
      `${MAKER} %c = Conv(%x, %w) %w2 = const f32[3,1,1,1] {1, 2, 3} %d = Conv(%x, %w2) %s = Sigmoid(%d) ` +
      `%a = Mul(%c, %s) ${READER} %y = Conv(%a, %v) {pads=[1,1,1,1]} return %y`;
    const graph = await removed(graphOf('1,1,6,6', body));
    expect([graph.type('c').shape?.[1], graph.type('d').shape?.[1]]).toEqual([2, 2]);
  });

  it('stay in a GroupNormalization, whose statistics they take part in', async () => {
    const body =
      '%w = const f32[4,1,1,1] {1, 0, -2, 0} %c = Conv(%x, %w) %g = const f32[4] {1,1,1,1} %b = const f32[4] {0,0,0,0} ' +
      '%n = GroupNormalization(%c, %g, %b) {num_groups=2} %v = const f32[2,4,1,1] normal(seed=1) %y = Conv(%n, %v) return %y';
    expect(await channelsLeft('1,1,6,6', body)).toBe(4);
  });

  it('go from a matrix product, into the bias that others share in a copy', async () => {
    const body =
      '%w = const f32[2,3] {1, 0, 2, 3, 0, 4} %b = const f32[3] {1, 2, 3} %d = const f32[3] {4, 5, 6} %c = Gemm(%x, %w, %d) ' +
      '%v = const f32[3,3] normal(seed=1) %y = Gemm(%c, %v, %b) %z = Add(%y, %b) return %z';
    const graph = await removed(graphOf('2,2', body));
    expect(graph.type('c').shape).toEqual([2, 2]);
  });

  it('go into a new bias that loses channels itself', async () => {
    const body =
      `${MAKER} %b = const f32[3] {1, 5, 1} %c = Conv(%x, %w, %b) %v = const f32[3,3,1,1] normal(seed=1) ` +
      '%d = Conv(%c, %v) %u = const f32[1,3,1,1] {1, 0, 2} %y = Conv(%d, %u) return %y';
    const graph = await removed(graphOf('1,1,6,6', body));
    expect([graph.type('c').shape?.[1], graph.constants.get('v.bias')?.shape]).toEqual([2, [2]]);
  });

  it('that leave a layer with nothing to read are followed on', async () => {
    const body =
      `${MAKER} %c = Conv(%x, %w) %v = const f32[3,3,1,1] {1,1,1, 0,5,0, 1,1,1} %d = Conv(%c, %v) ` +
      '%u = const f32[2,3,1,1] normal(seed=1) %y = Conv(%d, %u) return %y';
    const graph = await removed(graphOf('1,1,6,6', body));
    expect(graph.type('d').shape?.[1]).toBe(2);
  });
});

describe('channels that nothing reads', () => {
  it('go', async () => {
    const body =
      '%w = const f32[3,1,3,3] normal(seed=1) %c = Conv(%x, %w) %r = Relu(%c) ' +
      '%v = const f32[2,3,1,1] {1, 0, 2, 3, 0, 4} %y = Conv(%r, %v) return %y';
    expect(await channelsLeft('1,1,6,6', body)).toBe(2);
    const twice = body.replace('return %y', '%v2 = const f32[1,3,1,1] {1, 2, 3} %z = Conv(%r, %v2) return %y, %z');
    expect(await channelsLeft('1,1,6,6', twice)).toBe(3);
  });

  it('go from grouped convolutions in whole sets', async () => {
    const grouped = (last: string) =>
      '%w = const f32[4,1,1,1] {1, 2, 3, 4} %c = Conv(%x, %w) ' +
      `%v = const f32[2,2,1,1] {1, 0, 5, ${last}} %y = Conv(%c, %v) {group=2} return %y`;
    expect(await channelsLeft('1,1,6,6', grouped('0'))).toBe(2);
    expect(await channelsLeft('1,1,6,6', grouped('1'))).toBe(4);
  });
});

it('keeps one channel of each class', async () => {
  const body =
    '%w = const f32[3,1,1,1] {0, 0, 0} %b = const f32[3] {1, 2, 3} %c = Conv(%x, %w, %b) %r = Relu(%c) ' +
    `${READER} %y = Conv(%r, %v) return %y`;
  expect(await channelsLeft('1,1,6,6', body)).toBe(1);
});

it('leaves a network without dead channels as it is', async () => {
  const graph = graphOf(
    '1,1,6,6',
    `%w = const f32[3,1,1,1] {1, 3, 2} %c = Conv(%x, %w) ${READER} %y = Conv(%c, %v) return %y`,
  );
  expect(await removed(graph)).toBe(graph);
});

describe('networks with channels made meaningless compute the same without them', () => {
  it.each(patterns)('$name', async ({ make, sizes }) => {
    const graph = make();
    for (const side of ['makers', 'readers'] as const)
      await removed(zeroed(graph, randomUnits(graph, createRandom(3)), side), sizes);
  });

  it('random ones', async () => {
    await fc.assert(
      fc.asyncProperty(randomNets, fc.constantFrom('makers', 'readers'), async (net, side) => {
        const graph = drawNet(net);
        await removed(zeroed(graph, randomUnits(graph, createRandom(net.seed)), side));
      }),
      { numRuns: 40, seed: 7 },
    );
  });
});
