import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Unfolding } from '../../src/analysis/unfolding.js';
import type { SeparableOptions } from '../../src/passes/separable.js';
import { type ConvolutionSpec, convolutionGraph, difference, runSeparable } from '../support/convolution-graph.js';
import { kernelOfRank } from '../support/low-rank-kernels.js';

/** A convolution whose kernel has the given rank in the given unfolding, and options that must find it. */
interface Example extends ConvolutionSpec {
  readonly by: Unfolding;
  readonly options: SeparableOptions;
}

const example: fc.Arbitrary<Example> = fc
  .record({
    op: fc.constantFrom('Conv' as const, 'ConvTranspose' as const),
    by: fc.constantFrom<Unfolding[]>('inner', 'outer', 'spatial', 'channel'),
    groups: fc.integer({ min: 1, max: 2 }),
    inputs: fc.integer({ min: 4, max: 5 }),
    outputs: fc.integer({ min: 3, max: 7 }),
    axes: fc.array(
      fc.record({
        kernel: fc.integer({ min: 2, max: 3 }),
        stride: fc.integer({ min: 1, max: 2 }),
        dilation: fc.integer({ min: 1, max: 2 }),
        begin: fc.integer({ min: 0, max: 2 }),
        end: fc.integer({ min: 0, max: 2 }),
        size: fc.integer({ min: 5, max: 7 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
    padding: fc.constantFrom('NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'),
    rank: fc.integer({ min: 1, max: 2 }),
    bias: fc.boolean(),
    seed: fc.integer({ min: 0, max: 1000 }),
  })
  .filter(({ by, axes }) => by !== 'spatial' || axes.length > 1)
  .map(({ op, by, groups, inputs, outputs, axes, padding, rank, bias, seed }) => {
    const channels = op === 'Conv' ? [outputs * groups, inputs] : [inputs * groups, outputs];
    const weight = kernelOfRank([...channels, ...axes.map(({ kernel }) => kernel)], groups, by, rank, seed);
    // ONNX Runtime refuses dilation together with SAME padding.
    const dilated = !padding.startsWith('SAME');
    const attributes = {
      group: groups,
      strides: axes.map(({ stride }) => stride),
      dilations: axes.map(({ dilation }) => (dilated ? dilation : 1)),
      ...(padding === 'NOTSET'
        ? { pads: [...axes.map(({ begin }) => begin), ...axes.map(({ end }) => end)] }
        : { auto_pad: padding }),
    };
    const options: SeparableOptions =
      by === 'channel' ? { mode: 'auto', maxError: 1e-6 } : { mode: by === 'spatial' ? 'spatial' : 'depthwise', rank };
    return { op, by, weight, size: axes.map(({ size }) => size), attributes, bias, options };
  });

test('kernels of low rank keep their function in every geometry', async () => {
  let factorized = 0;
  await fc.assert(
    fc.asyncProperty(example, async (spec) => {
      const graph = convolutionGraph(spec);
      const after = runSeparable(graph, spec.options);
      if (after.changes[0].action === 'factorized') factorized++;
      expect(await difference(graph, after.graph)).toBeLessThan(1e-5);
    }),
    { seed: 8, numRuns: 120 },
  );
  // Few of these kernels are so small that a factorization saves nothing.
  expect(factorized).toBeGreaterThan(80);
});
