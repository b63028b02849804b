import type { Graph, Node } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import type { AxisRef } from '../ops/op.js';

/** A node that makes channels out of channels by a constant weight: what users call a layer. */
export interface Layer {
  readonly node: Node;
  readonly weight: { readonly name: string; readonly tensor: Tensor };
  /** The weight's axis that holds output channels, and the one that holds input channels (within a group). */
  readonly outAxis: number;
  readonly inAxis: number;
  /** The channel axis of the node's output value. */
  readonly channels: AxisRef;
  /** A convolution with spatial axes, as against a matrix product. */
  readonly isConvolution: boolean;
}

/** The layers of a graph, in order. */
export function layersOf(graph: Graph): Layer[] {
  return graph.nodes.flatMap((node) => layerOf(graph, node) ?? []);
}

function layerOf(graph: Graph, node: Node): Layer | undefined {
  const axes = weightAxes(graph, node);
  const tensor = axes && graph.constants.get(node.inputs[1]);
  if (!axes || !tensor || tensor.shape.length < 2) return undefined;
  const isConvolution = node.op === 'Conv' || node.op === 'ConvTranspose';
  const rank = graph.type(node.outputs[0]).shape?.length ?? 0;
  const channels = { value: node.outputs[0], axis: isConvolution ? 1 : rank - 1 };
  return { node, weight: { name: node.inputs[1], tensor }, ...axes, channels, isConvolution };
}

function weightAxes(graph: Graph, node: Node): { outAxis: number; inAxis: number } | undefined {
  switch (node.op) {
    case 'Conv':
      return { outAxis: 0, inAxis: 1 };
    case 'ConvTranspose':
      return { outAxis: 1, inAxis: 0 };
    case 'Gemm':
      return node.attributes.transB ? { outAxis: 0, inAxis: 1 } : { outAxis: 1, inAxis: 0 };
    case 'MatMul':
      return graph.type(node.inputs[1]).shape?.length === 2 ? { outAxis: 1, inAxis: 0 } : undefined;
    default:
      return undefined;
  }
}
