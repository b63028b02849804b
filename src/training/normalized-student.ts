import type { Graph } from '../ir/graph.js';
import type { Semantics } from '../ir/semantics.js';
import { Tensor } from '../ir/tensor.js';
import type { TrainingMaterial } from './material.js';
import { restoreNormalization, statisticsGraph, withStatistics } from './normalization.js';

/** Images over which the statistics of restored normalizations are taken. */
const MOST_IMAGES = 64;

/**
 * The student in training form: normalizations that were folded are back, with the statistics of training images, and
 * compute what the student computed without them.
 */
export async function normalizedStudent(
  student: Graph,
  material: TrainingMaterial,
  semantics: Semantics,
): Promise<Graph> {
  const { graph, sites } = restoreNormalization(student, semantics);
  if (sites.length === 0) return graph;
  const probe = statisticsGraph(graph, sites, semantics);
  const measured = sites.map(({ channels }) => ({
    mean: new Float64Array(channels),
    meanOfSquares: new Float64Array(channels),
  }));
  const images = Math.min(MOST_IMAGES, material.images.count);
  const loaded = await material.engine.load(probe);
  try {
    for (let index = 0; index < images; index++) {
      const { input } = await material.images.load(index);
      const outputs = await loaded.run(
        new Map([[graph.inputs[0], Tensor.floats(input, [1, ...material.images.shape])]]),
      );
      const add = (sums: Float64Array, name: string) => {
        for (const [c, value] of (outputs.get(name) as Tensor).toFloat32().entries()) sums[c] += value / images;
      };
      for (const [i, { mean, meanOfSquares }] of measured.entries()) {
        add(mean, probe.outputs[2 * i]);
        add(meanOfSquares, probe.outputs[2 * i + 1]);
      }
    }
  } finally {
    await loaded.close();
  }
  return withStatistics(graph, sites, measured);
}
