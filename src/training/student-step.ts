import { GraphBuilder } from '../ir/builder.js';
import type { Graph } from '../ir/graph.js';
import type { Semantics } from '../ir/semantics.js';
import { elementCount, Tensor } from '../ir/tensor.js';
import { makeBatch, type ReadMap } from './batches.js';
import { chooseKernels } from './blocked/choose.js';
import type { LoadedStep, Values } from './engine.js';
import type { Lesson } from './lesson.js';
import type { TrainingMaterial } from './material.js';
import { pack } from './parameters.js';
import { batchOf, type DistillationSettings, featureWeightOf } from './settings.js';
import { buildStep, type Step, targetName } from './step.js';
import { trainingGraph } from './training-graph.js';

/** The training step of a student, loaded and at its start. */
export interface StudentStep {
  readonly step: Step;
  readonly loaded: LoadedStep;
  /** In which operators the step is written. */
  readonly kernels: string;
  /** Vectors that the state starts from, by name. */
  readonly start: Readonly<Record<string, Float32Array>>;
  /** @param augmented share of the images that are augmented */
  batch(step: number, augmented: number): Promise<Values>;
}

export async function openStudentStep(
  student: Graph,
  lesson: Lesson,
  {
    material,
    given,
    semantics,
    seed,
  }: { material: TrainingMaterial; given: DistillationSettings; semantics: Semantics; seed: number },
): Promise<StudentStep> {
  const batch = batchOf(given);
  const [input] = student.inputs;
  const { graph, compared } = trainingGraph(
    student,
    lesson.outputs.map(({ value }) => value),
    lesson.features,
    { shapes: new Map([[input, [batch, ...material.images.shape]]]), semantics },
  );
  const weights = featureWeights(lesson.features, given);
  const features = lesson.features.map(({ value, isAdapted }, i) => ({
    value: compared.get(value) as string,
    distance: isAdapted ? ('squares' as const) : ('absolute' as const),
    weight: weights[i],
  }));
  const kernels = await chooseKernels(material.engine);
  const builder = new GraphBuilder(semantics);
  const step = buildStep({ graph, outputs: lesson.outputs, features }, builder, kernels.create(builder));
  const loaded = await material.engine.loadStep(step.graph, step.carried, { optimization: kernels.optimization });
  const { parameters, statistics } = pack(graph, step.layout);
  const zeros = () => new Float32Array(step.layout.size);
  const plan = { maps: lesson.maps, images: material.images.count, batch, seed, ranges: lesson.ranges };
  const destinations = [
    [input, material.images.shape] as const,
    ...lesson.outputs.map(({ value, target }) => [targetName(value), [target.channels, ...target.size]] as const),
    ...lesson.features.map(
      ({ target }, i) => [targetName(features[i].value), [target.channels, ...target.size]] as const,
    ),
  ];
  return {
    step,
    loaded,
    kernels: kernels.name,
    start: { parameters, momentum: zeros(), squares: zeros(), average: parameters.slice(), statistics },
    async batch(index, augmented) {
      const read: ReadMap = (image, map) => lesson.targets.read(image, map);
      const arrays = await makeBatch(plan, index, { augmented, read });
      return new Map(
        destinations.map(([name, shape], i) => {
          const array = arrays.get(lesson.maps[i].name) as Float32Array;
          return [name, Tensor.floats(array, [batch, ...shape])];
        }),
      );
    },
  };
}

/** Of maps that are compared as they are in proportion to 1 / (H·W), as in the paper; of adapted ones all the same. */
function featureWeights(features: Lesson['features'], given: DistillationSettings): number[] {
  const shares = features.map(({ isAdapted, size }) => (isAdapted ? 1 : 1 / elementCount(size)));
  const sum = shares.reduce((total, share) => total + share, 0);
  return shares.map((share) => (featureWeightOf(given) * share) / sum);
}
