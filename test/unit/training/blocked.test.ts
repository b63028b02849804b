import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { semantics } from '../../../src/ops/index.js';
import { BlockedKernels } from '../../../src/training/blocked/kernels.js';
import type { Convolution, Kernels, Value } from '../../../src/training/kernels.js';
import { compareKernels, probedBlock } from '../../support/compare-kernels.js';

const block = await probedBlock();
const B = block ?? 16;
const ROUNDING = 2e-5;
const POINT: Convolution = { strides: [1, 1], dilations: [1, 1], padsBegin: [0, 0], padsEnd: [0, 0], groups: 1 };
const SAME: Convolution = { ...POINT, padsBegin: [1, 1], padsEnd: [1, 1] };

type Given = Readonly<Record<string, Value>>;

/** A value that lies in blocks, because a convolution has made it. */
function onBlocks(k: Kernels, x: Value): Value {
  const channels = x.shape[1];
  const identity = Float32Array.from({ length: channels ** 2 }, (_, i) => (i % (channels + 1) === 0 ? 1 : 0));
  return k.convolution(x, k.floats(identity, [channels, channels, 1, 1]), undefined, POINT);
}

const LAYOUTS: Record<string, { readonly batch: number; readonly channels: number }> = {
  'whole blocks': { batch: 2, channels: 2 * B },
  'two images a block': { batch: 4, channels: B / 2 },
  'four images a block': { batch: 4, channels: B / 4 },
  'odd width': { batch: 2, channels: B + 3 },
  'batch not divisible': { batch: 3, channels: B / 2 },
  'too narrow for blocks': { batch: 3, channels: 1 },
};

