import { beforeAll, describe, expect, it } from 'vitest';
import { graphOfCases, type LoweringCase } from '../support/lowering-case.js';
import { LOWERING_CASES } from '../support/lowering-cases.js';
import { runInFormat } from '../support/run-formats.js';
import { type Output, runGraph } from '../support/run-graph.js';

/** Cases of one model: few enough that a runtime's own faults in one do not hide the others. */
const PER_MODEL = 100;

function batches(cases: readonly LoweringCase[]): (readonly LoweringCase[])[] {
  return Array.from({ length: Math.ceil(cases.length / PER_MODEL) }, (_, i) =>
    cases.slice(i * PER_MODEL, (i + 1) * PER_MODEL),
  );
}

const suites = LOWERING_CASES.flatMap(([family, cases]) =>
  batches(cases).flatMap((batch, i) =>
    (['tflite', 'tfjs'] as const).flatMap((format) =>
      (['nhwc', 'nchw'] as const).map((layout) => ({ title: `${family} ${i}`, batch, format, layout })),
    ),
  ),
);

describe.each(suites)('$title in $format, $layout: gives what ONNX Runtime gives', ({ batch, format, layout }) => {
  const { graph, reference, places } = graphOfCases(batch);
  let expected: readonly Output[];
  let actual: readonly Output[];
  beforeAll(async () => {
    expected = await runGraph(reference);
    actual = (await runInFormat(graph, format, { layout })).outputs;
  }, 60_000);

  it.each(batch.map(({ name }, i) => [name, i] as const))('%s', (_name, i) => {
    for (const place of places[i]) {
      const { dims, values } = expected[place];
      expect(actual[place].dims).toEqual(dims);
      const range = Math.max(...values.map(Math.abs));
      const worst = Math.max(...values.map((value, k) => Math.abs(value - actual[place].values[k])));
      expect(worst).toBeLessThanOrEqual(2e-6 * range + 1e-6);
    }
  });
});
