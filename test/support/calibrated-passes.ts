import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import type { Calibration } from '../../src/passes/pass.js';
import { type PassReport, runPasses, type Step } from '../../src/passes/run.js';
import { openEngine } from '../../src/recipe/engine.js';

export interface CalibratedRun {
  readonly images?: number;
  readonly threads?: number;
  /** What the input's symbols stand for. */
  readonly sizes?: Readonly<Record<string, number>>;
}

/** Runs passes, verified after each, with seeded normal images of one as calibration data. */
export async function runCalibrated(
  graph: Graph,
  steps: readonly Step[],
  { images = 16, threads = 1, sizes = { n: 1, h: 16, w: 16 } }: CalibratedRun = {},
): Promise<{ graph: Graph; passes: readonly PassReport[] }> {
  const engine = await openEngine({ threads });
  const [name] = graph.inputs;
  const shape = (graph.type(name).shape ?? []).map((dim) => (typeof dim === 'number' ? dim : sizes[dim]));
  const calibration: Calibration = {
    engine,
    images: Array.from({ length: images }, (_, image) => async () => new Map([[name, normalImage(shape, image)]])),
  };
  try {
    return await runPasses(graph, steps, { seed: 0, check: true, calibration });
  } finally {
    await engine.close();
  }
}

function normalImage(shape: readonly number[], image: number): Tensor {
  const random = createRandom(1000 + image);
  const size = shape.reduce((product, extent) => product * extent, 1);
  return Tensor.floats(
    Array.from({ length: size }, () => random.normal()),
    shape,
  );
}
