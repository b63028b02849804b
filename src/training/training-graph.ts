import { bindShapes } from '../analysis/cost.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph } from '../ir/graph.js';
import { copyNode } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import { type FeaturePlan, mixChannels, pooled } from './feature-maps.js';

export interface TrainingGraph {
  readonly graph: Graph;
  /** What is compared, the adapter's result or the student's own map, by the name of the feature's value in the teacher. */
  readonly compared: ReadonlyMap<string, string>;
}

/**
 * The student with its scores and its feature maps, adapted ones through trainable 1x1 adapters, as outputs, for batches
 * of one size. Adapters start at zero: the first steps teach them, not the student, which is good already.
 */
export function trainingGraph(
  student: Graph,
  scores: readonly string[],
  features: readonly FeaturePlan[],
  { shapes, semantics }: { shapes: ReadonlyMap<string, readonly number[]>; semantics: Semantics },
): TrainingGraph {
  const builder = new GraphBuilder(semantics, { name: student.name, origin: student.origin });
  builder.reserve(student.types.keys());
  for (const input of student.inputs) builder.input(input, student.type(input));
  for (const [name, tensor] of student.constants) builder.constant(name, tensor);
  for (const node of student.nodes) copyNode(student, node, builder);
  const compared = features.map((feature) => {
    const { value, studentValue, isAdapted, components, studentChannels, size } = feature;
    if (!isAdapted) return [value, studentValue] as const;
    const weight = new Float32Array(components * studentChannels);
    const adapter = { name: `adapter/${value}`, weight, bias: new Float32Array(components), spatialRank: size.length };
    return [value, mixChannels(builder, pooled(builder, studentValue, feature), adapter)] as const;
  });
  const graph = builder.build([...scores, ...compared.map(([, name]) => name)]);
  return { graph: bindShapes(graph, shapes), compared: new Map(compared) };
}
