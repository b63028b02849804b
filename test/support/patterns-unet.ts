import type { Pattern } from './patterns.js';
import { Net } from './patterns-net.js';

/** Two convolutions with BatchNormalization. */
function double(net: Net, x: string, out: number): string {
  return net.block(net.block(x, out), out);
}

function unet(): Net {
  return new Net('unet', 11);
}

/** Encoder and decoder of depth 2; `raise` brings the lower level to the size of the skip. */
function twoLevels(net: Net, x: string, raise: (low: string, skip: string) => string): string {
  const skip1 = double(net, x, 8);
  const skip2 = double(net, net.maxPool(skip1), 12);
  const bottom = double(net, net.maxPool(skip2), 16);
  const up2 = double(net, net.concat(skip2, raise(bottom, skip2)), 12);
  return double(net, net.concat(skip1, raise(up2, skip1)), 8);
}

/** The pads that bring `low` to the size of `skip`, as PyTorch exports F.pad with computed amounts. */
function padLike(net: Net, low: string, skip: string): string {
  const two = net.integers([2]);
  const amounts = [3, 2].flatMap((axis) => {
    const missing = net.op('Sub', [net.sizeOf(skip, axis), net.sizeOf(low, axis)]);
    const before = net.op('Div', [missing, two]);
    return [before, net.op('Sub', [missing, before])];
  });
  const none = net.op('ConstantOfShape', [net.integers([4])], {}, net.name('zeros'));
  const list = net.op('Concat', [...amounts, net.op('Cast', [none], { to: 7 })], { axis: 0 });
  const pairs = net.slice(net.op('Reshape', [list, net.integers([-1, 2])]), -1, -(2 ** 62), 0, -1);
  const pads = net.op('Reshape', [net.op('Transpose', [pairs], { perm: [1, 0] }), net.integers([-1])]);
  return net.op('Pad', [low, net.op('Cast', [pads], { to: 7 })]);
}

/** Oktay et al. 2018: the skip is weighted by one map that skip and gate decide together. */
function attentionGate(net: Net, skip: string, gate: string): string {
  const both = net.relu(net.add(net.bn(net.conv(gate, 6, { kernel: 1 })), net.bn(net.conv(skip, 6, { kernel: 1 }))));
  return net.op('Mul', [skip, net.sigmoid(net.bn(net.conv(both, 1, { kernel: 1 })))]);
}

