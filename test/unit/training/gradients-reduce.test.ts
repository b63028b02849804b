import { describe, expect, it } from 'vitest';
import type { Attributes } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { expectGradients, gradientsAt } from '../../support/gradient-cases.js';

interface Form {
  readonly shape: readonly number[];
  readonly axes?: readonly number[];
  readonly attributes?: Attributes;
}

const FORMS: Record<string, Form> = {
  'all axes': { shape: [2, 3, 4] },
  'the space of a 2-D image': { shape: [2, 3, 4, 5], axes: [2, 3] },
  'the channels of a 2-D image, axis dropped': { shape: [2, 3, 4, 5], axes: [-3], attributes: { keepdims: 0 } },
  'the space of a 3-D image, axes dropped': { shape: [2, 2, 2, 3, 2], axes: [-1, 2, 3], attributes: { keepdims: 0 } },
  'no axes': { shape: [2, 3], axes: [], attributes: { noop_with_empty_axes: 1 } },
};

/** No two of up to 131 values lie closer than 0.1. */
function distinct(): () => number {
  let count = 0;
  return () => (((count++ * 37) % 131) - 65.5) / 10;
}

describe.each(Object.entries(FORMS))('gradients of reductions: %s', (_, { shape, axes, attributes }) => {
  const nodeOf = (op: string) => ({ op, inputs: [shape, axes && Tensor.integers(axes)], attributes });

  it.each(['ReduceSum', 'ReduceMean'])('%s', async (op) => {
    await expectGradients(nodeOf(op), 1e-4, { step: 0.5 });
  });

  it.each(['ReduceMax', 'ReduceMin'])('%s', async (op) => {
    await expectGradients(nodeOf(op), 1e-4, { draw: distinct() });
  });

  it('ReduceL2', async () => {
    // Without a reduction the runtime leaves x as it is, instead of |x|.
    await expectGradients(nodeOf('ReduceL2'), 1e-3, { draw: (random) => 0.5 + Math.abs(random()) });
  });

  it('ReduceProd', async () => {
    await expectGradients(nodeOf('ReduceProd'), 2e-3, { draw: (random) => 1 + 0.3 * Math.tanh(random()), step: 3e-3 });
  });
});

describe('gradients of reductions at special points', () => {
  const rows = (op: string, values: readonly number[]) =>
    gradientsAt({ op, inputs: [[2, 3], Tensor.integers([1])] }, [values]).then((gradients) => gradients.get('x0'));

  it('equal maxima and minima share', async () => {
    expect(await rows('ReduceMax', [1, 2, 2, 0, 0, -1])).toEqual([0, 0.5, 0.5, 0.5, 0.5, 0]);
    expect(await rows('ReduceMin', [1, 1, 2, 0, 5, -1])).toEqual([0.5, 0.5, 0, 0, 0, 1]);
  });

  it('ReduceL2 of zeros has none', async () => {
    expect(await rows('ReduceL2', [0, 0, 0, 3, 0, 0])).toEqual([0, 0, 0, 1, 0, 0]);
  });

  it('ReduceProd with one zero and with two', async () => {
    expect(await rows('ReduceProd', [2, 0, 3, 0, 0, 5])).toEqual([0, 6, 0, 0, 0, 0]);
    expect(await rows('ReduceProd', [2, -1, 4, 1, 0, 0.5])).toEqual([-4, 8, -2, 0, 0.5, 0]);
  });
});
