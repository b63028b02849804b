import { Tensor } from '../../ir/tensor.js';
import { AS_IS } from '../layout.js';
import { expandTo } from './broadcasting.js';
import type { NodeLowering } from './node-lowering.js';
import type { LoweringRules } from './rule.js';

export const denseRules: LoweringRules = {
  MatMul: { layout: AS_IS, lower: lowerMatMul },
  Gemm: { layout: AS_IS, lower: lowerGemm },
  QuantizeLinear: {
    refused: 'quantized models cannot be written there yet; write ONNX, or convert the model before it is quantized',
  },
  DequantizeLinear: { layout: AS_IS, lower: lowerDequantize, limits: 'of constants, not in blocks' },
};

function lowerMatMul(node: NodeLowering): void {
  const [a, b] = [node.shape(0), node.shape(1)];
  const left = node.reshape(node.input(0), a.length === 1 ? [1, a[0]] : a);
  const right = node.reshape(node.input(1), b.length === 1 ? [b[0], 1] : b);
  node.give(node.reshape(multiplied(node, left, right), node.outputShape()));
}

/** x [..., I] · weights [O, I]. */
function connected(node: NodeLowering, x: string, weights: Tensor, bias?: Tensor): string {
  const operands = [x, node.addConstant('weights', weights), ...(bias ? [node.addConstant('bias', bias)] : [])];
  return node.apply('fullyConnected', operands, {}, [...node.shapeOf(x).slice(0, -1), weights.shape[0]]);
}

/** [..., m, k] · [..., k, n] as stacks of matrices; a single matrix on the right takes all rows of the left at once. */
export function multiplied(node: NodeLowering, a: string, b: string): string {
  const [left, right] = [node.shapeOf(a), node.shapeOf(b)];
  const [rows, depth, columns] = [left[left.length - 2], left[left.length - 1], right[right.length - 1]];
  const leading = (shape: readonly number[], rank: number) => [
    ...Array<number>(rank - shape.length).fill(1),
    ...shape.slice(0, -2),
  ];
  const rank = Math.max(left.length, right.length);
  const [ofLeft, ofRight] = [leading(left, rank), leading(right, rank)];
  const batch = ofLeft.map((size, axis) => (size === 1 ? ofRight[axis] : size));
  const stack = (value: string, own: readonly number[], matrix: readonly number[]) =>
    node.reshape(expandTo(node, node.reshape(value, [...own, ...matrix]), [...batch, ...matrix]), [
      count(batch),
      ...matrix,
    ]);
  const isOne = count(ofRight) === 1;
  const weights = isOne && node.typeOf(a) === 'f32' ? node.tensorOf(b) : undefined;
  if (weights) {
    const rowsOfAll = node.reshape(a, [...batch, rows, depth]);
    return connected(node, rowsOfAll, weights.reshape([depth, columns]).permute([1, 0]));
  }
  const operands = isOne
    ? [node.reshape(a, [1, count(left) / depth, depth]), node.reshape(b, [1, depth, columns])]
    : [stack(a, ofLeft, [rows, depth]), stack(b, ofRight, [depth, columns])];
  const [stacked, height] = node.shapeOf(operands[0]);
  const product = node.apply('matMul', operands, {}, [stacked, height, columns]);
  return node.reshape(product, [...batch, rows, columns]);
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** α·A'·B' + β·C; the factors go into constants where there are any. */
function lowerGemm(node: NodeLowering): void {
  const [alpha, beta] = [node.number('alpha'), node.number('beta')];
  const a = node.number('transA') === 1 ? node.transpose(node.input(0), [1, 0]) : node.input(0);
  const given = node.constant(1);
  const weights = given && (node.number('transB') === 1 ? given : given.permute([1, 0]));
  const bias = node.has(2) ? node.constant(2) : undefined;
  const isPerOutput =
    bias !== undefined && bias.size === node.outputShape()[1] && (bias.shape.length === 1 || bias.shape[0] === 1);
  if (weights && (isPerOutput || !node.has(2))) {
    const row = bias && scaled(bias.reshape([bias.size]), beta);
    node.give(connected(node, a, scaled(weights, alpha), row));
    return;
  }
  const b = node.number('transB') === 1 ? node.transpose(node.input(1), [1, 0]) : node.input(1);
  const product = node.reshape(multiplied(node, a, b), node.outputShape());
  const left = alpha === 1 ? product : node.binary('multiply', product, node.scalar(alpha));
  if (!node.has(2)) {
    node.give(left);
    return;
  }
  const right = beta === 1 ? node.input(2) : node.binary('multiply', node.input(2), node.scalar(beta));
  node.give(node.binary('add', left, right));
}

function scaled(tensor: Tensor, factor: number): Tensor {
  if (factor === 1) return tensor;
  return Tensor.floats(
    tensor.toFloat64().map((value) => value * factor),
    tensor.shape,
  );
}

/** A quantized constant as the floats that it stands for: (q − zero point)·scale, for all or along one axis. */
function lowerDequantize(node: NodeLowering): void {
  const tensor = node.constant(0);
  if (!tensor)
    node.fail('quantized models cannot be written there yet; write ONNX, or convert the model before it is quantized');
  const scale = node.requireConstant(1).toFloat64();
  const zero = node.has(2) ? node.requireConstant(2).toFloat64() : new Float64Array(scale.length);
  const axis = scale.length === 1 ? 0 : (node.number('axis') + tensor.shape.length) % tensor.shape.length;
  if (scale.length !== 1 && scale.length !== tensor.shape[axis])
    node.fail('scales of blocks have no counterpart there');
  const inner = count(tensor.shape.slice(axis + 1));
  const values = tensor.toFloat64().map((value, i) => {
    const place = scale.length === 1 ? 0 : Math.floor(i / inner) % scale.length;
    return (value - zero[place]) * scale[place];
  });
  node.giveConstant(Tensor.floats(values, tensor.shape));
}
