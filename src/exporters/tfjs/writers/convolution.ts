import { integers, type TfjsAttributes, text } from '../../../formats/tfjs/model.js';
import type { OperationOf, Padding } from '../../lowering/operations.js';
import type { Call, GraphWriter, Writer } from '../graph-writer.js';
import { activated, fusedAttributes } from './activation.js';

const conv2d: Writer<'conv2d'> = (operation, graph) => {
  const [, filter] = operation.inputs;
  // [O,h,w,C] becomes [h,w,C,O].
  return convolve(operation, graph, graph.permuted(filter, [1, 2, 3, 0]), ['Conv2D', '_FusedConv2D']);
};

const depthwiseConv2d: Writer<'depthwiseConv2d'> = (operation, graph) => {
  const [, filter] = operation.inputs;
  const [, height, width, channels] = graph.shape(filter);
  const shape = [height, width, channels / operation.multiplier, operation.multiplier];
  const operators = ['DepthwiseConv2dNative', 'FusedDepthwiseConv2dNative'] as const;
  return convolve(operation, graph, graph.reshaped(filter, shape), operators);
};

function convolve(
  { inputs: [x, , bias], output, strides, dilations, padding, activation }: OperationOf<'conv2d' | 'depthwiseConv2d'>,
  graph: GraphWriter,
  filter: string,
  [plain, fused]: readonly [string, string],
): Call {
  const attributes = { ...slidingAttributes(strides, dilations), ...paddingAttributes(padding) };
  if (bias === undefined && !activation) return { op: plain, inputs: [graph.read(x), filter], attributes };
  const channels = graph.shape(output)[3];
  // The fused operators take an activation only together with a bias.
  const added = bias === undefined ? graph.floats(`${output}/bias`, Array(channels).fill(0)) : graph.read(bias);
  return {
    op: fused,
    inputs: [graph.read(x), filter, added],
    attributes: { ...attributes, ...fusedAttributes(activation) },
  };
}

/** `valid` gives the full output; TensorFlow has this as the gradient of a convolution. */
const transposeConv2d: Writer<'transposeConv2d'> = ({ inputs, output, strides, padding }, graph) => {
  const [x, filter, bias] = inputs;
  const shape = graph.integers(`${output}/shape`, graph.shape(output));
  const call = {
    op: 'Conv2DBackpropInput',
    // [O,h,w,C] becomes [h,w,O,C].
    inputs: [shape, graph.permuted(filter, [1, 2, 0, 3]), graph.read(x)],
    attributes: {
      ...slidingAttributes(
        strides,
        strides.map(() => 1),
      ),
      ...paddingAttributes(padding),
    },
  };
  return withBias(call, bias, output, graph);
};

const conv3d: Writer<'conv3d'> = ({ inputs, output, strides, dilations, padding, activation }, graph) => {
  const [x, filter, bias] = inputs;
  const isExplicit = typeof padding === 'object';
  const call = {
    op: 'Conv3D',
    inputs: [isExplicit ? zeroPadded(x, padding, output, graph) : graph.read(x), graph.read(filter)],
    attributes: {
      ...slidingAttributes(strides, dilations, 'NDHWC'),
      ...paddingAttributes(isExplicit ? 'valid' : padding),
    },
  };
  return activated(graph, `${output}/sum`, withBias(call, bias, output, graph), activation);
};

function zeroPadded(x: string, { before, after }: Exclude<Padding, string>, base: string, graph: GraphWriter): string {
  const pairs = [0, 0, ...before.flatMap((count, axis) => [count, after[axis]]), 0, 0];
  const paddings = graph.integers(`${base}/paddings`, pairs, [pairs.length / 2, 2]);
  return graph.add(`${base}/padded`, { op: 'Pad', inputs: [graph.read(x), paddings] });
}

function withBias(call: Call, bias: string | undefined, output: string, graph: GraphWriter): Call {
  if (bias === undefined) return call;
  return { op: 'BiasAdd', inputs: [graph.add(`${output}/product`, call), graph.read(bias)] };
}

/** One number for every axis of the value, channels last. */
function slidingAttributes(
  strides: readonly number[],
  dilations: readonly number[],
  format: 'NHWC' | 'NDHWC' = 'NHWC',
): TfjsAttributes {
  return {
    strides: integers([1, ...strides, 1]),
    dilations: integers([1, ...dilations, 1]),
    data_format: text(format),
  };
}

function paddingAttributes(padding: Padding): TfjsAttributes {
  if (typeof padding === 'string') return { padding: text(padding.toUpperCase()) };
  const { before, after } = padding;
  const pairs = [0, 0, ...before.flatMap((count, axis) => [count, after[axis]]), 0, 0];
  return { padding: text('EXPLICIT'), explicit_paddings: integers(pairs) };
}

export const convolutionWriters = { conv2d, depthwiseConv2d, transposeConv2d, conv3d };
