import { Tensor } from '../../ir/tensor.js';
import { normalizeAxis } from '../../ops/op.js';
import { ANY } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import type { LoweringRules } from './rule.js';

export const normRules: LoweringRules = {
  BatchNormalization: {
    layout: ANY,
    lower: lowerBatchNormalization,
    limits: 'statistics and weights must be constants',
  },
  InstanceNormalization: { layout: ANY, lower: lowerInstanceNormalization },
  GroupNormalization: { layout: ANY, lower: lowerGroupNormalization },
  LayerNormalization: { layout: ANY, lower: lowerLayerNormalization, limits: 'without mean and deviation as outputs' },
};

/** y = x·a + b with a = scale/√(var + ε) and b = B − mean·a, computed in double precision. */
function lowerBatchNormalization(node: NodeLowering): void {
  const [scale, shift, mean, variance] = [1, 2, 3, 4].map((input) => node.requireConstant(input).toFloat64());
  const epsilon = node.number('epsilon');
  const factors = scale.map((value, i) => value / Math.sqrt(variance[i] + epsilon));
  const offsets = shift.map((value, i) => value - mean[i] * factors[i]);
  const product = node.binary('multiply', node.input(), perChannel(node, 'factor', Tensor.floats(factors)));
  node.give(node.binary('add', product, perChannel(node, 'offset', Tensor.floats(offsets))));
}

/** One number a channel, where the node's layout has the channels. */
function perChannel(node: NodeLowering, suffix: string, tensor: Tensor): string {
  return node.addConstant(suffix, tensor.reshape(channelShape(node, tensor.size)));
}

function channelShape(node: NodeLowering, channels: number): number[] {
  const shape = Array<number>(node.rank).fill(1);
  shape[node.axis(1)] = channels;
  return shape;
}

/** An operand of one number a channel, computed or not. */
function channelOperand(node: NodeLowering, input: number): string {
  const tensor = node.constant(input);
  if (tensor) return perChannel(node, `operand_${input}`, tensor);
  return node.reshape(node.input(input), channelShape(node, node.shape(input)[0]));
}

/** (x − mean)/√(variance + ε) over the axes; the variance from what is left without the mean, as runtimes do it. */
function normalized(node: NodeLowering, x: string, axes: readonly number[]): string {
  const centred = node.binary('subtract', x, node.reduce('mean', x, axes));
  const variance = node.reduce('mean', node.unary('square', centred), axes);
  const shifted = node.binary('add', variance, node.scalar(node.number('epsilon')));
  return node.binary('multiply', centred, node.unary('rsqrt', shifted));
}

function scaledAndShifted(node: NodeLowering, x: string, scale: string, shift: string | undefined): string {
  const scaled = node.binary('multiply', x, scale);
  return shift === undefined ? scaled : node.binary('add', scaled, shift);
}

function lowerInstanceNormalization(node: NodeLowering): void {
  const spatial = node.axes(Array.from({ length: node.rank - 2 }, (_, axis) => axis + 2));
  const normal = normalized(node, node.input(), spatial);
  node.give(scaledAndShifted(node, normal, channelOperand(node, 1), channelOperand(node, 2)));
}

/** Channels of one group lie together: as an axis of their own they are reduced with the spatial axes. */
function lowerGroupNormalization(node: NodeLowering): void {
  const groups = node.number('num_groups');
  const x = node.input();
  const shape = node.shapeOf(x);
  const [batch, channels] = node.shape();
  const points = shape.reduce((product, size) => product * size, 1) / batch / channels;
  const isLast = node.axis(1) === shape.length - 1;
  const grouped = isLast
    ? normalized(node, node.reshape(x, [batch, points, groups, channels / groups]), [1, 3])
    : normalized(node, node.reshape(x, [batch, groups, (channels / groups) * points]), [2]);
  const normal = node.reshape(grouped, shape);
  node.give(scaledAndShifted(node, normal, channelOperand(node, 1), channelOperand(node, 2)));
}

function lowerLayerNormalization(node: NodeLowering): void {
  if (node.isRead(1) || node.isRead(2)) node.fail('its mean and deviation have no counterpart there as outputs');
  const rank = node.rank;
  const first = normalizeAxis(node.number('axis'), rank);
  const axes = node.axes(Array.from({ length: rank - first }, (_, axis) => first + axis));
  const normal = normalized(node, node.input(), axes);
  const shift = node.has(2) ? node.broadcastable(2, rank) : undefined;
  node.give(scaledAndShifted(node, normal, node.broadcastable(1, rank), shift));
}
