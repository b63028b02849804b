import type { Graph, Node } from '../../ir/graph.js';
import { isFloat } from '../../ir/types.js';

/** y = s·x + t per channel (axis 1). */
export interface ChannelAffine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/**
 * A node that does y = s·x + t per channel with constants: a BatchNormalization, or the Mul and Add that an exporter
 * has taken one apart into.
 */
export interface Affine extends ChannelAffine {
  readonly node: Node;
  /** The value that is scaled and shifted. */
  readonly input: string;
  readonly output: string;
}

/** Recognises a per-channel affine node; undefined where parameters are computed or the channel count is open. */
export function affineOf(graph: Graph, node: Node, warn: (message: string) => void = () => {}): Affine | undefined {
  switch (node.op) {
    case 'BatchNormalization':
      return batchNormalization(graph, node, warn);
    case 'Mul':
    case 'Div':
    case 'Add':
    case 'Sub':
      return arithmetic(graph, node);
    default:
      return undefined;
  }
}

export function isIdentityScale(scale: Float64Array): boolean {
  return scale.every((value) => value === 1);
}

export function isZeroShift(shift: Float64Array): boolean {
  return shift.every((value) => value === 0);
}

/** s = γ / √(σ² + ε), t = β − μ·s (algorithms, C). */
function batchNormalization(graph: Graph, node: Node, warn: (message: string) => void): Affine | undefined {
  const [gamma, beta, mean, variance] = node.inputs.slice(1).map((name) => graph.constants.get(name)?.toFloat64());
  if (!gamma || !beta || !mean || !variance) return undefined;
  const epsilon = (node.attributes.epsilon as number | undefined) ?? 1e-5;
  if (variance.some((value) => value < 0))
    warn(`BatchNormalization '${node.name}' has a negative running variance; it counts as 0`);
  const scale = gamma.map((value, c) => value / Math.sqrt(Math.max(0, variance[c]) + epsilon));
  const shift = beta.map((value, c) => value - mean[c] * scale[c]);
  return { node, input: node.inputs[0], output: node.outputs[0], scale, shift };
}

function arithmetic(graph: Graph, node: Node): Affine | undefined {
  const constantAt = node.inputs.findIndex((input) => graph.constants.has(input));
  if (constantAt < 0) return undefined;
  const input = node.inputs[1 - constantAt];
  const { shape, dtype } = graph.type(input);
  const channels = shape?.[1];
  const sameShape = shape?.join() === graph.type(node.outputs[0]).shape?.join();
  if (typeof channels !== 'number' || !sameShape || !isFloat(dtype)) return undefined;
  const numbers = perChannel(graph, node.inputs[constantAt], channels, shape?.length ?? 0);
  if (!numbers || (constantAt === 0 && node.op === 'Div')) return undefined;
  const ones = new Float64Array(channels).fill(1);
  const zeros = new Float64Array(channels);
  const base = { node, input, output: node.outputs[0] };
  switch (node.op) {
    case 'Mul':
      return { ...base, scale: numbers, shift: zeros };
    case 'Div':
      return { ...base, scale: numbers.map((value) => 1 / value), shift: zeros };
    case 'Add':
      return { ...base, scale: ones, shift: numbers };
    default:
      return constantAt === 0
        ? { ...base, scale: ones.map(() => -1), shift: numbers }
        : { ...base, scale: ones, shift: numbers.map((value) => -value) };
  }
}

/** A constant that broadcasts along axis 1 only, as one number a channel; a single number counts for all. */
function perChannel(graph: Graph, name: string, channels: number, rank: number): Float64Array | undefined {
  const tensor = graph.constants.get(name);
  if (!tensor || rank < 2) return undefined;
  if (tensor.size === 1) return new Float64Array(channels).fill(tensor.toFloat64()[0]);
  const shape = [...Array<number>(Math.max(0, rank - tensor.shape.length)).fill(1), ...tensor.shape];
  const channelOnly = shape.every((extent, axis) => extent === (axis === 1 ? channels : 1));
  return channelOnly ? tensor.toFloat64() : undefined;
}
