import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { Pattern } from './patterns.js';
import { Net } from './patterns-net.js';

/** One way in which BatchNormalizations stand between other nodes. */
function folding(
  name: string,
  batchNorms: number,
  draw: (net: Net, x: string) => readonly string[],
  more: Partial<Pattern> = {},
): Pattern {
  const make = (): Graph => {
    const net = new Net(name, 60 + name.length);
    return net.build(...draw(net, net.input([1, 3, 12, 13])));
  };
  return { name: `bn-${name}`, batchNorms, make, ...more };
}

/** The order of the paper: Conv → ReLU → BatchNormalization. */
function late(net: Net, x: string, out: number, sign: 'positive' | 'mixed' = 'positive'): string {
  return net.bn(net.relu(net.conv(x, out, { bias: true })), sign);
}

/** A BatchNormalization that an exporter has taken apart. */
function apart(net: Net, x: string): string {
  const scaled = net.op('Mul', [net.perChannel(x, 'factor', 0.3, 1), x]);
  return net.add(scaled, net.perChannel(x, 'term'));
}

export const foldingPatterns: readonly Pattern[] = [
  folding('late-unet', 0, (net, x) => {
    const skip = late(net, late(net, x, 8), 8);
    const bottom = late(net, late(net, net.maxPool(skip), 12), 12);
    const raised = net.op('Slice', [net.scaleUp(bottom), net.integers([0]), net.integers([12]), net.integers([2])]);
    const cropped = net.op('Slice', [skip, net.integers([0]), net.integers([12]), net.integers([3])]);
    const top = late(net, net.concat(cropped, raised), 8);
    return [net.conv(top, 1, { kernel: 1, bias: true })];
  }),
  // Ronneberger et al. 2015: no padding, so that skips are cropped and every shift is taken in.
  folding('late-valid', 0, (net, x) => {
    const valid = (y: string, out: number) =>
      net.bn(net.relu(net.conv(y, out, { padding: 0, bias: true })), 'positive');
    const skip = valid(x, 8);
    const low = net.conv(net.scaleUp(valid(net.maxPool(skip), 12)), 8, { kernel: 1 });
    const cropped = net.slice(net.slice(skip, 2, 8, 2), -7, -1, -1);
    return [net.conv(valid(net.concat(cropped, low), 8), 1, { kernel: 1, bias: true }), net.sigmoid(low)];
  }),
  // A Slice of channels changes which number a channel gets.
  folding('before-channel-slice', 1, (net, x) => {
    const y = net.bn(net.relu(net.conv(x, 8)));
    return [net.conv(net.slice(y, -1, -100, 1, -1), 2, { kernel: 1 })];
  }),
  // Everything that reads the shift is a 1x1 convolution, so nothing is left of it.
  folding('late-through-everything', 0, (net, x) => {
    const a = late(net, x, 8);
    const b = late(net, x, 6);
    const raised = net.scaleUp(net.maxPool(net.concat(a, b)));
    const smooth = net.scaleUp(net.maxPool(a), 'linear');
    const head = net.conv(net.concat(raised, smooth), 2, { kernel: 1 });
    return [head, net.conv(a, 1, { kernel: 1, bias: true }), net.conv(a, 2, { kernel: 3, padding: 0 })];
  }),
  // A negative scale does not pass a ReLU, and the shift no zero padding: only the Add form is left.
  folding('late-mixed-signs', 0, (net, x) => [net.conv(late(net, x, 8, 'mixed'), 2)]),
  folding('late-mixed-signs-output', 1, (net, x) => [late(net, x, 8, 'mixed')]),
  folding('before-unpadded', 0, (net, x) => [net.conv(net.bn(net.relu(x)), 4, { padding: 0 })]),
  folding('before-1x1', 0, (net, x) => [net.conv(net.bn(x), 4, { kernel: 1, bias: true, stride: 2 })]),
  folding('before-padded', 0, (net, x) => [net.conv(net.bn(x), 4, { bias: true })]),
  folding('before-transposed', 0, (net, x) => [net.up(net.bn(x), 4, { kernel: 3 })]),
  folding('before-grouped', 0, (net, x) => {
    const y = net.relu(net.conv(x, 8));
    return [net.conv(net.bn(y), 12, { group: 4, padding: 0 }), net.up(net.bn(y), 8, { group: 2 })];
  }),
  folding('before-depthwise', 0, (net, x) => [net.conv(net.bn(x), 6, { group: 3, padding: 0 })]),
  folding('before-two-readers', 0, (net, x) => {
    const y = net.bn(net.relu(x));
    return [net.conv(y, 4, { kernel: 1 }), net.conv(y, 2, { padding: 0 })];
  }),
  folding('before-shared-weight', 0, (net, x) => {
    const [a, b] = [net.bn(x), net.bn(net.relu(x))];
    return [a, b].map((y) => net.conv(y, 4, { kernel: 1, weight: 'shared.weight' }));
  }),
  folding('before-output', 1, (net, x) => {
    const y = net.bn(net.relu(x));
    return [net.conv(y, 4, { kernel: 1 }), y];
  }),
  folding('before-pool', 0, (net, x) => [net.conv(net.maxPool(net.bn(x, 'positive')), 4, { kernel: 1 })]),
  folding('before-relu', 1, (net, x) => [net.conv(net.relu(net.bn(x)), 4)]),
  folding('behind-pool', 0, (net, x) => [net.relu(net.bn(net.maxPool(net.conv(x, 6)), 'positive'))]),
  folding('behind-pool-mixed-signs', 1, (net, x) => [net.relu(net.bn(net.maxPool(net.conv(x, 6))))]),
  folding('behind-resize', 0, (net, x) => [net.relu(net.bn(net.scaleUp(net.conv(x, 6), 'linear')))]),
  folding('behind-cubic-resize', 0, (net, x) => {
    const scales = net.constant('by', Tensor.floats([1, 1, 1.5, 2]));
    return [net.relu(net.bn(net.op('Resize', [net.conv(x, 6), '', scales], { mode: 'cubic' })))];
  }),
  folding('behind-average-pools', 1, (net, x) => {
    const window = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
    const counted = net.op('AveragePool', [net.conv(x, 6)], { ...window, count_include_pad: 1 });
    return [net.relu(net.bn(net.op('AveragePool', [net.conv(x, 6)], window))), net.relu(net.bn(counted))];
  }),
  // The second output would be lost.
  folding('behind-pool-with-indices', 1, (net, x) => {
    const name = net.name('maxpool');
    const node = { op: 'MaxPool', name, inputs: [net.conv(x, 6)], outputs: [name, 'indices'] };
    const [pooled, indices] = net.builder.add({ ...node, attributes: { kernel_shape: [2, 2] } });
    return [net.relu(net.bn(pooled, 'positive')), indices];
  }),
  folding('behind-concat-of-rows', 1, (net, x) => {
    const rows = net.op('Concat', [net.conv(x, 6), net.conv(x, 6)], { axis: 2 });
    return [net.relu(net.bn(rows))];
  }),
  folding('before-concat-of-rows', 1, (net, x) => {
    const rows = net.op('Concat', [net.bn(net.relu(x)), x], { axis: 2 });
    return [net.conv(rows, 2, { kernel: 1 })];
  }),
  folding('behind-relu-and-pool', 0, (net, x) => [
    net.conv(net.bn(net.maxPool(net.relu(net.conv(x, 6))), 'positive'), 2),
  ]),
  folding('behind-leaky-relu', 0, (net, x) => {
    const y = net.op('LeakyRelu', [net.conv(x, 6)], { alpha: 0.2 });
    const slope = net.perChannel(y, 'slope', 0.2, 0.3);
    const z = net.op('PRelu', [net.conv(net.bn(y, 'positive'), 6), slope]);
    return [net.conv(net.bn(z, 'positive'), 2)];
  }),
  folding('behind-sigmoid', 1, (net, x) => [net.relu(net.bn(net.sigmoid(net.conv(x, 6))))]),
  folding('behind-concat', 0, (net, x) => {
    const branches = [net.conv(x, 4), net.relu(net.conv(x, 5)), net.conv(net.concat(x, x), 3)];
    const y = net.bn(net.concat(branches[0], branches[2]));
    return [net.sigmoid(y), net.conv(net.bn(net.concat(branches[1], net.conv(x, 2)), 'positive'), 2)];
  }),
  folding('behind-concat-of-shared', 1, (net, x) => {
    const y = net.conv(x, 4);
    return [net.relu(net.bn(net.concat(y, net.conv(x, 4)))), net.relu(y)];
  }),
  folding('behind-everything-linear', 0, (net, x) => {
    const up = net.bn(net.up(net.conv(x, 8), 8, { group: 4, bias: false }));
    const grouped = net.bn(net.conv(net.relu(up), 12, { group: 4, bias: true }));
    const depthwise = net.bn(net.conv(net.relu(grouped), 24, { group: 12 }));
    const flat = net.op('Flatten', [net.op('GlobalAveragePool', [depthwise])], { axis: 1 });
    return [net.bn(net.linear(net.bn(flat), 5))];
  }),
  folding('read-between', 1, (net, x) => {
    const y = net.conv(x, 6);
    return [net.relu(net.bn(y)), net.sigmoid(y)];
  }),
  folding('output-between', 1, (net, x) => {
    const y = net.conv(x, 6);
    return [y, net.relu(net.bn(y))];
  }),
  folding('twice', 0, (net, x) => [net.relu(net.bn(net.bn(net.conv(x, 6))))]),
  folding('taken-apart', 0, (net, x) => {
    const y = net.relu(apart(net, net.conv(x, 6, { bias: true })));
    return [net.conv(apart(net, y), 4), net.conv(apart(net, net.relu(x)), 2, { kernel: 1 })];
  }),
  folding(
    'scalars',
    0,
    (net, x) => {
      const scalar = (value: number, shape: readonly number[] = []) =>
        net.constant(net.name('scalar'), Tensor.floats([value], shape));
      const scaled = net.op('Div', [net.op('Sub', [x, scalar(0.4)]), scalar(0.2, [1, 1, 1])]);
      const y = net.op('Sub', [scalar(2, [1]), net.op('Mul', [net.conv(scaled, 6), scalar(-3)])]);
      return [net.conv(net.op('Mul', [scalar(0.5), net.relu(y)]), 2)];
    },
    { addsScalars: true },
  ),
  folding('residual-sum', 0, (net, x) => {
    const y = late(net, x, 8);
    const z = late(net, y, 8);
    return [net.conv(net.add(y, z), 2, { kernel: 1 })];
  }),
  folding('tiny-variance', 0, (net, x) => {
    const y = net.conv(x, 4);
    const numbers = (name: string, values: readonly number[]) => net.constant(name, Tensor.floats(values));
    const parameters = [
      numbers('gamma', [1, -1, 2, 0]),
      numbers('beta', [0, 1, 2, 3]),
      numbers('mean', [0, 0, 1, 1]),
      numbers('variance', [0, 1e-12, 1, 1]),
    ];
    return [net.relu(net.op('BatchNormalization', [y, ...parameters], { epsilon: 1e-3 }))];
  }),
];
