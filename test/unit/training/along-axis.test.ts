import fc from 'fast-check';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { encodeOnnxGraph } from '../../../src/exporters/onnx/index.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { semantics } from '../../../src/ops/index.js';
import { NOWHERE, unpick } from '../../../src/training/gradients/along-axis.js';
import { Kernels } from '../../../src/training/kernels.js';

/** Runs of coordinates that rise, fall, stay or are left out, in any order. */
const pickedFrom = (size: number) =>
  fc
    .array(
      fc.record({
        from: fc.integer({ min: NOWHERE, max: size - 1 }),
        step: fc.constantFrom(-1, 0, 1, 2),
        count: fc.integer({ min: 1, max: 5 }),
      }),
      { minLength: 1, maxLength: 14 },
    )
    .map((runs) =>
      runs.flatMap(({ from, step, count }) =>
        Array.from({ length: count }, (_, i) => (from === NOWHERE ? NOWHERE : from + i * step)).filter(
          (at) => at >= NOWHERE && at < size,
        ),
      ),
    )
    .filter((picked) => picked.length > 0);

const cases = fc
  .record({
    size: fc.integer({ min: 1, max: 7 }),
    before: fc.integer({ min: 1, max: 2 }),
    after: fc.integer({ min: 1, max: 3 }),
  })
  .chain((shape) => pickedFrom(shape.size).map((picked) => ({ ...shape, picked })));

describe('unpick', () => {
  it('sums what has read each coordinate', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ size, before, after, picked }) => {
        const shape = [before, picked.length, after];
        // Whole numbers, so that sums are exact in any order.
        const dy = Float32Array.from({ length: before * picked.length * after }, (_, i) => i + 1);
        const expected = new Float32Array(before * size * after);
        for (let a = 0; a < before; a++)
          for (const [j, from] of picked.entries())
            for (let b = 0; b < after; b++)
              if (from !== NOWHERE) expected[(a * size + from) * after + b] += dy[(a * picked.length + j) * after + b];
        expect(await computed(shape, dy, picked, size)).toEqual(expected);
      }),
      { numRuns: 150, seed: 11 },
    );
  });
});

async function computed(shape: readonly number[], dy: Float32Array, picked: readonly number[], size: number) {
  const builder = new GraphBuilder(semantics);
  const kernels = new Kernels(builder);
  const input = kernels.wrap(builder.input('dy', { dtype: 'f32', shape }));
  const output = kernels.nameOf(unpick(kernels, input, 1, picked, size));
  const session = await ort.InferenceSession.create(encodeOnnxGraph(builder.build([output])), { logSeverityLevel: 4 });
  const results = await session.run({ dy: new ort.Tensor('float32', dy, shape) });
  await session.release();
  return Float32Array.from(results[output].data as Float32Array);
}
