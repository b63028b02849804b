import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Convolution, Kernels, Value } from '../../../src/training/kernels.js';
import { compareKernels, probedBlock } from '../../support/compare-kernels.js';

const block = await probedBlock();
const B = block ?? 16;
const ROUNDING = 2e-5;

interface Case {
  readonly batch: number;
  readonly from: number;
  readonly to: number;
  readonly kernel: readonly [number, number];
  readonly size?: readonly [number, number];
  readonly how?: Partial<Omit<Convolution, 'groups'>>;
  readonly isDepthwise?: boolean;
  readonly hasBias?: boolean;
  readonly hasSum?: boolean;
}

const SAME = { padsBegin: [1, 1], padsEnd: [1, 1] };
const CASES: Record<string, Case> = {
  '3x3, whole blocks': { batch: 1, from: B, to: 2 * B, kernel: [3, 3], how: SAME, hasBias: true, hasSum: true },
  '3x3, two images a block': {
    batch: 4,
    from: B / 2,
    to: B / 2,
    kernel: [3, 3],
    how: SAME,
    hasBias: true,
    hasSum: true,
  },
  '3x3, four images a block to one': { batch: 4, from: B / 4, to: B, kernel: [3, 3], how: SAME, hasBias: true },
  '3x3, one image a block to two': { batch: 6, from: B, to: B / 2, kernel: [3, 3], how: SAME, hasSum: true },
  '3x3, batch not divisible': {
    batch: 3,
    from: B / 2,
    to: B / 2,
    kernel: [3, 3],
    how: SAME,
    hasBias: true,
    hasSum: true,
  },
  '3x3, odd widths': { batch: 2, from: B + 3, to: B - 3, kernel: [3, 3], how: SAME, hasBias: true, hasSum: true },
  '3x3, many channels': { batch: 1, from: 5 * B, to: B, kernel: [3, 3], how: SAME },
  'uneven kernel and pads': {
    batch: 2,
    from: 5 * B,
    to: B,
    kernel: [2, 3],
    how: { padsBegin: [0, 2], padsEnd: [1, 0] },
  },
  dilated: { batch: 2, from: B, to: B, kernel: [3, 3], how: { dilations: [2, 1], padsBegin: [2, 1], padsEnd: [2, 1] } },
  strided: { batch: 2, from: B, to: B, kernel: [3, 3], size: [8, 7], how: { strides: [2, 2], ...SAME } },
  '1x1': { batch: 2, from: B, to: 2 * B, kernel: [1, 1], hasBias: true, hasSum: true },
  '1x1, fewer channels': { batch: 2, from: 2 * B, to: B, kernel: [1, 1] },
  '1x1, as many channels': { batch: 2, from: B, to: B, kernel: [1, 1] },
  '1x1, two images a block': { batch: 4, from: B / 2, to: B / 2, kernel: [1, 1] },
  '1x1, pixels in whole blocks': { batch: 4, from: B, to: 2 * B, kernel: [1, 1], size: [4, 8] },
  '1x1, pixels in whole blocks, fewer channels': { batch: 4, from: B, to: B / 2, kernel: [1, 1], size: [4, 8] },
  'image to features': { batch: 2, from: 1, to: B / 2, kernel: [3, 3], how: SAME, hasBias: true },
  'image to features, 1x1': { batch: 2, from: 3, to: B, kernel: [1, 1] },
  'features to scores': { batch: 2, from: B / 2, to: 1, kernel: [1, 1], hasBias: true, hasSum: true },
  'wide features to scores': { batch: 2, from: 3 * B, to: 2, kernel: [1, 1], hasBias: true },
  'features to scores, 3x3': { batch: 4, from: B / 2, to: 2, kernel: [3, 3], how: SAME, hasBias: true, hasSum: true },
  depthwise: { batch: 2, from: B, to: B, kernel: [3, 3], isDepthwise: true, how: SAME, hasBias: true, hasSum: true },
  'depthwise, two images a block': { batch: 4, from: B / 2, to: B / 2, kernel: [3, 3], isDepthwise: true, how: SAME },
  'depthwise, odd width': {
    batch: 3,
    from: B - 3,
    to: B - 3,
    kernel: [5, 3],
    isDepthwise: true,
    how: { padsBegin: [2, 1], padsEnd: [2, 1] },
  },
  'depthwise, strided': {
    isDepthwise: true,
    batch: 2,
    from: B,
    to: B,
    kernel: [3, 3],
    size: [8, 7],
    how: { strides: [2, 2], ...SAME },
  },
  'depthwise, dilated': {
    isDepthwise: true,
    batch: 2,
    from: B,
    to: B,
    kernel: [3, 3],
    how: { dilations: [2, 2], padsBegin: [2, 2], padsEnd: [2, 2] },
  },
  'tiles 2x2': {
    batch: 2,
    from: B,
    to: 2 * B,
    kernel: [2, 2],
    size: [6, 4],
    how: { strides: [2, 2] },
    hasBias: true,
    hasSum: true,
  },
  'tiles, folded': { batch: 4, from: B / 4, to: B / 2, kernel: [2, 3], size: [6, 6], how: { strides: [2, 3] } },
  'tiles, odd width': { batch: 1, from: B - 3, to: B + 3, kernel: [2, 2], size: [4, 4], how: { strides: [2, 2] } },
  'tiles, depthwise': {
    isDepthwise: true,
    batch: 4,
    from: B / 2,
    to: B / 2,
    kernel: [2, 2],
    size: [6, 4],
    how: { strides: [2, 2] },
  },
};

