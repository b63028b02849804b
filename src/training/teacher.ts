import { GraphBuilder } from '../ir/builder.js';
import type { Graph } from '../ir/graph.js';
import { copyNode } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import { Tensor } from '../ir/tensor.js';
import { type FeaturePlan, type Moments, mixChannels, type Projection, pooled } from './feature-maps.js';
import type { ScoreOutput } from './score-outputs.js';

/** Names of a teacher graph's outputs, by what they are of. */
export interface TeacherGraph {
  readonly graph: Graph;
  /** Probabilities (values, for regressions) by the name of the scores. */
  readonly targets: ReadonlyMap<string, string>;
  /** Maps, projected where an adapter is to make them, by the name of the feature's value. */
  readonly features: ReadonlyMap<string, string>;
}

/** A feature with the projection on what an adapter is to make; without one where the map itself is compared. */
export type ProjectedFeature = FeaturePlan & { readonly projection?: Projection };

/** The original network with what the student is to recreate as its outputs; batch and size stay open. */
export function teacherGraph(
  graph: Graph,
  outputs: readonly Pick<ScoreOutput, 'scores' | 'reading'>[],
  features: readonly ProjectedFeature[],
  semantics: Semantics,
): TeacherGraph {
  const builder = copied(graph, semantics);
  const targets = new Map(outputs.map(({ scores, reading }) => [scores, targetOf(builder, scores, reading)]));
  const maps = features.map((feature) => [feature.value, mapOf(builder, feature)] as const);
  return {
    graph: builder.build([...targets.values(), ...maps.map(([, map]) => map)]),
    targets,
    features: new Map(maps),
  };
}

function mapOf(builder: GraphBuilder, feature: ProjectedFeature): string {
  const { value, projection, size } = feature;
  const name = `feature/${value}`;
  const map = pooled(builder, value, feature);
  if (!projection) return builder.apply('Identity', [map], {}, name);
  return mixChannels(builder, map, { name, ...projection, spatialRank: size.length });
}

function targetOf(builder: GraphBuilder, scores: string, reading: ScoreOutput['reading']): string {
  const name = `target/${scores}`;
  if (reading === 'binary') return builder.apply('Sigmoid', [scores], {}, name);
  if (reading === 'classes') return builder.apply('Softmax', [scores], { axis: 1 }, name);
  return builder.apply('Identity', [scores], {}, name);
}

/** The original network with the moments of the features' maps, of one image, as its outputs. */
export function momentsGraph(graph: Graph, features: readonly FeaturePlan[], semantics: Semantics) {
  const builder = copied(graph, semantics);
  const names = features.map((feature) => {
    const shape = builder.constant(builder.fresh('rows'), Tensor.integers([feature.teacherChannels, -1]));
    const rows = builder.apply('Reshape', [pooled(builder, feature.value, feature), shape]);
    const columns = builder.apply('Transpose', [rows], { perm: [1, 0] });
    const axis = builder.constant(builder.fresh('axis'), Tensor.integers([1]));
    return {
      value: feature.value,
      products: builder.apply('MatMul', [rows, columns], {}, `products/${feature.value}`),
      sums: builder.apply('ReduceSum', [rows, axis], { keepdims: 0 }, `sums/${feature.value}`),
    };
  });
  return { graph: builder.build(names.flatMap(({ products, sums }) => [products, sums])), names };
}

/** Adds what one image gave to what is known. */
export function addMoments(moments: Moments, products: Float32Array, sums: Float32Array, count: number): void {
  moments.count += count;
  for (let i = 0; i < products.length; i++) moments.products[i] += products[i];
  for (let i = 0; i < sums.length; i++) moments.sums[i] += sums[i];
}

function copied(graph: Graph, semantics: Semantics): GraphBuilder {
  const builder = new GraphBuilder(semantics, { name: graph.name, origin: graph.origin });
  builder.reserve(graph.types.keys());
  for (const input of graph.inputs) builder.input(input, graph.type(input));
  for (const [name, tensor] of graph.constants) builder.constant(name, tensor);
  for (const node of graph.nodes) copyNode(graph, node, builder);
  return builder;
}
