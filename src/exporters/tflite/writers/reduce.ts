import { TENSOR_TYPES } from '../../../formats/tflite/schema.js';
import type { ReduceFunction } from '../../lowering/operations.js';
import { activationCode, options, type Writer } from '../graph-writer.js';
import { paddingCode } from './convolution.js';
import { readAll } from './elements.js';

const REDUCTIONS: Readonly<Record<ReduceFunction, string>> = {
  mean: 'MEAN',
  sum: 'SUM',
  max: 'REDUCE_MAX',
  min: 'REDUCE_MIN',
  product: 'REDUCE_PROD',
};

const reduce: Writer<'reduce'> = ({ function: name, inputs: [x], output, axes, keepDims }, graph) => ({
  op: REDUCTIONS[name],
  inputs: [graph.read(x), graph.integers(`${output}/axes`, axes)],
  options: options('Reducer', [[0, 'bool', keepDims]]),
});

const argument: Writer<'argument'> = ({ function: name, inputs: [x], output, axis }, graph) => ({
  op: name === 'max' ? 'ARG_MAX' : 'ARG_MIN',
  inputs: [graph.read(x), graph.integers(`${output}/axis`, [axis], [])],
  options: options(name === 'max' ? 'ArgMax' : 'ArgMin', [[0, 'byte', TENSOR_TYPES.int32]]),
});

const pool2d: Writer<'pool2d'> = ({ function: name, inputs, window, strides, padding }, graph) => ({
  op: name === 'max' ? 'MAX_POOL_2D' : 'AVERAGE_POOL_2D',
  inputs: readAll(inputs, graph),
  options: options('Pool2D', [
    [0, 'byte', paddingCode(padding)],
    [1, 'int32', strides[1]],
    [2, 'int32', strides[0]],
    [3, 'int32', window[1]],
    [4, 'int32', window[0]],
    [5, 'byte', 0],
  ]),
});

const resize2d: Writer<'resize2d'> = (operation, graph) => {
  const { method, inputs, output, size, alignCorners, halfPixelCenters } = operation;
  const isNearest = method === 'nearest';
  // The two tables differ by two fields of the first that are no more in use.
  const first = isNearest ? 0 : 2;
  return {
    op: isNearest ? 'RESIZE_NEAREST_NEIGHBOR' : 'RESIZE_BILINEAR',
    // Centers of pixels came with version 3.
    version: halfPixelCenters ? 3 : 1,
    inputs: [graph.read(inputs[0]), graph.integers(`${output}/size`, size)],
    options: options(isNearest ? 'ResizeNearestNeighbor' : 'ResizeBilinear', [
      [first, 'bool', alignCorners],
      [first + 1, 'bool', halfPixelCenters],
    ]),
  };
};

const matMul: Writer<'matMul'> = ({ inputs }, graph) => ({
  op: 'BATCH_MATMUL',
  inputs: readAll(inputs, graph),
  options: options('BatchMatMul', [
    [0, 'bool', false],
    [1, 'bool', false],
  ]),
});

const fullyConnected: Writer<'fullyConnected'> = ({ inputs: [x, weights, bias], output, activation }, graph) => {
  const [outputs] = graph.shape(weights);
  const added = bias === undefined ? graph.floats(`${output}/bias`, Array<number>(outputs).fill(0)) : graph.read(bias);
  // Without the fifth version the result has two axes.
  const keepsAxes = graph.shape(x).length > 2;
  return {
    op: 'FULLY_CONNECTED',
    version: keepsAxes ? 5 : 1,
    inputs: [graph.read(x), graph.read(weights), added],
    options: options('FullyConnected', [
      [0, 'byte', activationCode(activation)],
      [1, 'byte', 0],
      [2, 'bool', keepsAxes],
    ]),
  };
};

export const reduceWriters = { reduce, argument, pool2d, resize2d, matMul, fullyConnected };
