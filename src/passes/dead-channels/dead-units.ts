import type { ChannelAnalysis, ChannelClass, Unit } from '../../analysis/channels.js';
import type { Layer } from '../../analysis/layers.js';
import type { Graph, Node, Reader } from '../../ir/graph.js';
import { operators } from '../../ops/index.js';
import { biasOf, type ChannelConstants, isUnpadded } from './constant-channels.js';
import { groupsOf, type ZeroSlices } from './zero-slices.js';

/** What is known of the graph's channels. */
export interface ChannelFacts {
  readonly graph: Graph;
  readonly layers: ReadonlyMap<Node, { readonly layer: Layer; readonly zero: ZeroSlices }>;
  readonly constants: ChannelConstants;
}

/** A constant that an input channel of a layer always is, and that its bias must say when the channel goes. */
export interface MovedConstant {
  readonly layer: Layer;
  readonly channel: number;
  readonly constant: number;
}

/** A unit without which the network computes the same, once the constants are moved. */
export interface DeadUnit {
  readonly channelClass: ChannelClass;
  readonly unit: Unit;
  readonly moved: readonly MovedConstant[];
}

/** The dead units of all classes; one unit of each class stays in any case. */
export function deadUnits(facts: ChannelFacts, { classes }: ChannelAnalysis): DeadUnit[] {
  const made = new Set([...facts.layers.values()].map(({ layer }) => layer.channels.value));
  return classes.flatMap((channelClass) => {
    if (!channelClass.axes.some(({ value }) => made.has(value))) return [];
    const dead = channelClass.units.flatMap((unit) => {
      const moved = lostWith(facts, channelClass, unit);
      return moved ? [{ channelClass, unit, moved }] : [];
    });
    return dead.length === channelClass.units.length ? dead.slice(1) : dead;
  });
}

/** The constants to be moved when the unit goes; undefined where more than constants would be lost. */
function lostWith(facts: ChannelFacts, channelClass: ChannelClass, unit: Unit): MovedConstant[] | undefined {
  const moved: MovedConstant[] = [];
  for (const [position, { value, axis }] of channelClass.axes.entries()) {
    if (facts.graph.constants.has(value)) continue;
    for (const reader of facts.graph.readers(value)) {
      if (worksChannelByChannel(reader.node.op)) continue;
      const lost = lostIn(facts, reader, axis, unit.coordinates[position], outputsOf(channelClass, unit, reader.node));
      if (!lost) return undefined;
      moved.push(...lost);
    }
  }
  return moved;
}

/** The unit's own channels among the outputs of a node. */
function outputsOf({ axes }: ChannelClass, { coordinates }: Unit, node: Node): ReadonlySet<number> {
  const at = axes.findIndex(({ value, axis }) => value === node.outputs[0] && axis === 1);
  return new Set(at < 0 ? [] : coordinates[at]);
}

/** What a layer loses with input channels; undefined where it cannot do without. */
function lostIn(
  { graph, layers, constants }: ChannelFacts,
  { node, index }: Reader,
  axis: number,
  channels: readonly number[],
  ownOutputs: ReadonlySet<number>,
): MovedConstant[] | undefined {
  const entry = layers.get(node);
  if (!entry || index !== 0) return undefined;
  const { layer, zero } = entry;
  if (axis !== contractedAxis(graph, node)) return [];
  const values = axis === 1 ? constants.get(node.inputs[0]) : undefined;
  const moved: MovedConstant[] = [];
  for (const channel of channels) {
    const constant = values?.[channel] ?? Number.NaN;
    if (zero.read[channel] || constant === 0 || goesWithItsOutputs(layer, zero, channel, ownOutputs)) continue;
    if (Number.isNaN(constant) || !canMove(graph, layer, zero)) return undefined;
    moved.push({ layer, channel, constant });
  }
  return moved;
}

function contractedAxis(graph: Graph, { op, inputs, attributes }: Node): number {
  if (op === 'MatMul') return (graph.type(inputs[0]).shape?.length ?? 0) - 1;
  return op === 'Gemm' && attributes.transA ? 0 : 1;
}

/** Whether all outputs that read the channel (those of its group) belong to the unit too, as in depthwise convolutions. */
function goesWithItsOutputs({ node }: Layer, zero: ZeroSlices, channel: number, ownOutputs: ReadonlySet<number>) {
  const groups = groupsOf(node);
  const [inputs, outputs] = [zero.read.length / groups, zero.made.length / groups];
  const first = Math.floor(channel / inputs) * outputs;
  for (let o = first; o < first + outputs; o++) if (!ownOutputs.has(o)) return false;
  return true;
}

/** W·(x + c) + b = W·x + (b + W·c) needs a bias, and every output to sum over all taps. */
function canMove(graph: Graph, { node }: Layer, { made }: ZeroSlices): boolean {
  const { alpha = 1 } = node.attributes;
  const isEven = node.op === 'Gemm' ? alpha === 1 : node.op === 'Conv' && isUnpadded(graph, node);
  return isEven && biasOf(graph, node, made.length) !== undefined;
}

/** Operators that ties follow and that use a channel for nothing but the same channel of their output. */
const CHANNEL_BY_CHANNEL: ReadonlySet<string> = new Set([
  'ArgMax',
  'ArgMin',
  'AveragePool',
  'BatchNormalization',
  'Concat',
  'DepthToSpace',
  'Expand',
  'Flatten',
  'Gather',
  'GlobalAveragePool',
  'GlobalLpPool',
  'GlobalMaxPool',
  'GridSample',
  'InstanceNormalization',
  'LogSoftmax',
  'LpPool',
  'MaxPool',
  'Pad',
  'ReduceL2',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSum',
  'Reshape',
  'Resize',
  'Shape',
  'Slice',
  'Softmax',
  'SpaceToDepth',
  'Split',
  'Squeeze',
  'Tile',
  'Transpose',
  'Unsqueeze',
]);

function worksChannelByChannel(op: string): boolean {
  return CHANNEL_BY_CHANNEL.has(op) || (operators.get(op)?.facts?.includes('elementwise') ?? false);
}
