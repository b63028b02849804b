import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import type { Attributes } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { createRandom } from '../../../src/math/random.js';
import { semantics } from '../../../src/ops/index.js';
import { gradientErrors } from '../../support/check-gradient.js';

interface Case {
  readonly op: 'Conv' | 'ConvTranspose';
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly attributes?: Attributes;
}

const CASES: Record<string, Case> = {
  '2-D 3x3': { op: 'Conv', x: [2, 3, 7, 6], w: [4, 3, 3, 3], attributes: { pads: [1, 1, 1, 1] } },
  '1x1': { op: 'Conv', x: [2, 3, 4, 4], w: [5, 3, 1, 1] },
  depthwise: { op: 'Conv', x: [2, 4, 6, 6], w: [4, 1, 3, 3], attributes: { group: 4, pads: [1, 1, 1, 1] } },
  'depthwise with multiplier 2': {
    op: 'Conv',
    x: [2, 3, 6, 6],
    w: [6, 1, 3, 3],
    attributes: { group: 3, pads: [1, 1, 1, 1] },
  },
  'groups, stride, dilation, uneven pads': {
    op: 'Conv',
    x: [2, 6, 9, 10],
    w: [4, 3, 3, 2],
    attributes: { group: 2, strides: [2, 3], dilations: [2, 1], pads: [1, 0, 2, 1] },
  },
  'SAME_UPPER, stride 2': {
    op: 'Conv',
    x: [1, 2, 7, 8],
    w: [3, 2, 3, 3],
    attributes: { auto_pad: 'SAME_UPPER', strides: [2, 2] },
  },
  '1-D': { op: 'Conv', x: [2, 3, 11], w: [4, 3, 5], attributes: { pads: [2, 2] } },
  '3-D, stride 2': {
    op: 'Conv',
    x: [1, 2, 5, 6, 4],
    w: [3, 2, 3, 3, 3],
    attributes: { pads: [1, 1, 1, 1, 1, 1], strides: [2, 2, 2] },
  },
  'transposed, 2x2 stride 2': {
    op: 'ConvTranspose',
    x: [2, 4, 3, 5],
    w: [4, 3, 2, 2],
    attributes: { strides: [2, 2] },
  },
  'transposed, output padding': {
    op: 'ConvTranspose',
    x: [2, 4, 3, 5],
    w: [4, 3, 3, 3],
    attributes: { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] },
  },
  'transposed, groups, dilation': {
    op: 'ConvTranspose',
    x: [1, 4, 4, 4],
    w: [4, 2, 3, 3],
    attributes: { strides: [2, 1], dilations: [1, 2], group: 2 },
  },
  'transposed, 3-D': {
    op: 'ConvTranspose',
    x: [1, 2, 3, 2, 3],
    w: [2, 3, 2, 2, 2],
    attributes: { strides: [2, 2, 2] },
  },
};

describe('gradients of convolutions', () => {
  it.each(Object.entries(CASES))('%s', async (_, { op, x, w, attributes = {} }) => {
    const random = createRandom(3);
    const normals = (shape: readonly number[]) =>
      Tensor.floats(
        Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
        shape,
      );
    const builder = new GraphBuilder(semantics);
    builder.input('x', { dtype: 'f32', shape: x });
    builder.constant('w', normals(w));
    const outputs = op === 'Conv' ? w[0] : w[1] * Number(attributes.group ?? 1);
    builder.constant('b', normals([outputs]));
    const y = builder.apply(op, ['x', 'w', 'b'], attributes);
    const errors = await gradientErrors(builder.build([y]), { variables: ['w', 'b'], step: 1 });
    // Linear in each operand, so that only float32 rounding is left.
    for (const [name, error] of errors) expect(error, name).toBeLessThan(1e-4);
  });
});