export const unetPatterns: readonly Pattern[] = [
  {
    name: 'unet',
    batchNorms: 0,
    make() {
      const net = unet();
      const top = twoLevels(net, net.input(['n', 1, 'h', 'w']), (low, skip) => net.up(low, net.channels(skip)));
      return net.build(net.sigmoid(net.conv(top, 1, { kernel: 1, bias: true })));
    },
    widths: { conv1: 4, conv2: 4, conv3: 6, conv4: 6, conv5: 8, conv6: 8, up1: 6, conv7: 6, up2: 4, conv9: 4 },
  },
  {
    name: 'unet-static',
    batchNorms: 0,
    make() {
      const net = unet();
      const top = twoLevels(net, net.input([1, 1, 16, 16]), (low, skip) => net.up(low, net.channels(skip)));
      return net.build(net.conv(top, 2, { kernel: 1 }));
    },
  },
  {
    name: 'unet-nearest',
    batchNorms: 0,
    sizes: { h: 19, w: 13 },
    make() {
      const net = unet();
      const top = twoLevels(net, net.input(['n', 3, 'h', 'w']), (low, skip) => net.resizeLike(low, skip));
      return net.build(net.conv(top, 2, { kernel: 1 }));
    },
  },
  {
    name: 'unet-nearest-static',
    batchNorms: 0,
    make() {
      const net = unet();
      const top = twoLevels(net, net.input([2, 3, 12, 17]), (low, skip) => net.resizeLike(low, skip));
      return net.build(net.conv(top, 2, { kernel: 1 }));
    },
  },
  {
    name: 'unet-bilinear',
    batchNorms: 0,
    make() {
      const net = unet();
      const top = twoLevels(net, net.input(['n', 3, 'h', 'w']), (low) => net.scaleUp(low, 'linear'));
      return net.build(net.conv(top, 2, { kernel: 1 }));
    },
    widths: { conv5: 8, conv6: 8, conv7: 6 },
  },
  {
    name: 'unet-padded-static',
    batchNorms: 0,
    make() {
      const net = unet();
      const raise = (low: string, skip: string) => padLike(net, net.up(low, net.channels(skip)), skip);
      return net.build(net.conv(twoLevels(net, net.input([1, 1, 19, 15]), raise), 1, { kernel: 1 }));
    },
  },
  {
    name: 'unet-padded',
    batchNorms: 0,
    sizes: { h: 19, w: 15 },
    make() {
      const net = unet();
      const raise = (low: string, skip: string) => padLike(net, net.up(low, net.channels(skip)), skip);
      return net.build(net.conv(twoLevels(net, net.input(['n', 1, 'h', 'w']), raise), 1, { kernel: 1 }));
    },
  },
  {
    name: 'unet-1d',
    batchNorms: 0,
    make() {
      const net = unet();
      const top = twoLevels(net, net.input([2, 2, 32]), (low, skip) => net.up(low, net.channels(skip)));
      return net.build(net.conv(top, 1, { kernel: 1 }));
    },
  },
  {
    name: 'nested-unet',
    batchNorms: 0,
    make() {
      const net = unet();
      const x00 = double(net, net.input([1, 1, 16, 16]), 8);
      const x10 = double(net, net.maxPool(x00), 12);
      const x20 = double(net, net.maxPool(x10), 16);
      const x01 = double(net, net.concat(x00, net.scaleUp(x10)), 8);
      const x11 = double(net, net.concat(x10, net.scaleUp(x20)), 12);
      const x02 = double(net, net.concat(x00, x01, net.scaleUp(x11)), 8);
      return net.build(net.conv(x01, 1, { kernel: 1 }), net.conv(x02, 1, { kernel: 1 }));
    },
    widths: { conv1: 4, conv2: 4, conv4: 6, conv6: 8, conv8: 4, conv10: 6, conv12: 4 },
  },
  {
    name: 'attention-unet',
    batchNorms: 0,
    make() {
      const net = unet();
      const skip = double(net, net.input([1, 1, 16, 16]), 8);
      const bottom = double(net, net.maxPool(skip), 16);
      const low = net.up(bottom, 8);
      const top = double(net, net.concat(attentionGate(net, skip, low), low), 8);
      return net.build(net.conv(top, 1, { kernel: 1 }));
    },
    widths: { conv2: 4, conv4: 8, up1: 4, conv5: 3, conv6: 3, conv7: 1, conv8: 4 },
  },
  {
    name: 'nnunet-3d',
    batchNorms: 0,
    make() {
      const net = unet();
      const block = (x: string, out: number, stride = 1) =>
        net.op('LeakyRelu', [net.instanceNorm(net.conv(x, out, { stride, bias: true }))], { alpha: 0.01 });
      const skip = block(block(net.input([1, 1, 8, 8, 8]), 8), 8);
      const bottom = block(block(skip, 12, 2), 12);
      const top = block(net.concat(net.up(bottom, 8, { bias: false }), skip), 8);
      const head = (x: string) => net.conv(x, 3, { kernel: 1, bias: true });
      return net.build(head(top), head(bottom));
    },
    widths: { conv1: 4, conv2: 4, conv3: 6, conv4: 6, up1: 4, conv5: 4 },
  },
  {
    name: 'transposed-3x3',
    batchNorms: 0,
    make() {
      const net = unet();
      const low = net.block(net.input([1, 3, 8, 9]), 8, { stride: 2 });
      const options = { kernel: 3, padding: 1, outputPadding: 1, bias: false };
      const high = net.relu(net.bn(net.up(low, 12, options)));
      return net.build(net.conv(high, 2));
    },
    widths: { conv1: 4, up1: 6 },
  },
];
