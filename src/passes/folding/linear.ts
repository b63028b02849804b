import type { Graph, Node } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';

/** A new weight and bias for a layer, in float64 until they are stored. */
export interface FoldedLayer {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/** Layers that a per-channel affine can be folded into: y = W·x + b with constant W and b. */
export function isFoldable(graph: Graph, node: Node | undefined): node is Node {
  if (!node || !['Conv', 'ConvTranspose', 'Gemm'].includes(node.op)) return false;
  if (!graph.constants.has(node.inputs[1])) return false;
  const bias = node.inputs[2] ?? '';
  if (node.op !== 'Gemm') return bias === '' || graph.constants.has(bias);
  const { alpha = 1, beta = 1, transA = 0 } = node.attributes;
  const plainBias = bias === '' || graph.constants.get(bias)?.shape.length === 1;
  return alpha === 1 && beta === 1 && transA === 0 && plainBias;
}

/** W'_o = s_o·W_o and b' = s·b + t: an affine on the layer's output. Exact. */
export function foldIntoOutput(graph: Graph, node: Node, scale: Float64Array, shift: Float64Array): FoldedLayer {
  const { weight, outOf } = weightOf(graph, node);
  const bias = biasOf(graph, node, scale.length);
  return {
    weight: scaleWeight(weight, (row, column) => scale[outOf(row, column)]),
    bias: Tensor.encode(
      weight.dtype,
      [scale.length],
      bias.map((value, o) => scale[o] * value + shift[o]),
    ),
  };
}

/** W'_oi = W_oi·s_i and b' = b + Σ W_oi·t_i: an affine on the layer's input. Exact where every tap sees the input. */
export function foldIntoInput(graph: Graph, node: Node, scale: Float64Array, shift: Float64Array): FoldedLayer {
  const { weight, outOf, inOf, outputs } = weightOf(graph, node);
  const bias = biasOf(graph, node, outputs).slice();
  const values = weight.toFloat64();
  const [rows, columns] = weight.shape;
  const kernel = values.length / (rows * columns);
  for (let at = 0; at < values.length; at++) {
    const pair = Math.floor(at / kernel);
    const [row, column] = [Math.floor(pair / columns), pair % columns];
    bias[outOf(row, column)] += values[at] * shift[inOf(row, column)];
  }
  return {
    weight: scaleWeight(weight, (row, column) => scale[inOf(row, column)]),
    bias: Tensor.encode(weight.dtype, [outputs], bias),
  };
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

function biasOf(graph: Graph, node: Node, channels: number): Float64Array {
  const bias = graph.constants.get(node.inputs[2] ?? '')?.toFloat64();
  if (!bias) return new Float64Array(channels);
  return bias.length === channels ? bias : new Float64Array(channels).fill(bias[0]);
}

function scaleWeight(weight: Tensor, factor: (row: number, column: number) => number): Tensor {
  const [rows, columns] = weight.shape;
  const values = weight.toFloat64();
  const kernel = values.length / (rows * columns);
  let at = 0;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const scale = factor(row, column);
      for (const end = at + kernel; at < end; at++) values[at] *= scale;
    }
  return Tensor.encode(weight.dtype, weight.shape, values);
}
