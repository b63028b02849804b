import { unboundedStatistics } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph, Node } from '../ir/graph.js';
import { copyNode, rewrite } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import { Tensor } from '../ir/tensor.js';
import { type NormalizationPlace, placesForNormalization } from './normalization-places.js';

/** A BatchNormalization whose parameters are constants of its own. */
export interface NormalizationSite {
  /** The value that it normalizes. */
  readonly value: string;
  /** Names of its constants, each of shape [channels]. */
  readonly scale: string;
  readonly bias: string;
  readonly mean: string;
  readonly variance: string;
  readonly channels: number;
  readonly epsilon: number;
}

export interface TrainingForm {
  readonly graph: Graph;
  /** The BatchNormalizations that were put in, in graph order; see `normalizationSites` for all that there are. */
  readonly sites: readonly NormalizationSite[];
}

/** What was measured of a site's value over batch and space, averaged over as many batches as were run. */
export interface ChannelStatistics {
  readonly mean: ArrayLike<number>;
  readonly meanOfSquares: ArrayLike<number>;
}

/** A power of two, so that the variance 1 − ε is stored exactly and variance + ε is exactly 1. */
const EPSILON = 2 ** -17;

/** What the operator takes where a node does not say (ONNX). */
const DEFAULT_EPSILON = 1e-5;

/**
 * Puts BatchNormalization back where deployment has folded it away, so that the network can be trained (algorithms, F):
 * W·x + b → activation becomes W·x → BatchNormalization → activation. Where it goes is said at
 * `placesForNormalization`. What it computes stays: with scale 1, mean 0, variance 1 − ε and bias b, y = W·x + b. The
 * only difference is rounding, as b is added to the finished sum.
 *
 * Values before an activation and behind it keep their names and meaning; W·x alone gets a new one. Folding gives the
 * same values back. Normalizations that are there stay, each with constants that no other node reads, so that their
 * statistics can be set one by one.
 */
export function restoreNormalization(graph: Graph, semantics: Semantics): TrainingForm {
  const places = placesForNormalization(graph);
  const replaced = new Set([...places.values()].map(({ biasAdd }) => biasAdd));
  const normalized = new Set<string>();
  const restored = rewrite(graph, semantics, (node, builder) => {
    const place = places.get(node);
    if (place) normalized.add(normalize(node, place, builder));
    else if (node.op === 'BatchNormalization') return unshareParameters(graph, node, builder);
    return place !== undefined || replaced.has(node);
  });
  return { graph: restored, sites: normalizationSites(restored).filter(({ value }) => normalized.has(value)) };
}

/** Adds the convolution without its bias, and the normalization with it; returns the value between. */
function normalize(convolution: Node, { output, dtype, bias }: NormalizationPlace, builder: GraphBuilder): string {
  const between = builder.fresh(`${output}/convolution`);
  const [x, weight] = convolution.inputs;
  builder.add({ ...convolution, inputs: [x, weight], outputs: [between], origin: undefined });
  const channels = [bias.length];
  const parameter = (name: string, values: ArrayLike<number>) =>
    builder.constant(builder.fresh(`${output}/${name}`), Tensor.encode(dtype, channels, values));
  const filled = (value: number) => new Float64Array(bias.length).fill(value);
  const parameters = [
    parameter('scale', filled(1)),
    parameter('bias', bias),
    parameter('mean', filled(0)),
    parameter('variance', filled(1 - EPSILON)),
  ];
  builder.add({
    op: 'BatchNormalization',
    name: builder.fresh(`${output}/normalization`),
    inputs: [between, ...parameters],
    outputs: [output],
    attributes: { epsilon: EPSILON },
  });
  return between;
}

/** Gives a normalization copies of the constants that other operands are too; false where there are none. */
function unshareParameters(graph: Graph, node: Node, builder: GraphBuilder): boolean {
  const names = ['', 'scale', 'bias', 'mean', 'variance'];
  const inputs = node.inputs.map((input, i) => {
    const tensor = graph.constants.get(input);
    if (i === 0 || !tensor || graph.hasOneReader(input)) return input;
    return builder.constant(builder.fresh(`${node.outputs[0]}/${names[i]}`), tensor);
  });
  if (inputs.every((input, i) => input === node.inputs[i])) return false;
  builder.add({ ...node, inputs, origin: undefined });
  return true;
}

