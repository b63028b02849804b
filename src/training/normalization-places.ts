import type { Graph, Node } from '../ir/graph.js';
import { type DataType, isFloat } from '../ir/types.js';
import { headsOf, isActivation, isConvolution, isNormalization, isSinglePosition } from './network-parts.js';

/** Where a BatchNormalization goes: behind a convolution, or behind the Add that gives it a bias. */
export interface NormalizationPlace {
  /** The value that the normalization makes from now on: what stood in front of the activation. */
  readonly output: string;
  readonly dtype: DataType;
  /** One number a channel: the convolution's bias and that of the Add. */
  readonly bias: Float64Array;
  /** The Add that the normalization replaces. */
  readonly biasAdd?: Node;
}

/**
 * The convolutions that train better with a BatchNormalization behind them, and that it folds back into:
 * - Conv and ConvTranspose, of two factors (depthwise and pointwise) the second, whose result only activations read,
 *   directly or behind sums of branches: a residual branch is normalized before the sum, as in ResNets (He et al.
 *   2016), because nothing folds through a sum;
 * - not the heads, and not behind global pooling (squeeze-and-excitation), where a batch is too few numbers for
 *   statistics;
 * - not where the block is normalized already: the input comes straight from a normalization, or one reads the
 *   activation;
 * - not where two convolutions share a weight, which folding would have to copy, or a weight or bias is computed.
 */
export function placesForNormalization(graph: Graph): ReadonlyMap<Node, NormalizationPlace> {
  const heads = headsOf(graph);
  const places = new Map<Node, NormalizationPlace>();
  for (const node of graph.nodes) {
    const place = isConvolution(node) && !heads.has(node) ? placeBehind(graph, node) : undefined;
    if (place) places.set(node, place);
  }
  return places;
}

function placeBehind(graph: Graph, convolution: Node): NormalizationPlace | undefined {
  const [result] = convolution.outputs;
  const { dtype, shape } = graph.type(result);
  const channels = shape?.[1];
  if (dtype === null || typeof channels !== 'number' || isSinglePosition(graph, result)) return undefined;
  const bias = biasOf(graph, convolution, channels);
  if (!bias || isNormalizedBefore(graph, convolution)) return undefined;
  const added = biasAddBehind(graph, result, channels);
  const output = added?.node.outputs[0] ?? result;
  const activations = activationsBehind(graph, output);
  if (!activations || activations.some((node) => isNormalizedBehind(graph, node))) return undefined;
  return { output, dtype, bias: bias.map((value, c) => value + (added?.bias[c] ?? 0)), biasAdd: added?.node };
}

/** The bias of a convolution that a normalization can be folded into; undefined for any other. */
function biasOf(graph: Graph, { inputs: [, weight, bias = ''] }: Node, channels: number): Float64Array | undefined {
  if (!isFloat(graph.constants.get(weight)?.dtype ?? null) || !graph.hasOneReader(weight)) return undefined;
  return bias === '' ? new Float64Array(channels) : graph.constants.get(bias)?.toFloat64();
}

/** The only reader of a convolution's result, where it adds a constant to each channel. */
function biasAddBehind(graph: Graph, result: string, channels: number): { node: Node; bias: Float64Array } | undefined {
  const [{ node, index } = {}] = graph.readers(result);
  if (node?.op !== 'Add' || index === undefined || !graph.hasOneReader(result)) return undefined;
  const constant = graph.constants.get(node.inputs[1 - index]);
  const { shape } = graph.type(result);
  if (!constant || !shape || graph.type(node.outputs[0]).shape?.join() !== shape.join()) return undefined;
  const values = constant.toFloat64();
  if (values.length === 1) return { node, bias: new Float64Array(channels).fill(values[0]) };
  const channelAxis = constant.shape.length - shape.length + 1;
  return values.length === channels && constant.shape[channelAxis] === channels ? { node, bias: values } : undefined;
}

/** The activations that read a value, directly or through sums of branches; undefined where anything else does. */
function activationsBehind(graph: Graph, value: string): Node[] | undefined {
  const activations: Node[] = [];
  const values = new Set([value]);
  // Sums that are found on the way are walked over too.
  for (const current of values) {
    const readers = graph.readers(current);
    if (readers.length === 0 || graph.outputs.includes(current)) return undefined;
    for (const { node, index } of readers) {
      if (isActivation(graph, node) && (index === 0 || node.op === 'Mul')) activations.push(node);
      else if (isSumOfBranches(graph, node, current)) values.add(node.outputs[0]);
      else return undefined;
    }
  }
  return activations;
}

function isSumOfBranches(graph: Graph, { op, inputs, outputs }: Node, branch: string): boolean {
  const ofValues = inputs.every((input) => !graph.constants.has(input));
  return op === 'Add' && ofValues && graph.type(outputs[0]).shape?.join() === graph.type(branch).shape?.join();
}

/** Whether a normalization of features, not of the image, makes what the convolution (of two factors the first) reads. */
function isNormalizedBefore(graph: Graph, convolution: Node): boolean {
  let node: Node | undefined = convolution;
  while (node && isConvolution(node)) node = graph.producer(node.inputs[0]);
  return node !== undefined && isNormalization(node) && !graph.inputs.includes(node.inputs[0]);
}

function isNormalizedBehind(graph: Graph, activation: Node): boolean {
  return graph.readers(activation.outputs[0]).some(({ node }) => isNormalization(node));
}
