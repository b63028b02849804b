import { describe, expect, it } from 'vitest';
import { lower } from '../../src/exporters/lowering/index.js';
import type { Operation } from '../../src/exporters/lowering/operations.js';
import { TFJS } from '../../src/exporters/tfjs/target.js';
import { TFLITE } from '../../src/exporters/tflite/target.js';
import { Tensor } from '../../src/ir/tensor.js';
import { type CaseNet, graphOfCases, type LoweringCase, named, on } from '../support/lowering-case.js';

const IMAGE = [2, 4, 5, 6];

/** The operations that a case becomes, one after another. */
function operationsOf(one: LoweringCase, layout: 'nhwc' | 'nchw'): string[] {
  const { graph } = graphOfCases([one]);
  return lower(graph, TFLITE, { layout }).operations.map(spelled);
}

function spelled(operation: Operation): string {
  return operation.kind === 'unary' || operation.kind === 'binary' ? operation.function : operation.kind;
}

describe('an operator becomes these operations', () => {
  const perChannel = (net: CaseNet) => [1, 2, 3].map(() => net.normal(4)).concat(net.floats([1, 2, 3, 4]));
  it.each<[LoweringCase, string[]]>([
    [on('BatchNormalization', [IMAGE], perChannel), ['multiply', 'add']],
    [on('Clip', [IMAGE], (net) => [net.scalar(0), net.scalar(6)]), ['relu6']],
    [on('Clip', [IMAGE], (net) => [net.scalar(0)]), ['relu']],
    [on('Clip', [IMAGE], (net) => ['', net.scalar(1)]), ['minimum']],
    [on('Pow', [IMAGE], (net) => [net.scalar(2)]), ['square']],
    [on('Softmax', [IMAGE], undefined, { axis: 3 }), ['softmax']],
    [on('MatMul', [[3, 4]], (net) => [net.normal(4, 5)]), ['fullyConnected']],
    [on('MatMul', [[2, 3, 4]], (net) => [net.normal(4, 5)]), ['fullyConnected']],
    [on('MatMul', [[2, 3, 4]], (net) => [net.normal(1, 4, 5)]), ['fullyConnected']],
    [on('MatMul', [[3, 4]], (net) => [net.op('Transpose', [net.normal(5, 4)])]), ['fullyConnected']],
    // One matrix for all on the right takes all rows at once, and is not repeated.
    [
      on('MatMul', [
        [2, 2, 3, 4],
        [4, 5],
      ]),
      ['reshape', 'reshape', 'matMul', 'reshape'],
    ],
    [
      on('MatMul', [
        [2, 3, 4],
        [2, 4, 5],
      ]),
      ['matMul'],
    ],
    [on('Gemm', [[3, 4]], (net) => [net.normal(4, 5), net.normal(5)], { alpha: 2, beta: 3 }), ['fullyConnected']],
    [
      on(
        'Einsum',
        [
          [3, 4],
          [4, 5],
        ],
        undefined,
        { equation: 'ij,jk->ik' },
      ),
      ['reshape', 'reshape', 'matMul', 'reshape'],
    ],
    [on('Slice', [[2, 4]], (net) => [net.integers([1]), net.integers([9]), net.integers([1])]), ['slice']],
    [on('Gather', [IMAGE], (net) => [net.integers([1, 2])], { axis: 1 }), ['slice']],
    [on('Transpose', [[2, 3, 4]], undefined, { perm: [1, 0, 2] }), ['transpose']],
    [on('Expand', [IMAGE], (net) => [net.integers([1])]), ['reshape']],
    [
      named('pieces that nobody reads', (net) => net.ops('Split', [net.input([6])], 3, { num_outputs: 3 })[1]),
      ['slice'],
    ],
  ])('$name', (one, operations) => {
    expect(operationsOf(one, 'nchw')).toEqual(operations);
  });
});

describe('channels last move nothing for', () => {
  const toLast = { perm: [0, 2, 3, 1] };
  it.each<LoweringCase>([
    on('Softmax', [IMAGE], undefined, { axis: 1 }),
    on('Concat', [IMAGE, IMAGE], undefined, { axis: 1 }),
    on('GroupNormalization', [IMAGE], (net) => [net.normal(4), net.normal(4)], { num_groups: 2 }),
    on('LayerNormalization', [IMAGE], (net) => [net.normal(4, 5, 6)], { axis: 1 }),
    on('PRelu', [IMAGE], (net) => [net.normal(4, 1, 1)]),
    on('DepthToSpace', [[2, 12, 5, 6]], undefined, { blocksize: 2 }),
    named('a mean of channels', (net) =>
      net.op('ReduceMean', [net.input(IMAGE), net.integers([2, 3])], { keepdims: 0 }),
    ),
    named('the largest of all', (net) => net.op('ReduceMax', [net.input(IMAGE)], { keepdims: 0 })),
    named('fewer spatial axes', (net) => net.op('Reshape', [net.input(IMAGE), net.integers([2, 4, 30])])),
    named('channels that gate', (net) => {
      const gates = net.op('Sigmoid', [
        net.op('ReduceMean', [net.input(IMAGE), net.integers([2, 3])], { keepdims: 0 }),
      ]);
      return net.op('Mul', [net.input(IMAGE), net.op('Unsqueeze', [gates, net.integers([2, 3])])]);
    }),
    named('tokens', (net) => {
      const last = net.op('Transpose', [net.op('Relu', [net.input(IMAGE)])], toLast);
      const tokens = net.op('LayerNormalization', [last, net.normal(4)]);
      const back = net.op('Transpose', [net.op('MatMul', [tokens, net.normal(4, 3)])], { perm: [0, 3, 1, 2] });
      return net.op('Softplus', [back]);
    }),
  ])('$name', (one) => {
    expect(operationsOf(one, 'nhwc')).not.toContain('transpose');
  });

  it.each([
    ['ArgMax', (net: CaseNet) => net.op('ArgMax', [net.input(IMAGE)], { axis: 1, keepdims: 0 })],
    ['Gather', (net: CaseNet) => net.op('Gather', [net.input(IMAGE), net.integers([1], [])], { axis: 1 })],
    ['ReduceMax', (net: CaseNet) => net.op('ReduceMax', [net.input(IMAGE), net.integers([1])], { keepdims: 0 })],
  ])('%s, by which the channels go, but their successor at the output', (_, make) => {
    const operations = operationsOf(named('', make), 'nhwc');
    expect(operations.filter((kind) => kind === 'transpose')).toHaveLength(1);
    expect(operations.at(-1)).toBe('transpose');
  });
});

