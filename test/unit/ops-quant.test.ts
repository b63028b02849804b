import { describe, expect, it } from 'vitest';
import { Tensor } from '../../src/ir/tensor.js';
import { expectAgreement, expectRefusal, expectThinningLaw } from '../support/op-laws.js';
import { counting, inferNode, type NodeCase, unknown } from '../support/run-node.js';

const x = counting([2, 4, 3, 2]);
const q = counting([2, 4, 3, 2], 'u8');
const scale = (...shape: number[]) =>
  Tensor.floats(
    Array.from(counting(shape).toFloat32(), (value) => value / 4 + 0.5),
    shape,
  );
const zero = (dtype: 'u8' | 'i8', ...shape: number[]) => counting(shape, dtype);

const agreeing: Record<string, NodeCase> = {
  'QuantizeLinear of a tensor': { op: 'QuantizeLinear', inputs: [x, scale(), zero('u8')] },
  'QuantizeLinear without a zero point': { op: 'QuantizeLinear', inputs: [x, scale()] },
  'QuantizeLinear to a stated type': { op: 'QuantizeLinear', inputs: [x, scale()], attributes: { output_dtype: 3 } },
  'QuantizeLinear of channels': { op: 'QuantizeLinear', inputs: [x, scale(4), zero('i8', 4)] },
  'QuantizeLinear of another axis': {
    op: 'QuantizeLinear',
    inputs: [x, scale(3), zero('u8', 3)],
    attributes: { axis: -2 },
  },
  'QuantizeLinear of blocks': {
    op: 'QuantizeLinear',
    inputs: [x, scale(2, 2, 3, 2), zero('u8', 2, 2, 3, 2)],
    attributes: { axis: 1, block_size: 2 },
  },
  'QuantizeLinear of a vector': { op: 'QuantizeLinear', inputs: [counting([4]), scale(), zero('u8')] },
  'DequantizeLinear of a tensor': { op: 'DequantizeLinear', inputs: [q, scale(), zero('u8')] },
  'DequantizeLinear of channels': { op: 'DequantizeLinear', inputs: [q, scale(4), zero('u8', 4)] },
  'DequantizeLinear of a bias': {
    op: 'DequantizeLinear',
    inputs: [counting([4], 'i32'), scale(4)],
    attributes: { axis: 0 },
  },
  'DequantizeLinear of blocks': {
    op: 'DequantizeLinear',
    inputs: [q, scale(2, 4, 1, 2), zero('u8', 2, 4, 1, 2)],
    attributes: { axis: 2, block_size: 3 },
  },
};

const refused: Record<string, [NodeCase, RegExp]> = {
  'a scale that does not fit the axis': [
    { op: 'QuantizeLinear', inputs: [x, scale(3), zero('u8', 3)] },
    /the scale must have shape \[4\], not \[3\]/,
  ],
  'a zero point of another type': [
    { op: 'DequantizeLinear', inputs: [q, scale(), zero('i8')] },
    /the input is u8, its zero point i8/,
  ],
  'a type that the zero point contradicts': [
    { op: 'QuantizeLinear', inputs: [x, scale(), zero('u8')], attributes: { output_dtype: 3 } },
    /output_dtype/,
  ],
  'an axis outside the rank': [
    { op: 'QuantizeLinear', inputs: [x, scale(4), zero('u8', 4)], attributes: { axis: 4 } },
    /axis 4 is outside rank 4/,
  ],
};

describe('quantization', () => {
  it.each(Object.entries(agreeing))('%s: infers what ONNX Runtime computes', (_, node) => expectAgreement(node));

  it.each(Object.entries(refused))('refuses %s as ONNX Runtime does', (_, [node, reason]) =>
    expectRefusal(node, reason),
  );

  it('refuses what no runtime need check', () => {
    expect(() => inferNode('QuantizeLinear', [unknown('x', [4], 'u8'), unknown('s', [])])).toThrow(/is u8/);
    expect(() => inferNode('DequantizeLinear', [unknown('x', [4], 'f32'), unknown('s', [])])).toThrow(/is f32/);
    const blocks = [unknown('x', [4, 4]), unknown('s', [4, 2])];
    expect(() => inferNode('QuantizeLinear', blocks, { block_size: 3, axis: 0 })).toThrow(/\[2,4\]/);
  });

  it('passes on what is not known', () => {
    expect(inferNode('QuantizeLinear', [unknown('x', null), unknown('s', [4])])[0].type).toEqual({
      dtype: 'u8',
      shape: null,
    });
    const parts = [unknown('x', ['n', 4, 'h'], null), unknown('s', null, null)];
    expect(inferNode('DequantizeLinear', parts)[0].type).toEqual({ dtype: null, shape: ['n', 4, 'h'] });
  });
});

describe('ties of quantization', () => {
  const all = ['in_0 0', 'in_0 1', 'in_0 2', 'in_0 3', 'out_0 0', 'out_0 1', 'out_0 2', 'out_0 3'];
  const cases: Record<string, string[]> = {
    'QuantizeLinear of a tensor': all,
    'QuantizeLinear of channels': [...all, 'in_1 0', 'in_2 0'].sort(),
    'QuantizeLinear of another axis': [...all, 'in_1 0', 'in_2 0'].sort(),
    'DequantizeLinear of channels': [...all, 'in_1 0', 'in_2 0'].sort(),
    'QuantizeLinear of blocks': [0, 2, 3]
      .flatMap((axis) => ['in_0', 'in_1', 'in_2', 'out_0'].map((v) => `${v} ${axis}`))
      .sort(),
  };

  it.each(Object.entries(cases))('%s: the parameters follow their axis', async (name, free) => {
    const thinned = new Set<string>();
    for (let seed = 0; seed < 16; seed++)
      for (const axis of await expectThinningLaw(agreeing[name], { seed })) thinned.add(axis);
    expect([...thinned].sort()).toEqual(free);
  });
});
