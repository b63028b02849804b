import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import type { Attributes } from '../../../src/ir/graph.js';
import { semantics } from '../../../src/ops/index.js';
import { gradientErrors } from '../../support/check-gradient.js';

interface Case {
  readonly op: string;
  readonly x: readonly number[];
  readonly attributes?: Attributes;
}

function errorsOf({ op, x, attributes = {} }: Case, options: Parameters<typeof gradientErrors>[1]) {
  const builder = new GraphBuilder(semantics);
  builder.input('x', { dtype: 'f32', shape: x });
  return gradientErrors(builder.build([builder.apply(op, ['x'], attributes)]), options);
}

const MAX: Record<string, Case> = {
  '2x2 that tile': { op: 'MaxPool', x: [2, 3, 6, 4], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
  '2x2 on odd sizes': { op: 'MaxPool', x: [2, 3, 7, 5], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
  '2x2 on odd sizes, rounded up': {
    op: 'MaxPool',
    x: [2, 3, 7, 5],
    attributes: { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 },
  },
  '3x3, stride 2, pads': {
    op: 'MaxPool',
    x: [2, 3, 8, 7],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  },
  'uneven window, stride, dilation and pads': {
    op: 'MaxPool',
    x: [2, 2, 9, 11],
    attributes: { kernel_shape: [3, 2], strides: [1, 2], dilations: [2, 3], pads: [1, 0, 2, 1] },
  },
  'stride beyond the window': {
    op: 'MaxPool',
    x: [1, 2, 8, 9],
    attributes: { kernel_shape: [2, 1], strides: [3, 2] },
  },
  SAME_UPPER: {
    op: 'MaxPool',
    x: [1, 2, 7, 8],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_UPPER' },
  },
  SAME_LOWER: {
    op: 'MaxPool',
    x: [1, 2, 8, 8],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_LOWER' },
  },
  '1-D': { op: 'MaxPool', x: [2, 3, 11], attributes: { kernel_shape: [3], strides: [2] } },
  '3-D': { op: 'MaxPool', x: [1, 2, 5, 4, 6], attributes: { kernel_shape: [3, 2, 2], strides: [2, 1, 2] } },
  global: { op: 'GlobalMaxPool', x: [2, 3, 5, 4] },
};

describe('gradients of maxima', () => {
  // Shuffled whole numbers: the steps are so short that no maximum changes.
  it.each(Object.entries(MAX))('%s', async (_, node) => {
    let i = 0;
    const draw = () => ((i++ * 7919) % 499) - 249;
    for (const [name, error] of await errorsOf(node, { draw, step: 0.1 })) expect(error, name).toBeLessThan(1e-4);
  });
});

const AVERAGE: Record<string, Case> = {
  '2x2 that tile': { op: 'AveragePool', x: [2, 3, 6, 4], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
  '2x2 on odd sizes': { op: 'AveragePool', x: [2, 3, 7, 5], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
  'pads that do not count': {
    op: 'AveragePool',
    x: [2, 3, 7, 6],
    attributes: { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 2, 1] },
  },
  'pads that count': {
    op: 'AveragePool',
    x: [2, 3, 7, 6],
    attributes: { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 2, 1], count_include_pad: 1 },
  },
  'rounded up': {
    op: 'AveragePool',
    x: [2, 3, 8, 6],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 },
  },
  'rounded up, pads that do not count': {
    op: 'AveragePool',
    x: [2, 3, 7, 6],
    attributes: { kernel_shape: [3, 3], strides: [3, 2], pads: [1, 1, 1, 1], ceil_mode: 1 },
  },
  'rounded up, pads that count, the last window beyond them': {
    op: 'AveragePool',
    x: [2, 3, 7, 6],
    attributes: { kernel_shape: [3, 3], strides: [3, 2], pads: [1, 1, 1, 1], ceil_mode: 1, count_include_pad: 1 },
  },
  SAME_UPPER: {
    op: 'AveragePool',
    x: [1, 2, 7, 8],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_UPPER' },
  },
  SAME_LOWER: {
    op: 'AveragePool',
    x: [1, 2, 8, 8],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_LOWER' },
  },
  '1-D': { op: 'AveragePool', x: [2, 3, 11], attributes: { kernel_shape: [3], strides: [2] } },
  '3-D': { op: 'AveragePool', x: [1, 2, 5, 4, 6], attributes: { kernel_shape: [3, 2, 2], strides: [2, 1, 2] } },
  global: { op: 'GlobalAveragePool', x: [2, 3, 5, 4] },
  'global, 3-D': { op: 'GlobalAveragePool', x: [2, 3, 2, 3, 4] },
};

describe('gradients of averages', () => {
  it.each(Object.entries(AVERAGE))('%s', async (_, node) => {
    for (const [name, error] of await errorsOf(node, { step: 1 })) expect(error, name).toBeLessThan(1e-4);
  });
});

const NORMS: Record<string, Case> = {
  '1-norm': { op: 'LpPool', x: [2, 3, 7, 6], attributes: { kernel_shape: [2, 3], strides: [2, 1], p: 1 } },
  '2-norm': {
    op: 'LpPool',
    x: [2, 3, 7, 6],
    attributes: { kernel_shape: [2, 3], strides: [2, 1], pads: [1, 0, 0, 1] },
  },
  '3-norm': { op: 'LpPool', x: [2, 3, 7, 6], attributes: { kernel_shape: [3, 3], strides: [1, 2], p: 3 } },
  'global 1-norm': { op: 'GlobalLpPool', x: [2, 3, 5, 4], attributes: { p: 1 } },
  'global 2-norm': { op: 'GlobalLpPool', x: [2, 3, 5, 4] },
  'global 3-norm': { op: 'GlobalLpPool', x: [2, 3, 5], attributes: { p: 3 } },
};

describe('gradients of norms of windows', () => {
  // Away from the kink at 0. The finite steps bend the curve: about step² relative.
  it.each(Object.entries(NORMS))('%s', async (_, node) => {
    const draw = (random: () => number) => {
      const value = random();
      return value + Math.sign(value);
    };
    for (const [name, error] of await errorsOf(node, { draw, step: 1e-2 })) expect(error, name).toBeLessThan(1e-3);
  });
});