describe.skipIf(block === undefined).each(Object.entries(LAYOUTS))('%s', (_, { batch, channels }) => {
  const image = [batch, channels, 6, 4];
  const check = async (shapes: Readonly<Record<string, number[]>>, write: (k: Kernels, given: Given) => Value[]) => {
    const comparison = await compareKernels(B, shapes, write);
    expect(Math.max(...comparison.differences), `${comparison.differences}`).toBeLessThan(ROUNDING);
    return comparison.onBlocks;
  };

  it('element by element', async () => {
    await check({ a: image, b: image }, (k, { a, b }) => {
      const x = onBlocks(k, a);
      return [
        k.add(x, b),
        k.subtract(b, x),
        k.multiply(x, x),
        k.divide(x, k.offset(k.operator('Abs', [x]), 1)),
        k.scale(x, 3),
        k.operator('Tanh', [x]),
        k.operator('Clip', [x, k.number(-0.5), k.number(0.5)]),
        k.step(x),
        k.operator('Exp', [x]),
        k.total(k.multiply(x, x)),
        k.sum(x, [1]),
      ];
    });
  });

  it('by channel', async () => {
    const vector = [channels];
    await check({ a: image, b: image, scale: vector, shift: vector }, (k, { a, b, scale, shift }) => {
      const x = onBlocks(k, a);
      return [
        k.channelAffine(x, scale, shift),
        k.channelAffine(x, scale, undefined, { sum: b, activation: 'relu' }),
        k.channelAffine(b, scale, shift, { sum: x, activation: 'step' }),
        k.channelSums(x),
        k.channelDots(x, b),
      ];
    });
  });

  it('channels that are left to the readers to scale', async () => {
    const vector = [channels];
    const weight = [B, channels, 3, 3];
    const back = [channels, B, 2, 2];
    const large = [batch, B, 12, 8];
    const small = [batch, B, 6, 4];
    const shapes = { a: image, by: vector, weight, back, forth: [channels, 1, 3, 3], large, small };
    await check(shapes, (k, { a, by, weight, back, forth, large, small }) => {
      const scaled = () => k.scaleChannels(onBlocks(k, a), by);
      const depthwise = { ...SAME, groups: channels };
      const tiles = { ...POINT, strides: [2, 2] };
      return [
        scaled(),
        k.convolution(scaled(), weight, undefined, SAME),
        k.convolution(scaled(), forth, undefined, depthwise),
        k.convolutionInputGradient(scaled(), back, large, tiles),
        k.convolutionInputGradient(scaled(), forth, a, depthwise),
        k.convolutionWeightGradient(large, scaled(), back.shape, tiles),
        k.convolutionWeightGradient(small, scaled(), [channels, B, 3, 3], SAME),
        k.convolutionWeightGradient(a, scaled(), forth.shape, depthwise),
        k.convolutionWeightGradient(scaled(), small, weight.shape, SAME),
        k.channelSums(scaled()),
        k.add(scaled(), a),
      ];
    });
  });

  it('resampling', async () => {
    const pooled = [batch, channels, 3, 2];
    await check({ a: image, dy: pooled }, (k, { a, dy }) => {
      const x = onBlocks(k, a);
      const window = { ...POINT, kernel: [2, 2], strides: [2, 2], autoPad: 'NOTSET' as const };
      const y = k.maxPool(x, window);
      const overlapping = { ...window, kernel: [3, 3], padsBegin: [1, 1], padsEnd: [1, 1] };
      return [
        y,
        k.operator('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 0 }),
        k.maxPool(x, overlapping),
        k.maxPool(x, { ...overlapping, dilations: [2, 2] }),
        k.operator('AveragePool', [x], { kernel_shape: [2, 2], strides: [2, 2] }),
        k.operator('AveragePool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [2, 2] }),
        k.repeat(x, [2, 3]),
        k.tiledMaxPoolGradient(x, y, dy, [2, 2]),
      ];
    });
  });

  it('parts that are joined and never put together', async () => {
    const both = channels + B;
    const other = [batch, B, 6, 4];
    const joined = [batch, both, 6, 4];
    const shapes = {
      ...{ a: image, b: other, sum: joined, dy: [batch, B, 6, 4], dj: joined },
      ...{ dense: [B, both, 3, 3], depthwise: [both, 1, 3, 3], scale: [both], shift: [both] },
    };
    await check(shapes, (k, { a, b, sum, dy, dj, dense, depthwise, scale, shift }) => {
      const x = k.concat([onBlocks(k, a), onBlocks(k, b)], 1);
      const each = { ...SAME, groups: both };
      const dx = k.convolutionInputGradient(dy, dense, x, SAME);
      return [
        x,
        k.convolution(x, dense, k.slice(shift, [0], [0], [B]), SAME),
        k.convolution(x, depthwise, shift, each, sum),
        k.convolutionInputGradient(dy, dense, x, SAME, sum),
        k.convolutionInputGradient(dx, depthwise, x, each),
        k.convolutionWeightGradient(x, dy, dense.shape, SAME),
        k.convolutionWeightGradient(x, dx, depthwise.shape, each),
        k.channelAffine(x, scale, shift, { sum, activation: 'relu' }),
        k.channelSums(x),
        k.channelDots(x, dj),
        k.add(x, dj),
        k.operator('Relu', [x]),
        ...k.split(x, [channels, B], 1),
        ...k.split(x, [1, both - 1], 1),
        k.concat([x, dj], 1),
        k.transpose(x, [0, 2, 3, 1]),
        ...k.split(onBlocks(k, dj), [B, channels], 1),
      ];
    });
  });
});

describe.skipIf(block === undefined)('blocked kernels', () => {
  it('keep a separable block in blocks from its first convolution to its last', async () => {
    const shapes = { x: [4, 1, 8, 8], stem: [B / 2, 1, 3, 3], depthwise: [B / 2, 1, 3, 3], point: [B, B / 2, 1, 1] };
    const builder = new GraphBuilder(semantics);
    const k = new BlockedKernels(builder, B);
    const [x, stem, depthwise, point] = Object.entries(shapes).map(([name, shape]) =>
      k.wrap(builder.input(name, { dtype: 'f32', shape })),
    );
    let y = k.operator('Relu', [k.convolution(x, stem, undefined, SAME)]);
    y = k.convolution(y, depthwise, undefined, { ...SAME, groups: B / 2 });
    y = k.maxPool(y, { ...POINT, kernel: [2, 2], strides: [2, 2], autoPad: 'NOTSET' });
    y = k.convolution(y, point, undefined, POINT);
    const graph = builder.build([k.nameOf(y)]);
    const reorders = graph.nodes.flatMap(({ foreign }) => (foreign?.op.startsWith('Reorder') ? [foreign.op] : []));
    expect(reorders).toEqual(['ReorderOutput']);
  });
});
