import { type Layer, layersOf } from '../../analysis/layers.js';
import { GraphBuilder } from '../../ir/builder.js';
import type { Graph, Node } from '../../ir/graph.js';
import { rewrite } from '../../ir/rewrite.js';
import { Tensor } from '../../ir/tensor.js';
import { solveNormalEquations } from '../../math/least-squares.js';
import type { LoadedGraph } from '../../training/engine.js';
import { type ChannelMoments, covarianceOf, type Observation } from '../calibration/observation.js';
import { inputAxis } from '../calibration/probes.js';
import type { PassContext } from '../pass.js';
import type { KeptCoordinates } from './apply.js';

/** Only to keep the equations solvable; relative to the mean variance. */
const RIDGE = 1e-5;

/** Predicts the dropped channels from the kept ones: x_d ≈ Σ_s M_sd x_s + c_d. */
interface Prediction {
  readonly kept: readonly number[];
  readonly dropped: readonly number[];
  /** M, kept × dropped. */
  readonly matrix: Float64Array;
  readonly constants: Float64Array;
}

/**
 * Lets layers that lost input channels make up for them: each lost channel is replaced by its best linear prediction
 * from the kept ones, W'_s = W_s + Σ_d M_sd W_d and b' = b + Σ_d c_d Σ_k W_d. Exact where the lost channels are linear
 * combinations of the kept ones (and the constant does not meet zero padding), approximate else.
 */
export async function reconstructDropped(
  thinned: Graph,
  kept: KeptCoordinates,
  { graph: original, moments }: Observation,
  context: PassContext,
): Promise<Graph> {
  const engine = context.calibration?.engine;
  if (!engine) return thinned;
  const graph = withBiases(thinned, context);
  const layers = new Map(layersOf(original).map((layer) => [layer.channels.value, layer]));
  const predictions = new Map<string, Prediction | undefined>();
  const constants = new Map(graph.constants);
  const products = await engine.load(productGraph(context));
  try {
    for (const layer of layersOf(graph)) {
      const before = layers.get(layer.channels.value);
      const [input] = layer.node.inputs;
      const channels = { value: input, axis: inputAxis(layer, graph.type(input).shape?.length ?? 0) };
      const observed = moments.get(input);
      const remaining = kept.of(channels);
      if (!before || !observed || !remaining || isGrouped(layer) || !graph.hasOneReader(layer.weight.name)) continue;
      if (!predictions.has(input)) predictions.set(input, predictionOf(observed, remaining));
      const prediction = predictions.get(input);
      if (prediction) await addPrediction(constants, graph, { layer, before, kept }, prediction, products);
    }
  } finally {
    await products.close();
  }
  return rewrite(graph.with({ constants }), context.semantics, () => false);
}

function isGrouped({ node }: Layer): boolean {
  return ((node.attributes.group as number | undefined) ?? 1) > 1;
}

/** Gives layers that may have a bias a bias of zeros. */
function withBiases(graph: Graph, { semantics }: PassContext): Graph {
  const layers = new Map(layersOf(graph).map((layer) => [layer.node, layer]));
  return rewrite(graph, semantics, (node, builder) => {
    const layer = layers.get(node);
    const width = layer && graph.type(layer.channels.value).shape?.[layer.channels.axis];
    if (!layer || node.op === 'MatMul' || node.inputs[2] || typeof width !== 'number') return false;
    const { dtype } = layer.weight.tensor;
    const bias = builder.constant(
      builder.fresh(`${layer.weight.name}.bias`),
      Tensor.encode(dtype, [width], new Float64Array(width)),
    );
    const { op, name, outputs, attributes } = node;
    builder.add({ op, name, inputs: [...node.inputs.slice(0, 2), bias], outputs, attributes } satisfies Node);
    return true;
  });
}

function predictionOf(moments: ChannelMoments, kept: readonly number[]): Prediction | undefined {
  const isKept = new Set(kept);
  const dropped = Array.from({ length: moments.channels }, (_, c) => c).filter((c) => !isKept.has(c));
  const covariance = covarianceOf(moments, kept, kept);
  const trace = kept.reduce((sum, _, i) => sum + covariance[i * kept.length + i], 0);
  const across = covarianceOf(moments, kept, dropped);
  const matrix =
    trace > 0 ? solveNormalEquations(covariance, across, kept.length, (RIDGE * trace) / kept.length) : across.fill(0);
  if (!matrix) return undefined;
  const mean = (channel: number) => moments.sums[channel] / moments.count;
  const constants = Float64Array.from(dropped, (d, j) =>
    kept.reduce((rest, s, i) => rest - matrix[i * dropped.length + j] * mean(s), mean(d)),
  );
  return { kept, dropped, matrix, constants };
}

interface Change {
  /** The layer without the dropped channels, and as it was. */
  readonly layer: Layer;
  readonly before: Layer;
  readonly kept: KeptCoordinates;
}

async function addPrediction(
  constants: Map<string, Tensor>,
  graph: Graph,
  { layer, before, kept }: Change,
  { dropped, matrix, constants: offsets, kept: remaining }: Prediction,
  products: LoadedGraph,
): Promise<void> {
  const { inAxis, outAxis, weight } = layer;
  const outputs = kept.of(layer.channels);
  const ofOutputs = outputs ? before.weight.tensor.take(outAxis, outputs) : before.weight.tensor;
  // Input channels first, then output channels, then kernel positions.
  const order = [inAxis, outAxis, ...weight.tensor.shape.map((_, axis) => axis).slice(2)];
  const lost = ofOutputs.take(inAxis, dropped).permute(order);
  const rows = Tensor.from([dropped.length, lost.size / dropped.length], lost.toFloat32());
  const combination = Tensor.from([remaining.length, dropped.length], Float32Array.from(matrix));
  const added = (
    await products.run(
      new Map([
        ['a', combination],
        ['b', rows],
      ]),
    )
  ).get('y') as Tensor;
  const inverse = order.map((_, axis) => order.indexOf(axis));
  const shape = order.map((axis) => weight.tensor.shape[axis]);
  const addition = added.reshape(shape).permute(inverse).toFloat32();
  const values = weight.tensor.toFloat64().map((value, i) => value + addition[i]);
  constants.set(weight.name, Tensor.encode(weight.tensor.dtype, weight.tensor.shape, values));
  const name = layer.node.inputs[2] ?? '';
  const bias = graph.constants.get(name);
  const width = weight.tensor.shape[outAxis];
  if (bias?.shape.length !== 1 || bias.shape[0] !== width || !graph.hasOneReader(name)) return;
  const lostValues = rows.toFloat32();
  const kernel = lostValues.length / (dropped.length * width);
  const moved = bias.toFloat64();
  for (let i = 0; i < lostValues.length; i++)
    moved[Math.floor(i / kernel) % width] += offsets[Math.floor(i / (kernel * width))] * lostValues[i];
  constants.set(name, Tensor.encode(bias.dtype, bias.shape, moved));
}

/** y = a b for matrices of any size. */
function productGraph({ semantics }: PassContext): Graph {
  const builder = new GraphBuilder(semantics, { name: 'product' });
  builder.input('a', { dtype: 'f32', shape: ['rows', 'inner'] });
  builder.input('b', { dtype: 'f32', shape: ['inner', 'columns'] });
  return builder.build([builder.apply('MatMul', ['a', 'b'], {}, 'y')]);
}
