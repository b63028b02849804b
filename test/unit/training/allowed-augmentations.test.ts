import { describe, expect, it } from 'vitest';
import type { Graph } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { createRandom } from '../../../src/math/random.js';
import { allowedAugmentations } from '../../../src/training/allowed-augmentations.js';
import type { OutputReading } from '../../../src/training/losses.js';
import type { TrainingImage } from '../../../src/training/material.js';
import { inProcessEngine } from '../../support/in-process-engine.js';
import { Net } from '../../support/patterns-net.js';
import { boxImage, memoryMaterial } from '../../support/training-material.js';

const SHAPE = [1, 24, 24];

/** A sigmoid over one convolution with this 3x3 kernel, sharp enough to make a mask. */
function network(kernel: readonly number[], bias: number): Graph {
  const net = new Net('net');
  const weight = net.constant(
    'w',
    Tensor.floats(
      kernel.map((value) => 20 * value),
      [1, 1, 3, 3],
    ),
  );
  const scores = net.op('Conv', [net.input(['n', ...SHAPE]), weight, net.constant('b', Tensor.floats([20 * bias]))], {
    pads: [1, 1, 1, 1],
  });
  return net.build(net.op('Sigmoid', [scores], {}, 'y'));
}

/** Noise-free boxes, so that differences come from the network alone. */
function clean(index: number): TrainingImage {
  const { mask } = boxImage(SHAPE, 2, index);
  return { input: Float32Array.from(mask as Uint8Array), mask };
}

async function allowed(
  graph: Graph,
  {
    shape = SHAPE,
    channels = 1,
    reading = 'binary' as OutputReading,
    image = clean as (index: number) => TrainingImage,
  } = {},
) {
  const material = memoryMaterial({ shape, output: 'y', image });
  const teacher = await inProcessEngine.load(graph);
  try {
    return await allowedAugmentations(material, teacher, {
      input: 'x',
      target: 'y',
      channels,
      size: shape.slice(1),
      reading,
    });
  } finally {
    await teacher.close();
  }
}

const BLUR = Array<number>(9).fill(1 / 9);
/** Answers at the left edges of boxes only. */
const LEFT_EDGE = [-1, 1, 0, -1, 1, 0, -1, 1, 0].map((value) => value / 3);
const UPPER_EDGE = [-1, -1, -1, 1, 1, 1, 0, 0, 0].map((value) => value / 3);

describe('what the original answers alike may be varied', () => {
  it('everything, for a network without a direction', async () => {
    const ranges = await allowed(network(BLUR, -0.5));
    expect(ranges).toMatchObject({ flips: [true, true], rotation: 35, scale: 0.2 });
  });

  it('no mirroring and no turning across the direction of a network that has one', async () => {
    expect((await allowed(network(LEFT_EDGE, -0.5))).flips).toEqual([true, false]);
    // Only where an edge is exactly level.
    const upper = await allowed(network(UPPER_EDGE, -0.95));
    expect([upper.flips, upper.rotation]).toEqual([[false, true], 0]);
    expect(upper.gamma).toBeGreaterThan(0);
  });

  it('also where a background fills most of the images', async () => {
    const net = new Net('classes');
    // Answers one pixel beside the boxes: mirrored, two of their twelve columns are wrong, but little of the image.
    const beside = [0, 0, 0, 20, 0, 0, 0, 0, 0];
    const kernel = [...beside.map((value) => -value), ...beside];
    const weight = net.constant('w', Tensor.floats(kernel, [2, 1, 3, 3]));
    const bias = net.constant('b', Tensor.floats([10, -10]));
    const scores = net.op('Conv', [net.input(['n', ...SHAPE]), weight, bias], { pads: [1, 1, 1, 1] });
    const graph = net.build(net.op('Softmax', [scores], { axis: 1 }, 'y'));
    const { flips } = await allowed(graph, { channels: 2, reading: 'classes' });
    expect(flips).toEqual([true, false]);
  });

  it('each axis by itself in three dimensions; in one there is no turning', async () => {
    const volume = new Net('volume');
    const kernel = [-20, 20, 0].flatMap((value) => Array<number>(9).fill(value / 9));
    const along = volume.constant('w', Tensor.floats(kernel, [1, 1, 3, 3, 3]));
    const shape = [1, 8, 8, 8];
    const bias = volume.constant('b', Tensor.floats([-10]));
    const scores = volume.op('Conv', [volume.input(['n', ...shape]), along, bias], { pads: Array(6).fill(1) });
    const image = (index: number) => {
      const { mask } = boxImage(shape, 2, index);
      return { input: Float32Array.from(mask as Uint8Array), mask };
    };
    const ranges = await allowed(volume.build(volume.op('Sigmoid', [scores], {}, 'y')), { shape, image });
    expect(ranges.flips).toEqual([false, true, true]);

    const random = createRandom(1);
    const line = new Net('line');
    const signal = line.op('Mul', [line.input(['n', 1, 64]), line.constant('c', Tensor.floats([1], []))]);
    const noise = () => ({ input: Float32Array.from({ length: 64 }, () => random.normal()), mask: null });
    const one = await allowed(line.build(line.op('Sigmoid', [signal], {}, 'y')), { shape: [1, 64], image: noise });
    expect([one.flips, one.rotation]).toEqual([[true], 0]);
  });

  it('everything, where the original never finds anything', async () => {
    expect((await allowed(network(BLUR, -1000))).flips).toEqual([true, true]);
  });
});
