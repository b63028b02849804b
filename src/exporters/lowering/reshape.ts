import type { Graph, Node } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { DataType } from '../../ir/types.js';
import { ANY, AS_IS, type LayoutRule, orderOf } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import type { LoweringRule, LoweringRules } from './rule.js';

const reshaping: LoweringRule = { layout: layoutOfReshape, lower: lowerReshape };

export const reshapeRules: LoweringRules = {
  Reshape: reshaping,
  Flatten: reshaping,
  Squeeze: reshaping,
  Unsqueeze: reshaping,
  Transpose: { layout: layoutOfTranspose, lower: lowerTranspose },
  Shape: { layout: AS_IS, lower: lowerShape },
  Size: {
    layout: AS_IS,
    lower: (node) => node.giveConstant(Tensor.encode('i32', [], [node.shape().reduce((a, b) => a * b, 1)])),
  },
  ConstantOfShape: { layout: AS_IS, lower: lowerConstantOfShape },
  Range: { layout: AS_IS, lower: lowerRange, limits: 'of constants' },
};

/** Where batch and channels stay axes of their own, only spatial axes are merged or split, in either layout alike. */
function layoutOfReshape(node: Node, graph: Graph): LayoutRule {
  const [before, after] = [node.inputs[0], node.outputs[0]].map((value) => graph.type(value).shape ?? []);
  const isSpatial = before.length > 2 && after.length > 2 && before[0] === after[0] && before[1] === after[1];
  return isSpatial ? ANY : AS_IS;
}

function lowerReshape(node: NodeLowering): void {
  const tensor = node.constant(0);
  if (tensor) node.giveConstant(tensor.reshape(node.outputShape()));
  else node.give(node.reshape(node.input(), node.arranged(node.outputShape())));
}

/** The way to channels last and back is what the layouts differ by: it moves nothing. All else is one move in any layout. */
function layoutOfTranspose(node: Node, graph: Graph): LayoutRule {
  const rank = graph.type(node.inputs[0]).shape?.length ?? 0;
  const order = orderOf(rank, 'last');
  const perm = permutation(node.attributes.perm as readonly number[] | undefined, rank);
  if (rank < 3) return AS_IS;
  if (perm.join() === order.join()) return { inputs: 'last', outputs: 'as-is' };
  return perm.every((axis, place) => order[axis] === place) ? { inputs: 'as-is', outputs: 'last' } : ANY;
}

function permutation(perm: readonly number[] | undefined, rank: number): readonly number[] {
  return perm ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
}

function lowerTranspose(node: NodeLowering): void {
  const { rank } = node;
  const perm = permutation(node.list('perm'), rank);
  const tensor = node.constant(0);
  if (tensor) node.giveConstant(tensor.permute(perm));
  else
    node.give(
      node.transpose(
        node.input(),
        orderOf(rank, node.outputLayout).map((axis) => node.axis(perm[axis])),
      ),
    );
}

function lowerShape(node: NodeLowering): void {
  const sizes = node.shape().slice(node.number('start'), node.attributes.end as number | undefined);
  node.giveConstant(Tensor.encode('i32', [sizes.length], sizes));
}

function lowerConstantOfShape(node: NodeLowering): void {
  const value = node.attributes.value as Tensor | undefined;
  const dtype: DataType = value?.dtype ?? 'f32';
  const shape = node.outputShape();
  const one = (value ?? Tensor.encode('f32', [1], [0])).reshape(shape.map(() => 1));
  const whole = shape.reduce((tensor, size, axis) => tensor.take(axis, Array<number>(size).fill(0)), one);
  node.giveConstant(dtype === 'i64' ? Tensor.encode('i32', shape, whole.toNumbers()) : whole);
}

function lowerRange(node: NodeLowering): void {
  const [start, , delta] = [0, 1, 2].map((input) => node.requireConstant(input).toNumbers()[0]);
  const [count] = node.outputShape();
  const values = Array.from({ length: count }, (_, i) => start + i * delta);
  node.giveConstant(Tensor.encode(node.outputType(), [count], values));
}
