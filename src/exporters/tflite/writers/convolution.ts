import { PADDINGS } from '../../../formats/tflite/schema.js';
import type { Padding } from '../../lowering/operations.js';
import { activationCode, type Call, type GraphWriter, options, type Writer } from '../graph-writer.js';

const conv2d: Writer<'conv2d'> = ({ inputs, output, strides, dilations, padding, activation }, graph) => ({
  op: 'CONV_2D',
  inputs: withBias(inputs, output, graph),
  options: options('Conv2D', [
    [0, 'byte', paddingCode(padding)],
    [1, 'int32', strides[1]],
    [2, 'int32', strides[0]],
    [3, 'byte', activationCode(activation)],
    [4, 'int32', dilations[1]],
    [5, 'int32', dilations[0]],
  ]),
});

const depthwiseConv2d: Writer<'depthwiseConv2d'> = (operation, graph) => {
  const { inputs, output, strides, dilations, padding, multiplier, activation } = operation;
  return {
    op: 'DEPTHWISE_CONV_2D',
    // The first version has no dilation.
    version: dilations.some((dilation) => dilation > 1) ? 2 : 1,
    inputs: withBias(inputs, output, graph),
    options: options('DepthwiseConv2D', [
      [0, 'byte', paddingCode(padding)],
      [1, 'int32', strides[1]],
      [2, 'int32', strides[0]],
      [3, 'int32', multiplier],
      [4, 'byte', activationCode(activation)],
      [5, 'int32', dilations[1]],
      [6, 'int32', dilations[0]],
    ]),
  };
};

const transposeConv2d: Writer<'transposeConv2d'> = ({ inputs, output, strides, padding }, graph) => ({
  op: 'TRANSPOSE_CONV',
  // A bias came with version 3.
  version: inputs.length > 2 ? 3 : 1,
  inputs: backward(inputs, output, graph),
  options: options('TransposeConv', [
    [0, 'byte', paddingCode(padding)],
    [1, 'int32', strides[1]],
    [2, 'int32', strides[0]],
  ]),
});

const conv3d: Writer<'conv3d'> = ({ inputs, output, strides, dilations, padding, activation }, graph) => ({
  op: 'CONV_3D',
  inputs: withBias(inputs, output, graph),
  options: conv3dOptions(strides, dilations, padding, activationCode(activation)),
});

const transposeConv3d: Writer<'transposeConv3d'> = ({ inputs, output, strides, padding }, graph) => ({
  op: 'CONV_3D_TRANSPOSE',
  inputs: backward(inputs, output, graph),
  options: conv3dOptions(strides, [1, 1, 1], padding, 0),
});

function conv3dOptions(
  strides: readonly number[],
  dilations: readonly number[],
  padding: Padding,
  activation: number,
): Call['options'] {
  return options('Conv3D', [
    [0, 'byte', paddingCode(padding)],
    [1, 'int32', strides[0]],
    [2, 'int32', strides[2]],
    [3, 'int32', strides[1]],
    [4, 'byte', activation],
    [5, 'int32', dilations[0]],
    [6, 'int32', dilations[2]],
    [7, 'int32', dilations[1]],
  ]);
}

/** Some interpreters want a bias of every convolution. */
function withBias([x, filter, bias]: readonly string[], output: string, graph: GraphWriter): number[] {
  const channels = graph.shape(output).at(-1) ?? 0;
  const added = bias === undefined ? graph.floats(`${output}/bias`, Array<number>(channels).fill(0)) : graph.read(bias);
  return [graph.read(x), graph.read(filter), added];
}

/** Transposed convolutions are told the shape of their output. */
function backward([x, filter, bias]: readonly string[], output: string, graph: GraphWriter): number[] {
  const shape = graph.integers(`${output}/shape`, graph.shape(output));
  return [shape, graph.read(filter), graph.read(x), ...(bias === undefined ? [] : [graph.read(bias)])];
}

/** Explicit padding is an operation of its own for this target. */
export function paddingCode(padding: Padding): number {
  if (typeof padding === 'string') return PADDINGS[padding];
  throw new Error('TFLite has no operator with explicit padding');
}

export const convolutionWriters = { conv2d, depthwiseConv2d, transposeConv2d, conv3d, transposeConv3d };
