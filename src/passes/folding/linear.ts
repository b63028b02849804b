import type { Graph, Node } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { DataType } from '../../ir/types.js';
import type { ChannelAffine } from './affine.js';

/** A new weight and bias for a layer. */
export interface FoldedLayer {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/** Layers that a per-channel affine can be folded into: y = W·x + b with constant W and b. */
export function isFoldable(graph: Graph, node: Node): boolean {
  if (!['Conv', 'ConvTranspose', 'Gemm'].includes(node.op) || !graph.constants.has(node.inputs[1])) return false;
  const bias = node.inputs[2] ?? '';
  if (node.op !== 'Gemm') return bias === '' || graph.constants.has(bias);
  const { alpha = 1, beta = 1, transA = 0 } = node.attributes;
  const [columns] = graph.type(node.outputs[0]).shape?.slice(-1) ?? [];
  const biasShape = graph.constants.get(bias)?.shape;
  const plainBias = bias === '' || biasShape?.length === 0 || (biasShape?.length === 1 && biasShape[0] === columns);
  return alpha === 1 && beta === 1 && transA === 0 && plainBias;
}

/**
 * W'_o = s_o·W_o and b' = s·b + t: an affine on the layer's output. Exact. Undefined where a number would be too large
 * for the layer's own type (half precision).
 */
export function foldIntoOutput(graph: Graph, node: Node, { scale, shift }: ChannelAffine): FoldedLayer | undefined {
  const { weight, outOf } = weightOf(graph, node);
  const bias = biasOf(graph, node, scale.length).map((value, o) => scale[o] * value + shift[o]);
  const scaled = scaleWeight(weight, (row, column) => scale[outOf(row, column)]);
  return stored(weight, scaled, bias);
}

/**
 * W'_oi = W_oi·s_i and b' = b + Σ W_oi·t_i: an affine on the layer's input. Exact where every tap sees the input.
 * Undefined where a number would be too large.
 */
export function foldIntoInput(graph: Graph, node: Node, { scale, shift }: ChannelAffine): FoldedLayer | undefined {
  const { weight, outOf, inOf, outputs } = weightOf(graph, node);
  const bias = biasOf(graph, node, outputs);
  const scaled = scaleWeight(weight, (row, column, sum) => {
    bias[outOf(row, column)] += sum() * shift[inOf(row, column)];
    return scale[inOf(row, column)];
  });
  return stored(weight, scaled, bias);
}

/** Which output and input channel the entry (row, column) of a weight's two channel axes belongs to, groups included. */
function weightOf(graph: Graph, node: Node) {
  const weight = graph.constants.get(node.inputs[1]) as Tensor;
  const group = (node.attributes.group as number | undefined) ?? 1;
  const [rows, columns] = weight.shape;
  const block = rows / group;
  const own = (row: number) => row;
  const other = (row: number, column: number) => Math.floor(row / block) * columns + column;
  const rowsAreOutputs = node.op === 'Conv' || (node.op === 'Gemm' && Boolean(node.attributes.transB));
  return rowsAreOutputs
    ? { weight, outOf: own, inOf: other, outputs: rows }
    : { weight, outOf: other, inOf: own, outputs: columns * group };
}

/** A fresh copy; one number counts for all channels. */
function biasOf(graph: Graph, node: Node, channels: number): Float64Array {
  const bias = graph.constants.get(node.inputs[2] ?? '')?.toFloat64();
  if (!bias) return new Float64Array(channels);
  return bias.length === channels ? bias : new Float64Array(channels).fill(bias[0]);
}

type Floats = Float32Array | Float64Array;

/**
 * Multiplies each kernel by a factor of its own, which may depend on the sum of its taps. Products are rounded once,
 * when they are stored in the weight's own type.
 */
function scaleWeight(weight: Tensor, factor: (row: number, column: number, sum: () => number) => number): Floats {
  const [rows, columns] = weight.shape;
  const values = weight.dtype === 'f32' ? weight.toFloat32() : weight.toFloat64();
  const kernel = rows * columns === 0 ? 0 : values.length / (rows * columns);
  let first = 0;
  const sum = () => sumOf(values, first, kernel);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      multiply(values, first, kernel, factor(row, column, sum));
      first += kernel;
    }
  return values;
}

function multiply(values: Floats, first: number, count: number, factor: number): void {
  for (let i = first; i < first + count; i++) values[i] *= factor;
}

function sumOf(values: Floats, first: number, count: number): number {
  let total = 0;
  for (let i = first; i < first + count; i++) total += values[i];
  return total;
}

function stored({ dtype, shape }: Tensor, values: Floats, biasValues: Float64Array): FoldedLayer | undefined {
  const weight = encodeFinite(dtype, shape, values);
  const bias = encodeFinite(dtype, [biasValues.length], biasValues);
  return weight && bias && { weight, bias };
}

/** Undefined where storing the numbers as `dtype` makes one infinite. */
export function encodeFinite(dtype: DataType, shape: readonly number[], values: Floats): Tensor | undefined {
  if (dtype === 'f32' && values instanceof Float32Array)
    return allFinite(values) ? Tensor.from(shape, values) : undefined;
  const tensor = Tensor.encode(dtype, shape, values);
  return allFinite(tensor.toNumbers()) ? tensor : undefined;
}

function allFinite(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}
