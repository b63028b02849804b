import { GraphBuilder } from '../ir/builder.js';
import type { Graph } from '../ir/graph.js';
import type { Semantics } from '../ir/semantics.js';
import { Tensor } from '../ir/tensor.js';
import { makeBatch } from './batches.js';
import type { LoadedStep, Values } from './engine.js';
import { Kernels } from './kernels.js';
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
  batch(step: number): Promise<Values>;
}

/** Weights of the paper's feature loss sum to this (Vaze, Xie and Namburete 2020, section III-C). */
const PAPER_WEIGHT = 10;

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
  const { graph, adapted } = trainingGraph(
    student,
    lesson.outputs.map(({ value }) => value),
    lesson.features,
    { shapes: new Map([[input, [batch, ...material.images.shape]]]), semantics },
  );
  const weight = featureWeightOf(given) / Math.max(1, lesson.features.length);
  const features = lesson.features.map(({ value }) => ({
    value: adapted.get(value) as string,
    distance: given.featureLoss === 'paper' ? ('absolute' as const) : ('squares' as const),
    weight: given.featureLoss === 'paper' ? PAPER_WEIGHT / lesson.features.length : weight,
  }));
  const kernels = { name: 'plain', create: (of: GraphBuilder) => new Kernels(of) };
  const builder = new GraphBuilder(semantics);
  const step = buildStep({ graph, outputs: lesson.outputs, features }, builder, kernels.create(builder));
  const loaded = await material.engine.loadStep(step.graph, step.carried);
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
    async batch(index) {
      const arrays = await makeBatch(plan, index, (image, map) => lesson.targets.read(image, map));
      return new Map(
        destinations.map(([name, shape], i) => {
          const array = arrays.get(lesson.maps[i].name) as Float32Array;
          return [name, Tensor.floats(array, [batch, ...shape])];
        }),
      );
    },
  };
}
