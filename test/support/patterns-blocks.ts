import proto from 'onnx-proto';
import { bytesInMemory } from '../../src/ir/bytes.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { Pattern } from './patterns.js';
import { Net } from './patterns-net.js';

/** Hu et al. 2018, with 1x1 convolutions. */
function squeezeExcite(net: Net, x: string): string {
  const squeezed = net.op('GlobalAveragePool', [x]);
  const inner = net.relu(net.conv(squeezed, 4, { kernel: 1, bias: true }));
  return net.op('Mul', [x, net.sigmoid(net.conv(inner, net.channels(x), { kernel: 1, bias: true }))]);
}

/** The same with matrices, and the weights brought back to an image. */
function squeezeExciteDense(net: Net, x: string, back: 'Reshape' | 'Unsqueeze'): string {
  const squeezed = net.op('Flatten', [net.op('GlobalAveragePool', [x])], { axis: 1 });
  const weights = net.sigmoid(net.linear(net.relu(net.linear(squeezed, 4)), net.channels(x)));
  const operand = back === 'Reshape' ? net.integers([-1, net.channels(x), 1, 1]) : net.integers([2, 3]);
  return net.op('Mul', [x, net.op(back, [weights, operand])]);
}

/** Self-attention of one head over the pixels as tokens. */
function tokenAttention(net: Net, x: string): string {
  const [, channels, height, width] = net.shape(x).map(Number);
  const flat = net.op('Reshape', [x, net.integers([0, channels, height * width])]);
  const tokens = net.op('Transpose', [flat], { perm: [0, 2, 1] });
  const project = (out: number) => {
    const weight = net.normals(net.name('projection'), [channels, out], 0.3);
    return net.op('MatMul', [tokens, weight]);
  };
  const keys = net.op('Transpose', [project(6)], { perm: [0, 2, 1] });
  const scores = net.op('Div', [
    net.op('MatMul', [project(6), keys]),
    net.constant('root', Tensor.floats([6 ** 0.5], [])),
  ]);
  const mixed = net.op('MatMul', [net.op('Softmax', [scores], { axis: -1 }), project(channels)]);
  const image = net.op('Transpose', [mixed], { perm: [0, 2, 1] });
  return net.add(x, net.op('Reshape', [image, net.integers([0, channels, height, width])]));
}

/** A node that no operator here defines, but the runtime knows. */
function opaque(net: Net, op: string, x: string): string {
  const encoded = bytesInMemory(proto.onnx.NodeProto.encode({ opType: op, input: [x], output: ['unknown'] }).finish());
  const origin = {
    format: 'onnx',
    op,
    domain: '',
    overload: '',
    encoded,
    attributes: [],
    other: [],
    opset: 17,
    hasSubgraph: false,
  };
  const node = { op: 'Opaque', name: 'unknown', inputs: [x], outputs: ['unknown'], attributes: {}, origin };
  return net.builder.add(node, [net.builder.type(x)])[0];
}

