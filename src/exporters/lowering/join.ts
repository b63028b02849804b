import type { Graph, Node } from '../../ir/graph.js';
import { normalizeAxis } from '../../ops/op.js';
import { ANY, AS_IS, CHANNELS_LAST, type LayoutRule } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
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
  let start = 0;
  for (const output of node.node.outputs.keys()) {
    const size = node.arranged(node.outputShape(output))[axis];
    const begin = shape.map((_, i) => (i === axis ? start : 0));
    const extents = shape.map((extent, i) => (i === axis ? size : extent));
    node.give(node.slice(x, begin, extents), output);
    start += size;
  }
}

/** Only a list of indices leaves the number of axes as it is. */
function layoutOfGather(node: Node, graph: Graph): LayoutRule {
  return graph.type(node.inputs[1]).shape?.length === 1 ? ANY : AS_IS;
}

function lowerGather(node: NodeLowering): void {
  const rank = node.shape().length;
  const axis = node.axis(node.number('axis'), rank);
  const indices = node.constant(1);
  const shape = node.arranged(node.outputShape());
  if (!indices) {
    const computed = node.cast(node.input(1), 'i32');
    node.give(node.apply('gather', [node.input(), computed], { axis }, shape));
    return;
  }
  const size = node.shape()[normalizeAxis(node.number('axis'), rank)];
  const chosen = Array.from(indices.toNumbers() as ArrayLike<number>, (index) => (index < 0 ? index + size : index));
  node.give(node.reshape(taken(node, node.input(), chosen, axis), shape));
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
  const places = blockSize * blockSize;
  // In the mode CRD the places of the block are the fast part of the channel number.
  const order = Array.from({ length: channels * places }, (_, i) => (i % channels) * places + Math.floor(i / channels));
  const x = node.text('mode') === 'CRD' ? taken(node, node.input(), order, 3) : node.input();
  node.give(node.apply('depthToSpace', [x], { blockSize }, [batch, ...spatial, channels]));
}

function lowerSpaceToDepth(node: NodeLowering): void {
  const [batch, channels, ...spatial] = node.outputShape();
  const attributes = { blockSize: node.number('blocksize') };
  node.give(node.apply('spaceToDepth', [node.input()], attributes, [batch, ...spatial, channels]));
}
