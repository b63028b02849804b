import type { Attributes } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { Pattern } from './patterns.js';
import { Net } from './patterns-net.js';

type Shuffle = (net: Net, x: string, groups: number) => string;

/** Zhang et al. 2018: Reshape, Transpose, Reshape, with the sizes as constants. */
function shuffle(net: Net, x: string, groups: number): string {
  const [, channels, height, width] = net.shape(x).map(Number);
  const apart = net.op('Reshape', [x, net.integers([0, groups, channels / groups, height, width])]);
  const swapped = net.op('Transpose', [apart], { perm: [0, 2, 1, 3, 4] });
  return net.op('Reshape', [swapped, net.integers([0, channels, height, width])]);
}

/** The same with batch and spatial sizes from Shape, and the channel counts either as constants or divided. */
function computedShuffle(net: Net, x: string, groups: number, perGroup: 'constant' | 'divided'): string {
  const channels = net.channels(x);
  const [n, h, w] = [0, 2, 3].map((axis) => net.sizeOf(x, axis));
  const g = net.integers([groups]);
  const inner = perGroup === 'constant' ? net.integers([channels / groups]) : net.op('Div', [net.sizeOf(x, 1), g]);
  const apart = net.op('Reshape', [x, net.op('Concat', [n, g, inner, h, w], { axis: 0 })]);
  const swapped = net.op('Transpose', [apart], { perm: [0, 2, 1, 3, 4] });
  const whole = perGroup === 'constant' ? net.integers([channels]) : net.sizeOf(x, 1);
  return net.op('Reshape', [swapped, net.op('Concat', [n, whole, h, w], { axis: 0 })]);
}

function shuffleNet(name: string, mix: Shuffle, input: readonly (number | string)[]) {
  const net = new Net(name, 41);
  const x = net.block(net.input(input), 12);
  const y = net.relu(net.bn(net.conv(x, 12, { group: 3, kernel: 1 })));
  const z = net.relu(net.bn(net.conv(mix(net, y, 3), 12, { group: 12 })));
  return net.build(net.conv(net.conv(z, 8, { group: 2, kernel: 1 }), 2, { kernel: 1 }));
}

/** GroupNorm as PyTorch exports it below operator set 18. */
function exportedGroupNorm(net: Net, x: string, groups: number): string {
  const apart = net.op('Reshape', [x, net.integers([0, groups, -1])]);
  const ones = net.constant(`ones${groups}`, Tensor.floats(Array<number>(groups).fill(1)));
  const zeros = net.constant(`zeros${groups}`, Tensor.floats(Array<number>(groups).fill(0)));
  const normal = net.op('Reshape', [net.op('InstanceNormalization', [apart, ones, zeros]), net.op('Shape', [x])]);
  return net.add(net.op('Mul', [normal, net.perChannel(x, 'gamma')]), net.perChannel(x, 'beta'));
}

function groupNorm(net: Net, x: string, groups: number): string {
  const name = net.name('gn');
  const parameters = [net.scales(`${name}.weight`, net.channels(x)), net.normals(`${name}.bias`, [net.channels(x)])];
  return net.op('GroupNormalization', [x, ...parameters], { num_groups: groups }, name);
}

function split(net: Net, x: string, count: number, sizes?: readonly number[]): readonly string[] {
  const name = net.name('split');
  const outputs = Array.from({ length: count }, (_, i) => `${name}.${i}`);
  const inputs = sizes ? [x, net.integers(sizes)] : [x];
  const attributes: Attributes = sizes ? { axis: 1 } : { axis: 1, num_outputs: count };
  return net.builder.add({ op: 'Split', name, inputs, outputs, attributes });
}

/** Feeds pieces of a 12-channel block into convolutions of their own. */
function cut(name: string, seed: number, pieces: (net: Net, x: string) => readonly string[]) {
  const net = new Net(name, seed);
  const x = net.block(net.input([1, 3, 12, 12]), 12);
  const y = net.concat(...pieces(net, x).map((piece) => net.block(piece, 6)), x);
  return net.build(net.conv(y, 2, { kernel: 1 }));
}