export const blockPatterns: readonly Pattern[] = [
  {
    name: 'residual',
    batchNorms: 0,
    make() {
      const net = new Net('residual', 21);
      const first = net.block(net.input([1, 3, 16, 16]), 8);
      const inner = net.bn(net.conv(net.block(first, 10), 8));
      const second = net.relu(net.add(first, inner));
      const projected = net.bn(net.conv(second, 12, { kernel: 1, stride: 2, padding: 0 }));
      const third = net.relu(net.add(net.bn(net.conv(net.block(second, 12, { stride: 2 }), 12)), projected));
      return net.build(net.conv(third, 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 5, conv3: 4, conv4: 6, conv5: 6, conv6: 6 },
  },
  {
    name: 'residual-preactivation',
    // Each BatchNormalization stands before a ReLU; behind a convolution that the sum reads too, none can go back.
    batchNorms: 1,
    make() {
      const net = new Net('residual-preactivation', 22);
      const first = net.conv(net.input([1, 3, 12, 12]), 8);
      const inner = net.conv(net.relu(net.bn(net.conv(net.relu(net.bn(first)), 8))), 8);
      return net.build(net.conv(net.add(first, inner), 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 4, conv3: 4 },
  },
  {
    name: 'depthwise-separable',
    batchNorms: 0,
    make() {
      const net = new Net('depthwise-separable', 23);
      const clip = (x: string) =>
        net.op('Clip', [x, net.constant('zero', Tensor.floats([0], [])), net.constant('six', Tensor.floats([6], []))]);
      let x = net.block(net.input([1, 3, 16, 16]), 8, { stride: 2 });
      x = clip(net.bn(net.conv(x, 8, { group: 8 })));
      x = clip(net.bn(net.conv(x, 12, { kernel: 1 })));
      x = clip(net.bn(net.conv(x, 24, { group: 12 })));
      x = clip(net.bn(net.conv(x, 8, { kernel: 1 })));
      return net.build(net.conv(net.up(x, 8, { group: 8 }), 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 4, conv3: 6, conv4: 12, conv5: 4, up1: 4 },
  },
  {
    name: 'depthwise-behind-concat',
    batchNorms: 0,
    make() {
      const net = new Net('depthwise-behind-concat', 24);
      const x = net.input([1, 3, 12, 12]);
      const both = net.concat(net.block(x, 8), net.block(x, 10));
      const depthwise = net.relu(net.bn(net.conv(both, 18, { group: 18 })));
      const doubled = net.relu(net.conv(depthwise, 36, { group: 18 }));
      return net.build(net.conv(doubled, 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 5, conv3: 9, conv4: 18 },
  },
  {
    name: 'grouped',
    batchNorms: 0,
    make() {
      const net = new Net('grouped', 25);
      const x = net.block(net.input([1, 3, 12, 12]), 8);
      const y = net.block(x, 16, { group: 4, bias: true });
      const z = net.relu(net.bn(net.up(y, 8, { group: 2 })));
      return net.build(net.conv(z, 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 8, up1: 4 },
  },
  {
    name: 'shared-weights',
    batchNorms: 0,
    make() {
      const net = new Net('shared-weights', 26);
      const branch = (name: string) => {
        const first = net.block(net.input([1, 2, 12, 12], name), 8, { weight: 'shared.weight' });
        return net.block(first, 8, { weight: 'deeper.weight' });
      };
      const difference = net.op('Sub', [branch('x'), branch('y')]);
      return net.build(net.conv(difference, 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 4, conv3: 4, conv4: 4 },
  },
  {
    name: 'squeeze-excite',
    batchNorms: 0,
    make() {
      const net = new Net('squeeze-excite', 27);
      const x = squeezeExcite(net, net.block(net.input([1, 3, 12, 12]), 8));
      const y = net.add(x, squeezeExcite(net, net.bn(net.conv(x, 8))));
      return net.build(net.conv(y, 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 2, conv3: 4, conv4: 4, conv5: 2, conv6: 4 },
  },
  {
    name: 'squeeze-excite-dense',
    batchNorms: 0,
    make() {
      const net = new Net('squeeze-excite-dense', 28);
      const x = squeezeExciteDense(net, net.block(net.input([1, 3, 12, 12]), 8), 'Reshape');
      const y = squeezeExciteDense(net, net.block(x, 12), 'Unsqueeze');
      return net.build(net.conv(y, 2, { kernel: 1 }));
    },
    widths: { conv1: 4, linear1: 2, linear2: 4, conv2: 6, linear3: 2, linear4: 6 },
  },
  {
    name: 'token-attention',
    batchNorms: 0,
    make() {
      const net = new Net('token-attention', 29);
      const x = net.block(net.input([1, 3, 6, 6]), 8);
      return net.build(net.conv(tokenAttention(net, net.block(x, 10)), 2));
    },
    widths: { conv1: 4 },
  },
  {
    name: 'opaque',
    batchNorms: 1,
    make() {
      const net = new Net('opaque', 30);
      const x = net.block(net.input([1, 3, 12, 12]), 8);
      const y = net.bn(opaque(net, 'Shrink', net.block(x, 10)));
      return net.build(net.conv(net.block(net.relu(y), 12), 2));
    },
    widths: { conv1: 4, conv2: 10, conv3: 6 },
    fixed: { conv2: "Shrink 'unknown'" },
  },
  {
    name: 'densenet',
    // BatchNormalizations before the ReLU read what later layers read too.
    batchNorms: 3,
    make() {
      const net = new Net('densenet', 31);
      let x = net.conv(net.input([1, 3, 12, 12]), 8);
      for (let i = 0; i < 3; i++) x = net.concat(x, net.conv(net.relu(net.bn(x)), 8));
      return net.build(net.conv(net.relu(x), 2, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 4, conv3: 4, conv4: 4 },
  },
  {
    name: 'densenet-late',
    batchNorms: 0,
    make() {
      const net = new Net('densenet-late', 32);
      let x = net.block(net.input([1, 3, 12, 12]), 8);
      for (let i = 0; i < 3; i++) x = net.concat(x, net.block(x, 6));
      return net.build(net.block(x, 8, { kernel: 1 }), net.conv(x, 2));
    },
    widths: { conv1: 4, conv2: 3, conv3: 3, conv4: 3 },
    fixed: { conv5: 'output of the model', conv6: 'output of the model' },
  },
  {
    name: 'several-outputs',
    batchNorms: 0,
    make() {
      const net = new Net('several-outputs', 33);
      const x = net.block(net.input([2, 1, 16, 16]), 8);
      const y = net.block(net.maxPool(x), 12);
      const gap = net.op('Flatten', [net.op('GlobalAveragePool', [y])], { axis: 1 });
      return net.build(net.conv(net.scaleUp(y), 2), net.bn(net.linear(gap, 5)), y);
    },
    widths: { conv1: 4, conv2: 12, conv3: 2, linear1: 5 },
    fixed: { conv2: "tied to 'relu2': it is an output of the model" },
  },
  {
    name: 'flatten-head',
    batchNorms: 0,
    make() {
      const net = new Net('flatten-head', 34);
      const x = net.maxPool(net.block(net.maxPool(net.block(net.input([2, 1, 8, 8]), 8)), 6));
      const flat = net.op('Flatten', [x], { axis: 1 });
      const hidden = net.relu(net.bn(net.linear(flat, 10)));
      return net.build(net.linear(hidden, 3));
    },
    widths: { conv1: 4, conv2: 3, linear1: 5, linear2: 3 },
  },
];
