import type { ReduceFunction } from '../../lowering/operations.js';
import type { Writer } from '../graph-writer.js';
import { fromSingles } from './convert.js';

const REDUCE = {
  mean: 'Mean',
  sum: 'Sum',
  max: 'Max',
  min: 'Min',
  product: 'Prod',
} as const satisfies Record<ReduceFunction, string>;

const reduce: Writer<'reduce'> = ({ function: name, inputs: [x], output, axes, keepDims }, graph) => {
  const call = {
    op: REDUCE[name],
    inputs: [graph.read(x), graph.integers(`${output}/axes`, axes)],
    attributes: { keep_dims: { b: keepDims } },
  };
  return name === 'mean' ? fromSingles(call, graph.type(output), output, graph) : call;
};

const argument: Writer<'argument'> = ({ function: name, inputs: [x], output, axis }, graph) => ({
  op: name === 'max' ? 'ArgMax' : 'ArgMin',
  inputs: [graph.read(x), graph.integer(`${output}/axis`, axis)],
});

export const reduceWriters = { reduce, argument };
