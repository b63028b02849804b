import { Tensor } from '../../ir/tensor.js';
import type { DataType } from '../../ir/types.js';
import { ANY } from '../layout.js';
import { expandTo } from './broadcasting.js';
import { fromOperands } from './elementwise.js';
import { type NodeLowering, programType } from './node-lowering.js';
import type { BinaryFunction } from './operations.js';
import type { LoweringRule, LoweringRules } from './rule.js';

export const logicRules: LoweringRules = {
  Equal: pair('equal'),
  Less: pair('less'),
  LessOrEqual: pair('lessEqual'),
  Greater: pair('greater'),
  GreaterOrEqual: pair('greaterEqual'),
  And: pair('and'),
  Or: pair('or'),
  Xor: { layout: ANY, lower: lowerXor },
  Not: { layout: ANY, lower: (node) => node.give(node.unary('not', node.input())) },
  Where: { layout: ANY, lower: lowerWhere },
  Cast: { layout: ANY, lower: lowerCast },
  CastLike: { layout: ANY, lower: lowerCast },
  Identity: { layout: ANY, lower: (node) => node.give(node.input()) },
  Dropout: { layout: ANY, lower: lowerDropout, limits: 'without the mask' },
};

function pair(name: BinaryFunction): LoweringRule {
  return {
    layout: ANY,
    lower(node) {
      const [a, b] = fromOperands(node);
      node.give(node.binary(name, a, b));
    },
  };
}

/** Either, but not both. */
function lowerXor(node: NodeLowering): void {
  const [a, b] = fromOperands(node);
  const both = node.binary('and', a, b);
  node.give(node.binary('and', node.binary('or', a, b), node.unary('not', both)));
}

function lowerWhere(node: NodeLowering): void {
  const shape = node.arranged(node.outputShape());
  const operands = fromOperands(node).map((operand) => expandTo(node, operand, shape));
  node.give(node.apply('select', operands, {}, shape, node.outputType()));
}

/** A constant of halves stays one: it is what a format stores, and is read as singles. */
function lowerCast(node: NodeLowering): void {
  const tensor = node.constant(0);
  const to = node.outputType();
  if (tensor?.dtype === 'f16' && to === 'f32') node.giveConstant(tensor);
  else if (tensor) node.giveConstant(converted(tensor, to));
  else node.give(node.cast(node.input(), to));
}

function converted(tensor: Tensor, to: ReturnType<typeof programType>): Tensor {
  if (programType(tensor.dtype) === to && tensor.dtype === to) return tensor;
  const values = tensor.toNumbers() as ArrayLike<number>;
  const truncated =
    to === 'f32' ? values : Array.from(values, (value) => (to === 'bool' ? Number(value !== 0) : Math.trunc(value)));
  return Tensor.encode(to as DataType, tensor.shape, truncated);
}

function lowerDropout(node: NodeLowering): void {
  if (node.isRead(1)) node.fail('its mask has no counterpart there; export the model for inference');
  node.give(node.input());
}