/** Every BatchNormalization of a graph whose parameters are constants, in graph order. */
export function normalizationSites(graph: Graph): NormalizationSite[] {
  return graph.nodes.flatMap((node) => {
    const [value, scale, bias, mean, variance] = node.inputs;
    const channels = graph.constants.get(scale)?.shape[0];
    const areConstant = [bias, mean, variance].every((name) => graph.constants.has(name));
    if (node.op !== 'BatchNormalization' || channels === undefined || !areConstant) return [];
    const epsilon = (node.attributes.epsilon as number | undefined) ?? DEFAULT_EPSILON;
    return [{ value, scale, bias, mean, variance, channels, epsilon }];
  });
}

/**
 * A graph with the same inputs that measures: its outputs are, for each site in order, the mean and the mean of squares
 * of the site's value over batch and space, f32[channels] each. Layers that no site depends on are left out.
 */
export function statisticsGraph(graph: Graph, sites: readonly NormalizationSite[], semantics: Semantics): Graph {
  const builder = new GraphBuilder(semantics, { name: graph.name });
  builder.reserve(graph.types.keys());
  for (const input of graph.inputs) builder.input(input, graph.type(input));
  for (const [name, tensor] of graph.constants) builder.constant(name, tensor);
  for (const node of graph.nodes) copyNode(graph, node, builder);
  return builder.build(sites.flatMap(({ value }) => measure(value, builder)));
}

function measure(value: string, builder: GraphBuilder): [mean: string, meanOfSquares: string] {
  const { dtype, shape } = builder.type(value);
  const axes = Array.from({ length: shape?.length ?? 2 }, (_, axis) => axis).filter((axis) => axis !== 1);
  const axesName = builder.constant(builder.fresh(`${value}/axes`), Tensor.integers(axes));
  const x = dtype === 'f32' ? value : builder.apply('Cast', [value], { to: 1 }, `${value}/single`);
  const mean = (of: string, name: string) =>
    builder.apply('ReduceMean', [of, axesName], { keepdims: 0 }, `${value}/${name}`);
  return [mean(x, 'measured_mean'), mean(builder.apply('Mul', [x, x], {}, `${value}/square`), 'mean_of_squares')];
}

/**
 * Sets the statistics of sites to measured ones without a change of what the graph computes: with y = a·x + t before,
 * mean μ and variance σ² become the measured ones, scale = a·√(σ² + ε) and bias = t + a·μ. For a site that was just put
 * in, a = 1 and t = b. A variance that rounding makes negative counts as 0; scale is then a·√ε, so a channel that never
 * varied passes on as it did.
 *
 * @param statistics one entry a site
 * @throws CompressError where a number is not finite
 */
export function withStatistics(
  graph: Graph,
  sites: readonly NormalizationSite[],
  statistics: readonly ChannelStatistics[],
): Graph {
  const constants = new Map(graph.constants);
  for (const [i, site] of sites.entries())
    for (const [name, tensor] of measuredParameters(graph, site, statistics[i])) constants.set(name, tensor);
  return graph.with({ constants });
}

function measuredParameters(
  graph: Graph,
  site: NormalizationSite,
  { mean, meanOfSquares }: ChannelStatistics,
): [string, Tensor][] {
  const old = (name: string) => graph.constants.get(name)?.toFloat64() ?? new Float64Array(site.channels);
  const [scale, bias, oldMean, oldVariance] = [site.scale, site.bias, site.mean, site.variance].map(old);
  const store = (name: string, value: (channel: number) => number) => {
    const dtype = graph.constants.get(name)?.dtype ?? 'f32';
    const values = Float64Array.from({ length: site.channels }, (_, channel) => value(channel));
    const tensor = Tensor.encode(dtype, [site.channels], values);
    const stored = tensor.toFloat64();
    if (!stored.every(Number.isFinite)) throw unboundedStatistics(site.value);
    return { tensor, stored };
  };
  const newMean = store(site.mean, (c) => mean[c]);
  const newVariance = store(site.variance, (c) => Math.max(0, meanOfSquares[c] - mean[c] ** 2));
  const deviation = (variance: number) => Math.sqrt(Math.max(0, variance) + site.epsilon);
  const factor = scale.map((value, c) => value / deviation(oldVariance[c]));
  // From the mean and variance as they are stored, so that their rounding cancels.
  const newScale = store(site.scale, (c) => factor[c] * deviation(newVariance.stored[c]));
  const newBias = store(site.bias, (c) => bias[c] + factor[c] * (newMean.stored[c] - oldMean[c]));
  return [
    [site.mean, newMean.tensor],
    [site.variance, newVariance.tensor],
    [site.scale, newScale.tensor],
    [site.bias, newBias.tensor],
  ];
}
