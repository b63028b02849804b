import { analyseChannels, type ChannelClass } from '../analysis/channels.js';
import { layersOf } from '../analysis/layers.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph, Node } from '../ir/graph.js';
import { copyNode } from '../ir/rewrite.js';
import { elementCount, Tensor } from '../ir/tensor.js';
import { operators } from '../ops/index.js';
import type { Pass } from './pass.js';

export interface AlignOptions {
  /** Widths go up to a multiple of this. */
  readonly multiple: number;
}

/**
 * Widens inner channels with zeros to a multiple that a runtime's kernels want.
 *
 * Before: Conv → 8 channels → depthwise Conv → Conv; after: the same with 16 channels, of which 8 are always zero.
 * Exact: a zero filter makes a zero channel, activations that keep zero and pools keep it, and zero columns ignore it.
 * Runtimes with channel-blocked layouts (ONNX Runtime on AVX-512: blocks of 16) compute whole blocks anyway, but leave
 * their fast kernels, and convert layouts, where a width is no multiple. Channels that a concatenation or a sum reads
 * are left as they are.
 */
export const alignChannels: Pass<AlignOptions> = {
  name: 'align-channels',
  summary: 'widens inner channels with zeros to a multiple',
  keeps: 'exact',
  run(graph, { multiple }, context) {
    const producers = new Map(layersOf(graph).map(({ node, channels }) => [channels.value, node.name]));
    const widths = new Map<string, { axis: number; width: number }>();
    for (const channelClass of analyseChannels(graph).classes) {
      const width = channelClass.units.length;
      const aligned = Math.ceil(width / multiple) * multiple;
      if (aligned === width || !isWidenable(graph, channelClass)) continue;
      for (const { value, axis } of channelClass.axes) {
        widths.set(`${axis} ${value}`, { axis, width: aligned });
        const layer = producers.get(value);
        if (layer !== undefined && axis === 1)
          context.note({ layer, action: 'widened', before: width, after: aligned });
      }
    }
    return widths.size ? widen(graph, widths, context.semantics) : graph;
  },
};

/** Operators through which a zero channel stays zero and changes nothing else. */
function keepsZeroChannels(node: Node): boolean {
  if (node.op === 'Conv' || node.op === 'MaxPool' || node.op === 'AveragePool') return true;
  const facts = operators.get(node.op)?.facts ?? [];
  return facts.includes('zero-preserving') && facts.includes('elementwise') && node.inputs.length === 1;
}

/** One coordinate a unit on every axis, and no axis that other channels share. */
function isWidenable(graph: Graph, { axes, units }: ChannelClass): boolean {
  const width = units.length;
  const isWhole = axes.every(({ value, axis }) => graph.type(value).shape?.[axis] === width);
  if (!isWhole || !units.every(({ coordinates }) => coordinates.every((list) => list.length === 1))) return false;
  return axes.every(({ value }) => {
    const maker = graph.producer(value);
    const users = graph.readers(value).map(({ node }) => node);
    return [...(maker ? [maker] : []), ...users].every((node) => keepsZeroChannels(node) && isPlain(graph, node));
  });
}

/** Dense or depthwise with one kernel a channel; what lies between would need its groups rearranged. */
function isPlain(graph: Graph, node: Node): boolean {
  const group = (node.attributes.group as number | undefined) ?? 1;
  if (node.op !== 'Conv' || group === 1) return true;
  return group === graph.type(node.inputs[0]).shape?.[1] && group === graph.type(node.outputs[0]).shape?.[1];
}

function widen(
  graph: Graph,
  widths: ReadonlyMap<string, { axis: number; width: number }>,
  semantics: ConstructorParameters<typeof GraphBuilder>[0],
): Graph {
  const builder = new GraphBuilder(semantics, graph);
  builder.reserve(graph.types.keys());
  for (const input of graph.inputs) builder.input(input, graph.type(input));
  for (const [name, tensor] of graph.constants) {
    const shape = tensor.shape.map((extent, axis) => widths.get(`${axis} ${name}`)?.width ?? extent);
    builder.constant(name, shape.join() === tensor.shape.join() ? tensor : padded(tensor, shape));
  }
  for (const node of graph.nodes) {
    const width = widths.get(`1 ${node.outputs[0]}`)?.width;
    const depthwise = node.op === 'Conv' && ((node.attributes.group as number | undefined) ?? 1) > 1;
    if (width && depthwise)
      builder.add({ ...node, attributes: { ...node.attributes, group: width }, origin: undefined });
    else copyNode(graph, node, builder);
  }
  return builder.build(graph.outputs);
}

/** The tensor in the corner of a larger one of zeros. */
function padded(tensor: Tensor, shape: readonly number[]): Tensor {
  const values = tensor.toFloat64();
  const out = new Float64Array(elementCount(shape));
  for (let from = 0; from < values.length; from++) {
    let rest = from;
    let to = 0;
    for (let axis = shape.length - 1, stride = 1; axis >= 0; stride *= shape[axis--]) {
      to += (rest % tensor.shape[axis]) * stride;
      rest = Math.floor(rest / tensor.shape[axis]);
    }
    out[to] = values[from];
  }
  return Tensor.encode(tensor.dtype, shape, out);
}