describe.skipIf(block === undefined)('convolutions on blocks are those of the plain kernels', () => {
  it.each(Object.entries(CASES))('%s', async (_, testCase) => {
    const { differences, onBlocks } = await compareConvolutions(testCase);
    expect(Math.max(...differences), `${differences}`).toBeLessThan(ROUNDING);
    expect(onBlocks.get('Conv') ?? 0).toBeGreaterThan(0);
  });

  it('any shape', async () => {
    const axis = fc.record({
      kernel: fc.integer({ min: 1, max: 3 }),
      stride: fc.integer({ min: 1, max: 2 }),
      dilation: fc.integer({ min: 1, max: 2 }),
      begin: fc.integer({ min: 0, max: 2 }),
      end: fc.integer({ min: 0, max: 2 }),
      size: fc.integer({ min: 5, max: 8 }),
    });
    const width = fc.oneof(fc.integer({ min: 1, max: 2 * B + 1 }), fc.constantFrom(B / 4, B / 2, B, 2 * B));
    const channels = fc.oneof(
      fc.record({ from: width, to: width, isDepthwise: fc.constant(false) }),
      width.map((both) => ({ from: both, to: both, isDepthwise: true })),
    );
    const cases = fc.tuple(fc.integer({ min: 1, max: 4 }), channels, axis, axis, fc.boolean(), fc.boolean());
    await fc.assert(
      fc.asyncProperty(cases, async ([batch, { from, to, isDepthwise }, y, x, hasBias, hasSum]) => {
        const { differences } = await compareConvolutions({
          ...{ batch, from, to, hasBias, hasSum, isDepthwise },
          kernel: [y.kernel, x.kernel],
          size: [y.size, x.size],
          how: {
            strides: [y.stride, x.stride],
            dilations: [y.dilation, x.dilation],
            padsBegin: [y.begin, x.begin],
            padsEnd: [y.end, x.end],
          },
        });
        expect(Math.max(...differences), `${differences}`).toBeLessThan(ROUNDING);
      }),
      { numRuns: 60, seed: 5 },
    );
  });
});

/** Forward pass, both gradients, and the transposed convolution. */
function compareConvolutions({ batch, from, to, kernel, size = [7, 6], how = {}, ...flags }: Case) {
  const { hasBias, hasSum, isDepthwise } = flags;
  const groups = isDepthwise ? from : 1;
  const full: Convolution = {
    ...{ strides: [1, 1], dilations: [1, 1], padsBegin: [0, 0], padsEnd: [0, 0] },
    ...how,
    groups,
  };
  const space = size.map((extent, axis) => {
    const reach = (kernel[axis] - 1) * full.dilations[axis] + 1;
    return Math.floor((extent + full.padsBegin[axis] + full.padsEnd[axis] - reach) / full.strides[axis]) + 1;
  });
  const shapes = {
    x: [batch, from, ...size],
    w: [to, from / groups, ...kernel],
    dy: [batch, to, ...space],
    bias: [to],
    forwardSum: [batch, to, ...space],
    backBias: [from],
    backSum: [batch, from, ...size],
  };
  return compareKernels(B, shapes, (k: Kernels, given: Readonly<Record<string, Value>>) => {
    const { x, w, dy, bias, forwardSum, backBias, backSum } = given;
    return [
      k.convolution(x, w, hasBias ? bias : undefined, full, hasSum ? forwardSum : undefined),
      k.convolutionInputGradient(dy, w, x, full, hasSum ? backSum : undefined),
      k.convolutionWeightGradient(x, dy, w.shape, full),
      k.transposedConvolution(dy, w, hasBias ? backBias : undefined, full, x.shape),
    ];
  });
}