describe('constants that are made of constants', () => {
  it.each<[string, (net: CaseNet) => string]>([
    ['halves', (net) => net.cast(net.cast(net.normal(3, 4, 3, 3), 'f16'), 'f32')],
    ['transposed', (net) => net.op('Transpose', [net.normal(4, 3, 3, 3)], { perm: [1, 0, 2, 3] })],
    ['reshaped', (net) => net.op('Reshape', [net.normal(108), net.integers([3, 4, 3, 3])])],
    [
      'quantized',
      (net) => {
        const bytes = Tensor.encode('i8', [3, 4, 3, 3], new Int8Array(108).fill(7));
        return net.op('DequantizeLinear', [net.constant(bytes), net.normal(3)], { axis: 0 });
      },
    ],
  ])('are weights: %s', (_, weight) => {
    expect(
      operationsOf(
        named('', (net) => net.op('Conv', [net.input(IMAGE), weight(net)])),
        'nhwc',
      ),
    ).toEqual(['conv2d']);
  });
});

describe('what no format can say is refused by name', () => {
  const seven = [2, 1, 2, 1, 2, 1, 2];
  const whole = (net: CaseNet) => net.whole(net.input(IMAGE));
  const computed = (net: CaseNet) => net.whole(net.input([4]), 'i64');
  it.each<[RegExp, (net: CaseNet) => string]>([
    [
      /^Add node 'add' .*: it works on a value of 7 axes, and 6 are possible there$/,
      (net) => net.op('Add', [net.input(seven), net.input(seven, 1)]),
    ],
    [/^Transpose node .* 7 axes/, (net) => net.op('Transpose', [net.input(seven)])],
    [
      /^ArgMax node .*: of equal elements only the first/,
      (net) => net.op('ArgMax', [net.input(IMAGE)], { select_last_index: 1 }),
    ],
    [
      /^Einsum node .*: sums over products of more than two/,
      (net) =>
        net.op('Einsum', [net.input([2, 2]), net.input([2, 2]), net.input([2, 2])], { equation: 'ij,jk,kl->il' }),
    ],
    [
      /^Einsum node .*: a diagonal \('i' twice in one term\)/,
      (net) => net.op('Einsum', [net.input([2, 2])], { equation: 'ii->i' }),
    ],
    [
      /^Einsum node .*: 'i' has two extents/,
      (net) => net.op('Einsum', [net.input([1, 4]), net.input([3, 4])], { equation: 'ij,ij->i' }),
    ],
    [
      /^QuantizeLinear node .*: quantized models cannot be written there yet/,
      (net) => net.op('QuantizeLinear', [net.input(IMAGE), net.scalar(0.1)]),
    ],
    [
      /^DequantizeLinear node .*: quantized models cannot be written there yet/,
      (net) => net.op('DequantizeLinear', [net.cast(net.input(IMAGE), 'u8'), net.scalar(0.1)]),
    ],
    [
      /^LayerNormalization node .*: its mean and deviation/,
      (net) => net.ops('LayerNormalization', [net.input(IMAGE), net.normal(6)], 2)[1],
    ],
    [/^Dropout node .*: its mask/, (net) => net.ops('Dropout', [net.input(IMAGE)], 2)[1]],
    [
      /^Clip node .*: 'mul' is computed, and must be a constant/,
      (net) => net.op('Clip', [net.input(IMAGE), net.op('Mul', [net.input([]), net.scalar(2)])]),
    ],
    [
      /^Pad node .*: of whole numbers and truth values only zeros/,
      (net) => net.op('Pad', [whole(net), net.integers([0, 0, 1, 1, 0, 0, 1, 1]), net.cast(net.scalar(3), 'i32')]),
    ],
    [/^Relu node .*: 'relu' is possible of floating-point numbers only/, (net) => net.op('Relu', [whole(net)])],
    [
      /^Tile node .*: the shape of its output .* depends on values/,
      (net) => net.op('Tile', [net.input(IMAGE), computed(net)]),
    ],
  ])('%s', (sentence, make) => {
    for (const target of [TFLITE, TFJS]) {
      const { graph } = graphOfCases([named('', make)]);
      expect(() => lower(graph, target)).toThrow(sentence);
    }
  });
});
