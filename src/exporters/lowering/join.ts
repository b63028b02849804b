import type { Graph, Node } from '../../ir/graph.js';
import { normalizeAxis } from '../../ops/op.js';
import { ANY, AS_IS, arranged, CHANNELS_LAST, type LayoutRule } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import { layoutWithout } from './reduce.js';
import type { LoweringRules } from './rule.js';

export const joinRules: LoweringRules = {
  Concat: { layout: ANY, lower: lowerConcat },
  Split: { layout: ANY, lower: lowerSplit },
  Gather: { layout: layoutOfGather, lower: lowerGather },
  DepthToSpace: { layout: CHANNELS_LAST, lower: lowerDepthToSpace },
  SpaceToDepth: { layout: CHANNELS_LAST, lower: lowerSpaceToDepth },
};

function lowerConcat(node: NodeLowering): void {
  const parts = node.node.inputs.map((_, index) => node.input(index));
  node.give(node.concat(parts, node.axis(node.number('axis'))));
}

function lowerSplit(node: NodeLowering): void {
  const x = node.input();
  const axis = node.axis(node.number('axis'));
  const shape = node.shapeOf(x);
  const { outputs } = node.node;
  const equal = Math.ceil(shape[axis] / outputs.length);
  const sizes = node.numbers(1) ?? outputs.map((_, i) => Math.min(equal, shape[axis] - i * equal));
  let start = 0;
  for (const [output, size] of sizes.entries()) {
    const begin = shape.map((_, i) => (i === axis ? start : 0));
    const extents = shape.map((extent, i) => (i === axis ? size : extent));
    if (node.isRead(output)) node.give(node.slice(x, begin, extents), output);
    start += size;
  }
}

/** Only a list of indices leaves the number of axes as it is; by a single one the axis goes. */
function layoutOfGather(node: Node, graph: Graph): LayoutRule {
  const [data, indices] = node.inputs.map((input) => graph.type(input).shape?.length ?? 0);
  if (indices === 1) return ANY;
  const axis = normalizeAxis((node.attributes.axis as number | undefined) ?? 0, data);
  return indices === 0 ? layoutWithout([axis], data) : AS_IS;
}

function lowerGather(node: NodeLowering): void {
  const rank = node.shape().length;
  const axis = node.axis(node.number('axis'), rank);
  const size = node.shape()[normalizeAxis(node.number('axis'), rank)];
  const shape = arranged(node.outputShape(), node.outputLayout);
  const indices = node.constant(1);
  if (!indices) {
    node.give(node.apply('gather', [node.input(), fromFront(node, node.input(1), size)], { axis }, shape));
    return;
  }
  const chosen = Array.from(indices.toNumbers() as ArrayLike<number>, (index) => (index < 0 ? index + size : index));
  node.give(node.reshape(taken(node, node.input(), chosen, axis), shape));
}

/** Computed indices; those below zero count from the end. */
function fromFront(node: NodeLowering, given: string, size: number): string {
  const indices = node.cast(given, 'i32');
  const isNegative = node.cast(node.binary('less', indices, node.scalar(0, indices)), 'i32');
  return node.binary('add', indices, node.binary('multiply', isNegative, node.scalar(size, indices)));
}

/** Elements of an axis: those that follow one another are a slice. */
export function taken(node: NodeLowering, x: string, indices: readonly number[], axis: number): string {
  const [first] = indices;
  if (!indices.every((index, i) => index === first + i)) return node.gather(x, indices, axis);
  const shape = node.shapeOf(x);
  return node.slice(
    x,
    shape.map((_, i) => (i === axis ? first : 0)),
    shape.map((extent, i) => (i === axis ? indices.length : extent)),
  );
}

function lowerDepthToSpace(node: NodeLowering): void {
  const blockSize = node.number('blocksize');
  const [batch, channels, ...spatial] = node.outputShape();
  const made = [batch, ...spatial, channels];
  if (node.text('mode') === 'DCR') {
    node.give(node.apply('depthToSpace', [node.input()], { blockSize }, made));
    return;
  }
  // Here the places of the block are the fast part of the channel number, which no format has an operation for.
  const [, , height, width] = node.shape();
  const apart = node.reshape(node.input(), [batch * height, width, channels, blockSize, blockSize]);
  node.give(node.reshape(node.transpose(apart, [0, 3, 1, 4, 2]), made));
}

function lowerSpaceToDepth(node: NodeLowering): void {
  const [batch, channels, ...spatial] = node.outputShape();
  const attributes = { blockSize: node.number('blocksize') };
  node.give(node.apply('spaceToDepth', [node.input()], attributes, [batch, ...spatial, channels]));
}
