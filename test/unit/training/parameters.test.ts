import { describe, expect, it } from 'vitest';
import type { Graph } from '../../../src/ir/graph.js';
import { withConstants } from '../../../src/ir/rewrite.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { semantics } from '../../../src/ops/index.js';
import { pack, parametersOf, unpack } from '../../../src/training/parameters.js';
import { Net } from '../../support/patterns-net.js';

/** A network with a constant of every kind. */
function network(): Graph {
  const net = new Net('kinds', 5);
  const number = (name: string, value: number) => net.constant(name, Tensor.floats([value], []));
  const image = net.op('Mul', [net.input([2, 1, 8, 8]), number('scaling', 1 / 255)]);
  const wide = net.relu(net.bn(net.conv(image, 4, { bias: true, weight: 'first' })));
  const slope = net.constant('slope', Tensor.floats([0.1, 0.2, 0.3, 0.4], [4, 1, 1]));
  const prelu = net.op('PRelu', [wide, slope]);
  const twice = net.conv(net.conv(prelu, 4, { weight: 'shared' }), 4, { weight: 'shared' });
  const biased = net.op('Add', [twice, net.perChannel(twice, 'bias')]);
  const gated = net.op('Mul', [biased, net.perChannel(biased, 'gate')]);
  const half = net.op('Add', [gated, number('half', 0.5)]);
  const instance = net.instanceNorm(net.up(net.maxPool(half), 4));
  const flat = net.op('Reshape', [instance, net.integers([2, 256], 'flat')]);
  const summed = net.linear(net.op('MatMul', [flat, net.normals('projection', [256, 8])]), 3);
  return net.build(net.op('Reshape', [summed, net.integers([2, 3, 1, 1], 'back')]));
}

const KERNELS = ['first', 'shared', 'up1.weight', 'projection', 'linear1.weight'];
const OTHERS = [
  'conv1.bias',
  'bn1.weight',
  'bn1.bias',
  'slope',
  'bias1',
  'gate1',
  'up1.bias',
  'in1.weight',
  'in1.bias',
  'linear1.bias',
];

describe('parametersOf', () => {
  it('takes what a network has learnt, kernels first, each once', () => {
    const layout = parametersOf(network());
    expect(layout.parameters.slice(0, 5).map(({ name }) => name)).toEqual(KERNELS);
    expect(layout.parameters.map(({ name }) => name).slice(5)).toEqual(OTHERS);
  });

  it('leaves out numbers of formulas, shapes and running statistics', () => {
    const names = parametersOf(network()).parameters.map(({ name }) => name);
    for (const name of ['scaling', 'half', 'flat', 'back', 'bn1.running_mean', 'bn1.running_var'])
      expect(names).not.toContain(name);
  });

  it('places parameters one behind the other, and lets kernels alone decay', () => {
    const { parameters, size, decayed } = parametersOf(network());
    let end = 0;
    for (const parameter of parameters) {
      expect(parameter.offset).toBe(end);
      expect(parameter.size).toBe(parameter.shape.reduce((product, extent) => product * extent, 1));
      end += parameter.size;
    }
    expect(size).toBe(end);
    expect(decayed).toBe(parameters[KERNELS.length].offset);
  });

  it('does not decay a kernel that is a bias elsewhere', () => {
    const net = new Net('both', 2);
    const x = net.conv(net.input([1, 3, 1, 3]), 3, { kernel: 1 });
    const both = net.normals('both', [3, 3]);
    const graph = net.build(net.op('Add', [net.op('MatMul', [x, both]), both]));
    const { parameters, decayed } = parametersOf(graph);
    expect(parameters.map(({ name }) => name)).toEqual(['conv1.weight', 'both']);
    expect(decayed).toBe(9);
  });

  it('knows the places of running statistics', () => {
    const net = new Net('two', 2);
    const graph = net.build(net.bn(net.conv(net.block(net.input([1, 1, 8, 8]), 3), 5)));
    const { statistics, channels } = parametersOf(graph);
    expect(channels).toBe(8);
    expect(statistics.map(({ node, offset, channels: count }) => [node, offset, count])).toEqual([
      ['bn1', 0, 3],
      ['bn2', 3, 5],
    ]);
  });
});

describe('pack and unpack', () => {
  it('give back every constant', () => {
    const graph = network();
    const layout = parametersOf(graph);
    const { parameters, statistics } = pack(graph, layout);
    const constants = unpack(layout, parameters, statistics);
    expect([...constants.keys()].sort()).toEqual([...KERNELS, ...OTHERS, 'bn1.running_mean', 'bn1.running_var'].sort());
    for (const [name, tensor] of constants) {
      expect(tensor.shape).toEqual(graph.constants.get(name)?.shape);
      expect(tensor.toFloat32()).toEqual(graph.constants.get(name)?.toFloat32());
    }
  });

  it('keep means apart from variances, and copies from the vectors', () => {
    const graph = network();
    const layout = parametersOf(graph);
    const parameters = Float32Array.from({ length: layout.size }, (_, i) => i);
    const statistics = Float32Array.from({ length: 8 }, (_, i) => 100 + i);
    const changed = withConstants(graph, semantics, unpack(layout, parameters, statistics));
    const expected = [parameters.slice(), statistics.slice()];
    parameters.fill(0);
    statistics.fill(0);
    const again = pack(changed, layout);
    expect([again.parameters, again.statistics]).toEqual(expected);
    expect([...(changed.constants.get('bn1.running_mean')?.toFloat32() ?? [])]).toEqual([100, 101, 102, 103]);
    expect([...(changed.constants.get('bn1.running_var')?.toFloat32() ?? [])]).toEqual([104, 105, 106, 107]);
  });
});
