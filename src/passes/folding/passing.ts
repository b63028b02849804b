import type { Graph, Node } from '../../ir/graph.js';
import { operators } from '../../ops/index.js';
import { type ChannelAffine, isZeroShift } from './affine.js';

/** Why f(s·x + t) is not s·f(x) + t (or s·f(x), where t is 0), for the node f; undefined where it is. */
export function refusal(graph: Graph, node: Node, { scale, shift }: ChannelAffine): string | undefined {
  const name = `${node.op} '${node.name}'`;
  if (isLinearMean(node) || isCrop(graph, node)) return undefined;
  if (!isMaximum(node) && !isHomogeneous(node)) return `${name} does not let it pass`;
  if (!isMaximum(node) && !isZeroShift(shift)) return `${name} lets no shift pass`;
  return scale.every((value) => value > 0) ? undefined : `${name} lets only positive scales pass`;
}

/** Weights that sum to one over values of one channel, or nothing done at all. */
function isLinearMean({ op, attributes }: Node): boolean {
  switch (op) {
    case 'Identity':
    case 'Dropout':
    case 'GlobalAveragePool':
      return true;
    case 'AveragePool':
      return !attributes.count_include_pad;
    case 'Resize':
      // Outside of a crop region stands a number of its own.
      return attributes.coordinate_transformation_mode !== 'tf_crop_and_resize';
    default:
      return false;
  }
}

/** A Slice of other axes than the channels'. */
function isCrop(graph: Graph, { op, inputs }: Node): boolean {
  const rank = graph.type(inputs[0]).shape?.length;
  const axes = graph.constants.get(inputs[3] ?? '')?.toFloat64();
  if (op !== 'Slice' || rank === undefined || !axes) return false;
  return axes.every((axis) => (axis < 0 ? axis + rank : axis) !== 1);
}

function isMaximum({ op, outputs }: Node): boolean {
  return op === 'GlobalMaxPool' || (op === 'MaxPool' && outputs.length === 1);
}

function isHomogeneous({ op }: Node): boolean {
  const facts = operators.get(op)?.facts ?? [];
  return facts.includes('elementwise') && facts.includes('positively-homogeneous');
}

/** The channel counts of a concatenation along the channel axis, input by input; undefined for any other node. */
export function concatenatedChannels(graph: Graph, node: Node): number[] | undefined {
  const rank = graph.type(node.outputs[0]).shape?.length;
  if (node.op !== 'Concat' || rank === undefined) return undefined;
  const axis = node.attributes.axis as number;
  const channels = node.inputs.map((input) => graph.type(input).shape?.[1]);
  return (axis === 1 || axis + rank === 1) && channels.every((count) => typeof count === 'number')
    ? channels
    : undefined;
}
