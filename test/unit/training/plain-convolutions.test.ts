import { expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { semantics } from '../../../src/ops/index.js';
import { Kernels } from '../../../src/training/kernels.js';
import { largestDifference, runGraph } from '../../support/run-graph.js';

const CASES = {
  'dense tiles': { x: [2, 6, 4, 3], weight: [6, 5, 2, 2], groups: 1, factors: [2, 2] },
  'depthwise tiles': { x: [2, 6, 4, 3], weight: [6, 1, 2, 3], groups: 6, factors: [2, 3] },
  'depthwise tiles, 1-D': { x: [2, 4, 5], weight: [4, 1, 3], groups: 4, factors: [3] },
  'tiles of another form': { x: [2, 6, 4, 3], weight: [6, 5, 2, 3], groups: 1, factors: [2, 3] },
};

it.each(Object.entries(CASES))('transposed convolution: %s', async (_, { x, weight, groups, factors }) => {
  const builder = new GraphBuilder(semantics);
  const k = new Kernels(builder);
  const input = (name: string, shape: readonly number[]) => k.wrap(builder.input(name, { dtype: 'f32', shape }));
  const channels = weight[1] * groups;
  const given = [input('x', x), input('weight', weight), input('bias', [channels])] as const;
  const [none, ones] = [0, 1].map((value) => factors.map(() => value));
  const how = { strides: factors, dilations: ones, padsBegin: none, padsEnd: none, groups };
  const shape = [x[0], channels, ...x.slice(2).map((size, axis) => size * factors[axis])];
  const actual = k.transposedConvolution(...given, how, shape);
  const expected = k.operator('ConvTranspose', given, { strides: factors, group: groups });
  expect(actual.shape).toEqual(expected.shape);
  const outputs = await runGraph(builder.build([expected, actual].map((value) => k.nameOf(value))));
  expect(largestDifference([outputs[0]], [outputs[1]])).toBeLessThan(1e-5);
});

it('an affine map by channel is exact to rounding', async () => {
  const builder = new GraphBuilder(semantics);
  const k = new Kernels(builder);
  const input = (name: string, shape: readonly number[]) => k.wrap(builder.input(name, { dtype: 'f32', shape }));
  const [x, scale, shift] = [input('x', [2, 3, 5]), input('scale', [3]), input('shift', [3])];
  const actual = k.channelAffine(x, scale, shift);
  const expected = k.add(k.multiply(x, k.perChannel(scale, x)), k.perChannel(shift, x));
  const outputs = await runGraph(builder.build([expected, actual].map((value) => k.nameOf(value))));
  expect(largestDifference([outputs[0]], [outputs[1]])).toBeLessThan(1e-6);
});
