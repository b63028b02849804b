import { describe, expect, it } from 'vitest';
import type { Graph } from '../../../src/ir/graph.js';
import { scoreOutputs } from '../../../src/training/score-outputs.js';
import { Net } from '../../support/patterns-net.js';

/** A convolution to scores of `channels` at 8x8, and what stands behind it. */
function network(
  channels: number,
  behind: (net: Net, scores: string) => string | string[],
  shape = [2, 1, 8, 8],
): Graph {
  const net = new Net('net', 1);
  const scores = net.conv(net.input(shape), channels);
  return net.build(...[behind(net, scores)].flat());
}

const read = (graph: Graph, kind: 'scores' | 'values' = 'scores') =>
  scoreOutputs(graph, () => kind).map(({ scores, reading }) => [scores, reading]);

const transposed = (net: Net, x: string, perm = [0, 2, 3, 1]) => net.op('Transpose', [x], { perm });
const reshaped = (net: Net, x: string, shape: number[]) => net.op('Reshape', [x, net.integers(shape)]);
const softmax = (net: Net, x: string, axis = 1) => net.op('Softmax', [x], { axis });

describe('scores lie', () => {
  it.each<[what: string, channels: number, behind: (net: Net, scores: string) => string, reading: string]>([
    ['before a sigmoid', 1, (net, x) => net.sigmoid(x), 'binary'],
    ['before a sigmoid of several channels', 3, (net, x) => net.sigmoid(x), 'binary'],
    ['before a softmax', 3, (net, x) => softmax(net, x), 'classes'],
    [
      'before a softmax that stands before an argmax',
      3,
      (net, x) => net.op('ArgMax', [softmax(net, x)], { axis: 1 }),
      'classes',
    ],
    ['before an argmax', 3, (net, x) => net.op('ArgMax', [x], { axis: 1, keepdims: 0 }), 'classes'],
    ['before a logarithm of a softmax', 3, (net, x) => net.op('LogSoftmax', [x], { axis: -3 }), 'classes'],
    ['at the output: one channel', 1, (_, x) => x, 'binary'],
    ['at the output: several channels', 3, (_, x) => x, 'classes'],
    ['before a copy', 3, (net, x) => net.op('Identity', [x]), 'classes'],
    ['before channels go last', 3, (net, x) => softmax(net, transposed(net, x), -1), 'classes'],
    ['before channels go last behind the softmax', 3, (net, x) => transposed(net, softmax(net, x)), 'classes'],
    ['before channels go last and a sigmoid', 1, (net, x) => net.sigmoid(transposed(net, x)), 'binary'],
    ['before channels go last without a function', 3, (net, x) => transposed(net, x), 'classes'],
    ['before positions go in a row', 3, (net, x) => softmax(net, reshaped(net, x, [2, 3, 64])), 'classes'],
    [
      'before positions go in a row behind the channels',
      3,
      (net, x) => softmax(net, transposed(net, reshaped(net, x, [2, 3, 64]), [0, 2, 1]), 2),
      'classes',
    ],
    [
      'before channels go last and positions in a row',
      3,
      (net, x) => softmax(net, reshaped(net, transposed(net, x), [2, 64, 3]), 2),
      'classes',
    ],
    ['before a flattened sigmoid', 1, (net, x) => net.sigmoid(reshaped(net, x, [2, 64])), 'binary'],
  ])('%s', (_, channels, behind, reading) => {
    expect(read(network(channels, behind))).toEqual([['conv1', reading]]);
  });

  it('behind a shuffle of channels to pixels', () => {
    const graph = network(4, (net, x) => {
      const parts = reshaped(net, x, [2, 1, 2, 2, 8, 8]);
      return net.sigmoid(reshaped(net, transposed(net, parts, [0, 1, 4, 2, 5, 3]), [2, 1, 16, 16]));
    });
    expect(read(graph)).toEqual([['reshape2', 'binary']]);
  });

  it('at the output where that is values', () => {
    expect(
      read(
        network(2, (net, x) => net.op('Tanh', [x])),
        'values',
      ),
    ).toEqual([['tanh1', 'values']]);
  });

  it('in three dimensions and in one', () => {
    expect(read(network(2, (net, x) => softmax(net, x), [1, 1, 4, 4, 4]))).toEqual([['conv1', 'classes']]);
    expect(read(network(1, (net, x) => net.sigmoid(x), [1, 1, 16]))).toEqual([['conv1', 'binary']]);
  });

  it('before each of several outputs, at their own resolutions', () => {
    const graph = network(1, (net, x) => [net.sigmoid(x), net.sigmoid(net.conv(net.maxPool(x), 1))]);
    expect(read(graph)).toEqual([
      ['conv1', 'binary'],
      ['conv2', 'binary'],
    ]);
  });
});

describe('outputs that are no maps are refused by name', () => {
  it.each<[what: string, behind: (net: Net, scores: string) => string]>([
    ['a class of the whole image', (net, x) => softmax(net, net.linear(reshaped(net, x, [2, 192]), 5))],
    ['a softmax over positions', (net, x) => softmax(net, x, 2)],
  ])('%s', (_, behind) => {
    expect(() => read(network(3, behind))).toThrow(/cannot distil 'softmax1': its scores '.*' are no maps of channels/);
  });
});