export const channelPatterns: readonly Pattern[] = [
  {
    name: 'shuffle',
    batchNorms: 0,
    make: () => shuffleNet('shuffle', shuffle, [1, 3, 8, 10]),
    widths: { conv1: 6, conv2: 6, conv3: 6, conv4: 4 },
  },
  {
    name: 'shuffle-computed',
    batchNorms: 0,
    make: () =>
      shuffleNet('shuffle-computed', (net, x, g) => computedShuffle(net, x, g, 'constant'), ['n', 3, 'h', 'w']),
    widths: { conv1: 6, conv2: 6, conv3: 6, conv4: 4 },
  },
  {
    name: 'shuffle-divided',
    batchNorms: 0,
    make: () => shuffleNet('shuffle-divided', (net, x, g) => computedShuffle(net, x, g, 'divided'), ['n', 3, 'h', 'w']),
    widths: { conv1: 6, conv2: 12, conv3: 12, conv4: 4 },
    fixed: { conv2: 'computes with its size', conv3: 'Reshape' },
  },
  {
    name: 'group-norm',
    batchNorms: 0,
    mixesChannels: true,
    make() {
      const net = new Net('group-norm', 42);
      const x = net.relu(groupNorm(net, net.conv(net.input([2, 3, 8, 8]), 12), 3));
      const y = net.relu(groupNorm(net, net.conv(x, 8), 8));
      return net.build(net.conv(y, 2, { kernel: 1 }));
    },
    widths: { conv1: 6, conv2: 4 },
  },
  {
    name: 'group-norm-exported',
    batchNorms: 0,
    make() {
      const net = new Net('group-norm-exported', 43);
      const x = net.relu(exportedGroupNorm(net, net.conv(net.input(['n', 3, 'h', 'w']), 12), 3));
      const y = net.relu(exportedGroupNorm(net, net.conv(x, 8), 2));
      return net.build(net.conv(y, 2, { kernel: 1 }));
    },
    // Whole groups go, each with its own statistics: 2 of 3 groups of 4 channels, and 1 of 2 groups.
    widths: { conv1: 8, conv2: 4 },
  },
  {
    name: 'split-equal',
    batchNorms: 0,
    make: () => cut('split-equal', 44, (net, x) => split(net, x, 3)),
    widths: { conv1: 6, conv2: 3, conv3: 3, conv4: 3 },
  },
  {
    name: 'split-sizes',
    batchNorms: 0,
    make: () => cut('split-sizes', 45, (net, x) => split(net, x, 2, [8, 4])),
    widths: { conv1: 6, conv2: 3, conv3: 3 },
  },
  {
    name: 'slices',
    batchNorms: 0,
    make: () =>
      cut('slices', 46, (net, x) => [
        net.slice(x, 0, 5, 1),
        net.slice(x, 5, Number.MAX_SAFE_INTEGER, 1),
        net.slice(x, -4, 12, -3),
        net.slice(x, -1, -100, 1, -1),
      ]),
    // The first 5, the next 3 and the last 4 channels are classes of their own: 3 (2.5 rounded) + 2 (1.5) + 2.
    widths: { conv1: 7, conv2: 3, conv3: 3, conv4: 3, conv5: 3 },
  },
  {
    name: 'slice-of-two-axes',
    batchNorms: 0,
    make() {
      const net = new Net('slice-of-two-axes', 47);
      const x = net.block(net.input([1, 3, 12, 12]), 8);
      const far = net.constant('ends', Tensor.from([2], BigInt64Array.of(4n, 2n ** 63n - 1n)));
      const y = net.op('Slice', [x, net.integers([0, 3]), far, net.integers([1, 2])]);
      return net.build(net.conv(y, 2), net.conv(x, 2));
    },
    widths: { conv1: 4 },
  },
  {
    name: 'gather',
    batchNorms: 0,
    make: () => cut('gather', 48, (net, x) => [net.op('Gather', [x, net.integers([7, 2, -1, 2, 0])], { axis: 1 })]),
    // Channels 0, 7 and 11 are chosen once, 2 twice and eight never: 2 (1.5 rounded) + 1 + 4.
    widths: { conv1: 7, conv2: 3 },
  },
  {
    name: 'depth-to-space',
    batchNorms: 0,
    make() {
      const net = new Net('depth-to-space', 49);
      const x = net.op('SpaceToDepth', [net.block(net.input([1, 3, 12, 12]), 8)], { blocksize: 2 });
      const y = net.op('DepthToSpace', [net.block(x, 16)], { blocksize: 2, mode: 'DCR' });
      const z = net.op('DepthToSpace', [net.block(y, 32)], { blocksize: 2, mode: 'CRD' });
      return net.build(net.conv(z, 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 8, conv3: 16 },
  },
  {
    name: 'concat-twice',
    batchNorms: 0,
    make() {
      const net = new Net('concat-twice', 50);
      const x = net.block(net.input([1, 3, 12, 12]), 8);
      const y = net.block(net.concat(x, x), 8);
      return net.build(net.conv(net.op('Mul', [y, y]), 2));
    },
    widths: { conv1: 4, conv2: 4 },
  },
  {
    name: 'concat-of-concats',
    batchNorms: 0,
    make() {
      const net = new Net('concat-of-concats', 51);
      const x = net.input([1, 3, 12, 12]);
      const [a, b] = [net.block(x, 8), net.block(x, 6)];
      const inner = net.concat(a, b);
      const outer = net.concat(inner, net.block(inner, 10), a, x);
      return net.build(net.conv(net.block(outer, 8), 2), net.conv(inner, 1));
    },
    widths: { conv1: 4, conv2: 3, conv3: 5, conv4: 4 },
  },
  {
    name: 'prelu',
    batchNorms: 0,
    make() {
      const net = new Net('prelu', 52);
      const prelu = (x: string) => net.op('PRelu', [x, net.perChannel(x, 'slope', 0.2, 0.3)]);
      const x = prelu(net.bn(net.conv(net.input([1, 3, 12, 12]), 8)));
      const y = net.op('PRelu', [net.conv(x, 8), net.constant('one_slope', Tensor.floats([0.25], [1]))]);
      return net.build(net.conv(y, 2));
    },
    widths: { conv1: 4, conv2: 4 },
  },
  {
    name: 'shared-shape',
    // One constant states the sizes for two values, of which only one can be thinned.
    batchNorms: 0,
    make() {
      const net = new Net('shared-shape', 53);
      const x = net.input([1, 3, 4, 6]);
      const shape = net.integers([0, 8, 24], 'shape');
      const [a, b] = [net.conv(x, 8), net.conv(x, 8)];
      const [flatA, flatB] = [a, b].map((value) => net.op('Reshape', [value, shape]));
      const image = net.op('Reshape', [net.op('Tanh', [flatA]), net.integers([0, 8, 4, 6])]);
      return net.build(net.conv(image, 2), flatB);
    },
    widths: { conv1: 4, conv2: 8 },
    fixed: { conv2: "tied to 'reshape2': it is an output of the model" },
  },
  {
    name: 'shared-count',
    // One constant channel count goes into the computed shapes of two different values.
    batchNorms: 0,
    make() {
      const net = new Net('shared-count', 54);
      const x = net.input(['n', 3, 'h', 'w']);
      const count = net.integers([8], 'count');
      const flat = (value: string) => {
        const shape = net.op('Concat', [net.sizeOf(value, 0), count, net.integers([-1])], { axis: 0 });
        return net.op('Reshape', [value, shape]);
      };
      const a = flat(net.conv(x, 8));
      const b = flat(net.conv(x, 8));
      const back = net.op('Concat', [net.sizeOf(x, 0), net.integers([8]), net.sizeOf(x, 2), net.sizeOf(x, 3)], {
        axis: 0,
      });
      return net.build(net.conv(net.op('Reshape', [a, back]), 2), b);
    },
    widths: { conv1: 4, conv2: 8 },
  },
  {
    name: 'shared-computed-shape',
    // What states the sizes is computed once for two values, of which one must stay.
    batchNorms: 0,
    make() {
      const net = new Net('shared-computed-shape', 56);
      const x = net.input(['n', 3, 'h', 'w']);
      const shape = net.op('Concat', [net.sizeOf(x, 0), net.integers([8, -1])], { axis: 0 });
      const [a, b] = [net.conv(x, 8), net.conv(x, 8)].map((value) => net.op('Reshape', [value, shape]));
      const sizes = [net.sizeOf(x, 0), net.integers([8]), net.sizeOf(x, 2), net.sizeOf(x, 3)];
      const back = net.op('Reshape', [a, net.op('Concat', sizes, { axis: 0 })]);
      return net.build(net.conv(back, 2), b);
    },
    widths: { conv1: 8, conv2: 8 },
    fixed: { conv1: "Reshape 'reshape1' needs it whole" },
  },
  {
    name: 'size-of-channels',
    // The channel count itself is an output, or goes into arithmetic: it cannot change.
    batchNorms: 0,
    make() {
      const net = new Net('size-of-channels', 55);
      const x = net.block(net.input(['n', 3, 'h', 'w']), 8);
      const y = net.block(x, 10);
      const count = net.op('Cast', [net.sizeOf(x, -3)], { to: 1 });
      const z = net.op('Div', [net.block(y, 6), count]);
      return net.build(net.conv(z, 2), net.op('Shape', [y]));
    },
    widths: { conv1: 8, conv2: 10, conv3: 3 },
    fixed: { conv1: "Div 'div1' computes with its size", conv2: "its size goes into the output 'shape2'" },
  },
];
