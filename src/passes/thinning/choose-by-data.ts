import type { ChannelClass } from '../../analysis/channels.js';
import { type Layer, layersOf } from '../../analysis/layers.js';
import { interrupted } from '../../errors.js';
import { GraphBuilder } from '../../ir/builder.js';
import type { Graph } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import { type PredictionTask, selectUnits } from '../../math/subset-selection.js';
import type { LoadedGraph } from '../../training/engine.js';
import { covarianceOf, type Observation } from '../calibration/observation.js';
import { inputAxis } from '../calibration/probes.js';
import type { PassContext } from '../pass.js';
import type { ThinnableClass } from './widths.js';

/**
 * Chooses units by what the network does on calibration images (algorithms, A.3): greedily those from which the outputs
 * of the class's readers can be predicted best. The error of a reader's output is taken at channel level: with
 * covariance C of its input channels and A = Σ_k W_kᵀ W_k over its kernel positions it is tr(A E), E the covariance of
 * what linear prediction from the kept channels leaves. Readers count by error relative to the variance of their
 * output. Classes go back to front, so that only outputs which stay are counted.
 *
 * @returns scores as `scoreUnits` gives them; undefined for classes that no layer with sampled channels reads
 */
export async function scoreUnitsByData(
  graph: Graph,
  classes: readonly ThinnableClass[],
  widths: readonly number[],
  observation: Observation,
  context: PassContext,
): Promise<(Float64Array | undefined)[]> {
  const engine = context.calibration?.engine;
  if (!engine) return classes.map(() => undefined);
  const layers = layersOf(graph);
  const order = new Map(layers.map(({ node }, i) => [node, i]));
  const last = ({ producers }: ThinnableClass) => Math.max(...producers.map(({ node }) => order.get(node) ?? 0));
  const backToFront = classes.map((_, i) => i).sort((a, b) => last(classes[b]) - last(classes[a]) || b - a);
  const dropped = new DroppedCoordinates();
  const scores: (Float64Array | undefined)[] = [];
  const products = await engine.load(productGraph(context));
  try {
    for (const [done, i] of backToFront.entries()) {
      if (context.signal?.aborted) throw interrupted();
      context.progress(done / classes.length, `class ${done + 1} of ${classes.length}`);
      const { channelClass } = classes[i];
      const readers = readersOf(graph, channelClass, layers, observation);
      if (readers.length === 0) continue;
      const tasks: PredictionTask[] = [];
      for (const reader of readers) tasks.push(await taskOf(channelClass, reader, observation, dropped, products));
      const chosen = selectUnits(tasks, channelClass.units.length, widths[i]);
      scores[i] = new Float64Array(channelClass.units.length);
      for (const [rank, unit] of chosen.entries()) scores[i][unit] = widths[i] - rank;
      dropped.add(channelClass, scores[i]);
    }
  } finally {
    await products.close();
  }
  return classes.map((_, i) => scores[i]);
}

/** A layer that reads channels of a class: `position` is the place of its input's axis in the class. */
interface ReadingLayer {
  readonly layer: Layer;
  readonly position: number;
  readonly groups: number;
}

/** A depthwise layer is no reader: its outputs live and die with its inputs. */
function readersOf(
  graph: Graph,
  channelClass: ChannelClass,
  layers: readonly Layer[],
  observation: Observation,
): ReadingLayer[] {
  const positionOf = (value: string, axis: number) =>
    channelClass.axes.findIndex((ref) => ref.value === value && ref.axis === axis);
  return layers.flatMap((layer) => {
    const [input] = layer.node.inputs;
    const position = positionOf(input, inputAxis(layer, graph.type(input).shape?.length ?? 0));
    const groups = (layer.node.attributes.group as number | undefined) ?? 1;
    const isDepthwise = groups > 1 && positionOf(layer.channels.value, layer.channels.axis) >= 0;
    if (position < 0 || isDepthwise || !observation.moments.has(input)) return [];
    return [{ layer, position, groups }];
  });
}

