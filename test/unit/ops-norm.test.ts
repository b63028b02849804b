import { describe, expect, it } from 'vitest';
import { Tensor } from '../../src/ir/tensor.js';
import { operators } from '../../src/ops/index.js';
import { expectAgreement, expectRefusal, expectThinningLaw } from '../support/op-laws.js';
import { counting, inferNode, type NodeCase, unknown } from '../support/run-node.js';

const x = counting([2, 6, 3, 4]);
const channels = Tensor.floats([1, 2, 3, 4, 5, 6]);
const layer = counting([3, 4]);
const batchNorm: NodeCase = { op: 'BatchNormalization', inputs: [x, channels, channels, channels, channels] };
const groupNorm = (groups: number): NodeCase => ({
  op: 'GroupNormalization',
  inputs: [x, channels, channels],
  attributes: { num_groups: groups },
});

const agreeing: Record<string, NodeCase> = {
  BatchNormalization: batchNorm,
  InstanceNormalization: { op: 'InstanceNormalization', inputs: [x, channels, channels] },
  GroupNormalization: groupNorm(3),
  'LayerNormalization of the last axis': { op: 'LayerNormalization', inputs: [x, counting([4])] },
  'LayerNormalization with statistics': {
    op: 'LayerNormalization',
    inputs: [x, layer, layer],
    attributes: { axis: 2 },
    outputCount: 3,
  },
};

describe('normalizations agree with ONNX Runtime', () => {
  it.each(Object.entries(agreeing))('%s', (_, node) => expectAgreement(node));
});

describe('normalizations refuse', () => {
  const refused: Record<string, [NodeCase, RegExp]> = {
    'parameters for other channels': [
      { ...batchNorm, inputs: [x, channels, channels, channels, counting([5])] },
      /'in_4' holds 5 numbers for 6 channels/,
    ],
    'parameters that are no list': [
      { ...batchNorm, inputs: [x, counting([6, 1]), channels, channels, channels] },
      /'in_1' must have rank 1/,
    ],
    'an instance without spatial axes': [
      { op: 'InstanceNormalization', inputs: [layer, counting([4]), counting([4])] },
      /at least 3 axes/,
    ],
    'groups that do not divide': [groupNorm(4), /num_groups 4 does not divide 6 channels/],
    'an axis outside': [
      { op: 'LayerNormalization', inputs: [x, layer], attributes: { axis: 4 } },
      /axis 4 is outside rank 4/,
    ],
    'a layer of another shape': [
      { op: 'LayerNormalization', inputs: [x, counting([5])] },
      /of shape \[5\] cannot be broadcast to \[2,6,3,4\]/,
    ],
  };
  it.each(Object.entries(refused))('%s', (_, [node, reason]) => expectRefusal(node, reason));

  it('training mode', () => {
    const inputs = ['scale', 'B', 'mean', 'var'].map((name) => unknown(name, [6]));
    expect(() => inferNode('BatchNormalization', [unknown('x', x.shape), ...inputs], { training_mode: 1 })).toThrow(
      /is in training mode; export the model for inference/,
    );
  });
});

describe('thinning of normalizations', () => {
  const perChannel = ['in_0 1', 'in_1 0', 'in_2 0', 'out_0 1'];
  it.each<[string, NodeCase, string[]]>([
    ['BatchNormalization, every axis but its own', batchNorm, ['in_0 0', 'in_0 2', ...perChannel, 'in_3 0', 'in_4 0']],
    ['InstanceNormalization', { op: 'InstanceNormalization', inputs: [x, channels, channels] }, perChannel],
    ['GroupNormalization of single channels', groupNorm(6), perChannel],
    [
      'LayerNormalization before its axis',
      { ...agreeing['LayerNormalization with statistics'] },
      ['in_0 1', 'out_0 1', 'out_1 1'],
    ],
  ])('%s', async (_, node, thinned) => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 12; seed++) for (const axis of await expectThinningLaw(node, { seed })) seen.add(axis);
    expect([...seen]).toEqual(expect.arrayContaining(thinned));
    // Statistics run over the spatial axes of these; only BatchNormalization brings its own.
    if (!node.op.startsWith('Batch')) expect([...seen]).not.toContain('in_0 3');
  });
});

describe('coupling of normalizations', () => {
  it('keeps equal places in the groups together', () => {
    const inputs = [unknown('x', [2, 6, 3]), unknown('scale', [6]), unknown('bias', [6])];
    const call = { inputs, outputs: [unknown('y', [2, 6, 3])], source: () => undefined, isPinned: () => false };
    expect(operators.get('GroupNormalization')!.ties(call, { num_groups: 3 })).toContainEqual({
      kind: 'lockstep',
      axis: { value: 'x', axis: 1 },
      groups: 3,
    });
  });
});
