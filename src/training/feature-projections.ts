import type { Graph } from '../ir/graph.js';
import type { Semantics } from '../ir/semantics.js';
import { Tensor } from '../ir/tensor.js';
import { type FeaturePlan, type Moments, principalComponents } from './feature-maps.js';
import type { TrainingMaterial } from './material.js';
import { addMoments, momentsGraph, type ProjectedFeature } from './teacher.js';

/** Images whose maps say what the principal components are (algorithms, F). */
const MOST_IMAGES = 64;

/** The plans, of adapted features with the teacher's principal components over the first images. */
export async function withProjections(
  teacher: Graph,
  features: readonly FeaturePlan[],
  { material, semantics, onImage }: { material: TrainingMaterial; semantics: Semantics; onImage(done: number): void },
): Promise<readonly ProjectedFeature[]> {
  if (!features.some(({ isAdapted }) => isAdapted)) return features;
  const { graph, names } = momentsGraph(teacher, features, semantics);
  const moments = features.map(
    ({ teacherChannels: channels }): Moments => ({
      count: 0,
      sums: new Float64Array(channels),
      products: new Float64Array(channels * channels),
    }),
  );
  const loaded = await material.engine.load(graph);
  try {
    for (let index = 0; index < Math.min(MOST_IMAGES, material.images.count); index++) {
      const { input } = await material.images.load(index);
      const outputs = await loaded.run(
        new Map([[teacher.inputs[0], Tensor.floats(input, [1, ...material.images.shape])]]),
      );
      const read = (name: string) => (outputs.get(name) as Tensor).toFloat32();
      for (const [i, { products, sums }] of names.entries()) {
        const positions = features[i].pooledSize.reduce((product, size) => product * size, 1);
        addMoments(moments[i], read(products), read(sums), positions);
      }
      onImage(index + 1);
    }
  } finally {
    await loaded.close();
  }
  return features.map((feature, i) => ({
    ...feature,
    projection: principalComponents(moments[i], feature.components),
  }));
}