async function taskOf(
  channelClass: ChannelClass,
  { layer, position, groups }: ReadingLayer,
  observation: Observation,
  dropped: DroppedCoordinates,
  products: LoadedGraph,
): Promise<PredictionTask> {
  const coordinates = channelClass.units.flatMap((unit) => unit.coordinates[position]);
  const moments = observation.moments.get(layer.node.inputs[0]);
  if (!moments) throw new Error(`no moments of ${layer.node.inputs[0]}`);
  const outputs = dropped.keptOf(layer);
  const variances = observation.variances.get(layer.channels.value);
  const scale = outputs.reduce((sum, o) => sum + (variances?.[o] ?? 1), 0);
  const cost =
    groups === 1 ? await costOf(layer, coordinates, outputs, products) : groupedCost(layer, coordinates, groups);
  if (scale > 0) for (let i = 0; i < cost.length; i++) cost[i] /= scale;
  let next = 0;
  return {
    covariance: covarianceOf(moments, coordinates, coordinates),
    cost,
    units: channelClass.units.map((unit) => unit.coordinates[position].map(() => next++)),
  };
}

/** A = Σ w wᵀ over the kept outputs and kernel positions, between the given input coordinates. */
async function costOf(
  { weight, inAxis, outAxis }: Layer,
  coordinates: readonly number[],
  outputs: readonly number[],
  products: LoadedGraph,
): Promise<Float64Array> {
  const taken = weight.tensor.take(inAxis, coordinates).take(outAxis, outputs);
  const order = [inAxis, ...taken.shape.map((_, axis) => axis).filter((axis) => axis !== inAxis)];
  const rows = taken.permute(order).reshape([coordinates.length, taken.size / coordinates.length]);
  const values = Tensor.from(rows.shape, rows.toFloat32());
  return (await products.run(new Map([['x', values]]))).get('y')?.toFloat64() as Float64Array;
}

/** As `costOf` for all outputs of a grouped convolution: channels of different groups share no output. */
function groupedCost({ weight, inAxis }: Layer, coordinates: readonly number[], groups: number): Float64Array {
  const { tensor } = weight;
  const isTransposed = inAxis === 0;
  const perGroup = isTransposed ? tensor.shape[0] / groups : tensor.shape[1];
  const block = tensor.shape[0] / groups;
  const values = tensor.toFloat64();
  const kernel = values.length / (tensor.shape[0] * tensor.shape[1]);
  const vectors = coordinates.map((c) => {
    const [group, within] = [Math.floor(c / perGroup), c % perGroup];
    if (isTransposed) return values.subarray(c * tensor.shape[1] * kernel, (c + 1) * tensor.shape[1] * kernel);
    const rows = Array.from({ length: block }, (_, o) => (group * block + o) * tensor.shape[1] + within);
    return Float64Array.from(rows.flatMap((row) => [...values.subarray(row * kernel, (row + 1) * kernel)]));
  });
  const size = coordinates.length;
  const cost = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++) {
      if (Math.floor(coordinates[i] / perGroup) !== Math.floor(coordinates[j] / perGroup)) continue;
      cost[i * size + j] = vectors[i].reduce((sum, value, k) => sum + value * vectors[j][k], 0);
      cost[j * size + i] = cost[i * size + j];
    }
  return cost;
}

/** y = x xᵀ for a matrix of any size. */
function productGraph({ semantics }: PassContext): Graph {
  const builder = new GraphBuilder(semantics, { name: 'product' });
  builder.input('x', { dtype: 'f32', shape: ['rows', 'columns'] });
  builder.apply('Transpose', ['x'], { perm: [1, 0] }, 'transposed');
  return builder.build([builder.apply('MatMul', ['x', 'transposed'], {}, 'y')]);
}

/** What has been dropped of layers' outputs so far. */
class DroppedCoordinates {
  readonly #dropped = new Map<string, Set<number>>();

  add({ axes, units }: ChannelClass, scores: Float64Array): void {
    for (const [position, { value, axis }] of axes.entries()) {
      const key = `${axis} ${value}`;
      const set = this.#dropped.get(key) ?? new Set<number>();
      this.#dropped.set(key, set);
      for (const [u, unit] of units.entries())
        if (scores[u] === 0) for (const c of unit.coordinates[position]) set.add(c);
    }
  }

  keptOf({ weight, outAxis, channels }: Layer): number[] {
    const set = this.#dropped.get(`${channels.axis} ${channels.value}`);
    return Array.from({ length: weight.tensor.shape[outAxis] }, (_, o) => o).filter((o) => !set?.has(o));
  }
}
