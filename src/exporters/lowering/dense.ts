import { Tensor } from '../../ir/tensor.js';
import { AS_IS } from '../layout.js';
import { expandTo } from './broadcasting.js';
import type { NodeLowering } from './node-lowering.js';
import type { LoweringRules } from './rule.js';

export const denseRules: LoweringRules = {
  MatMul: { layout: AS_IS, lower: lowerMatMul },
  Gemm: { layout: AS_IS, lower: lowerGemm },
  Einsum: { refused: 'sums by a formula have no counterpart there; export the model with MatMul and Transpose' },
  QuantizeLinear: {
    refused: 'quantized models cannot be written there yet; write ONNX, or convert the model before it is quantized',
  },
  DequantizeLinear: { layout: AS_IS, lower: lowerDequantize, limits: 'of constants' },
};

function lowerMatMul(node: NodeLowering): void {
  const [a, b] = [node.shape(0), node.shape(1)];
  const weights = node.constant(1);
  if (weights && b.length === 2 && a.length > 1) {
    node.give(connected(node, node.input(), weights.permute([1, 0]), undefined));
    return;
  }
  const left = node.reshape(node.input(0), a.length === 1 ? [1, a[0]] : a);
  const right = node.reshape(node.input(1), b.length === 1 ? [b[0], 1] : b);
  node.give(node.reshape(multiplied(node, left, right), node.outputShape()));
}

/** x [..., I] · weights [O, I]. */
function connected(node: NodeLowering, x: string, weights: Tensor, bias: Tensor | undefined): string {
  const operands = [x, node.addConstant('weights', weights), ...(bias ? [node.addConstant('bias', bias)] : [])];
  return node.apply('fullyConnected', operands, {}, [...node.shapeOf(x).slice(0, -1), weights.shape[0]]);
}

/** Matrices of equal rank whose leading axes are brought to one size. */
function multiplied(node: NodeLowering, a: string, b: string): string {
  const [left, right] = [node.shapeOf(a), node.shapeOf(b)];
  const rank = Math.max(left.length, right.length, 3);
  const leading = (shape: readonly number[]) => [...Array<number>(rank - shape.length).fill(1), ...shape.slice(0, -2)];
  const [ofLeft, ofRight] = [leading(left), leading(right)];
  const batch = ofLeft.map((size, axis) => (size === 1 ? ofRight[axis] : size));
  const whole = (value: string, own: readonly number[], shape: readonly number[]) =>
    expandTo(node, node.reshape(value, [...own, ...shape.slice(-2)]), [...batch, ...shape.slice(-2)]);
  const operands = [whole(a, ofLeft, left), whole(b, ofRight, right)];
  return node.apply('matMul', operands, {}, [...batch, left[left.length - 2], right[right.length - 1]]);
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
  const inner = tensor.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const values = tensor.toFloat64().map((value, i) => {
    const place = scale.length === 1 ? 0 : Math.floor(i / inner) % scale.length;
    return (value - zero[place]) * scale[place];
  });
  node.giveConstant(Tensor.floats(values, tensor.shape));
}
