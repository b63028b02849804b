import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import type { Attributes } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { semantics } from '../../../src/ops/index.js';
import { gradientErrors } from '../../support/check-gradient.js';

interface Case {
  readonly op: string;
  /** Shapes of the inputs that have a gradient. */
  readonly inputs: readonly (readonly number[])[];
  /** The other operands; undefined where an optional one is absent. */
  readonly operands?: readonly (readonly number[] | undefined)[];
  readonly attributes?: Attributes;
  readonly outputs?: number;
}

function graphOf({ op, inputs, operands = [], attributes = {}, outputs = 1 }: Case) {
  const builder = new GraphBuilder(semantics);
  const names = inputs.map((shape, i) => builder.input(`x${i}`, { dtype: 'f32', shape }));
  const others = operands.map((held, i) => (held ? builder.constant(`c${i}`, Tensor.integers(held)) : ''));
  const made = Array.from({ length: outputs }, (_, i) => `y${i}`);
  builder.add({ op, name: 'node', inputs: [...names, ...others], outputs: made, attributes });
  return builder.build(made);
}

const X = [2, 3, 5, 6];

const CASES: Record<string, Case> = {
  Reshape: { op: 'Reshape', inputs: [X], operands: [[3, -1, 4]] },
  Flatten: { op: 'Flatten', inputs: [X], attributes: { axis: 2 } },
  Squeeze: { op: 'Squeeze', inputs: [[2, 1, 3, 1]], operands: [[-1, 1]] },
  Unsqueeze: { op: 'Unsqueeze', inputs: [[2, 3]], operands: [[0, 2]] },
  Transpose: { op: 'Transpose', inputs: [[2, 3, 4, 5]], attributes: { perm: [1, 2, 3, 0] } },
  'Transpose, reversed': { op: 'Transpose', inputs: [[2, 3, 4]] },
  'DepthToSpace, DCR': { op: 'DepthToSpace', inputs: [[2, 8, 3, 5]], attributes: { blocksize: 2 } },
  'DepthToSpace, CRD': { op: 'DepthToSpace', inputs: [[1, 18, 2, 3]], attributes: { blocksize: 3, mode: 'CRD' } },
  SpaceToDepth: { op: 'SpaceToDepth', inputs: [[2, 3, 4, 6]], attributes: { blocksize: 2 } },
  Concat: { op: 'Concat', inputs: [X, [2, 1, 5, 6], [2, 4, 5, 6]], attributes: { axis: -3 } },
  Split: { op: 'Split', inputs: [[2, 7, 3]], operands: [[2, 4, 1]], attributes: { axis: 1 }, outputs: 3 },
  'Slice, two axes': {
    op: 'Slice',
    inputs: [X],
    operands: [
      [1, -4],
      [4, -1],
      [2, 3],
    ],
  },
  'Slice, ends beyond': {
    op: 'Slice',
    inputs: [X],
    operands: [
      [-99, 2],
      [99, 2 ** 31 - 1],
      [-1, 1],
    ],
  },
  'Slice, steps': {
    op: 'Slice',
    inputs: [X],
    operands: [
      [1, 0],
      [5, 6],
      [2, 3],
      [3, 2],
    ],
  },
  'Slice, backwards': {
    op: 'Slice',
    inputs: [X],
    operands: [
      [-1, 4],
      [-99, 0],
      [2, 3],
      [-1, -2],
    ],
  },
  'Slice, all axes': {
    op: 'Slice',
    inputs: [[3, 4]],
    operands: [
      [1, 0],
      [3, 3],
    ],
  },
  'Slice, 3-D': {
    op: 'Slice',
    inputs: [[1, 2, 4, 5, 3]],
    operands: [
      [1, 1],
      [3, 4],
      [2, 3],
    ],
  },
  'Pad, constant': { op: 'Pad', inputs: [X], operands: [[0, 1, 2, 0, 0, 0, 1, 3]] },
  'Pad that cuts off': { op: 'Pad', inputs: [X], operands: [[0, 0, -1, 2, 0, 1, 1, -2]] },
  'Pad, edge': { op: 'Pad', inputs: [X], operands: [[0, 0, 2, 1, 0, 0, 0, 3]], attributes: { mode: 'edge' } },
  'Pad, reflect': { op: 'Pad', inputs: [X], operands: [[0, 0, 2, 1, 0, 0, 3, 4]], attributes: { mode: 'reflect' } },
  'Pad, reflect, 1-D': {
    op: 'Pad',
    inputs: [[1, 2, 5]],
    operands: [[0, 0, 4, 0, 0, 4]],
    attributes: { mode: 'reflect' },
  },
  Tile: { op: 'Tile', inputs: [[2, 3, 4]], operands: [[1, 3, 2]] },
  Expand: { op: 'Expand', inputs: [[3, 1, 4]], operands: [[2, 1, 5, 4]] },
  'Gather, permutation': { op: 'Gather', inputs: [X], operands: [[4, 2, 0, 3, 1]], attributes: { axis: 2 } },
  'Gather, shuffle of many': {
    op: 'Gather',
    inputs: [[1, 12, 3]],
    operands: [[0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, -1]],
    attributes: { axis: 1 },
  },
  'Gather, some of many': {
    op: 'Gather',
    inputs: [[2, 30, 3]],
    operands: [[28, 3, 9, 1, 22, 15, 7, 11, 19, 5]],
    attributes: { axis: 1 },
  },
  'Gather, repeats': {
    op: 'Gather',
    inputs: [[2, 9, 3]],
    operands: [[3, 3, 1, -1, 8, 3, 0, 5, 2, 0, 7, 5]],
    attributes: { axis: 1 },
  },
  'Gather, repeats on the last axis': {
    op: 'Gather',
    inputs: [[2, 9]],
    operands: [[3, 3, 1, -1, 8, 3, 0, 5, 2, 0, 7, 5]],
    attributes: { axis: -1 },
  },
};

describe('gradients of moved elements', () => {
  it.each(Object.entries(CASES))('%s', async (_, node) => {
    const errors = await gradientErrors(graphOf(node), { step: 1 });
    // Linear, so that only float32 rounding is left.
    for (const [name, error] of errors) expect(error, name).toBeLessThan(1e-4);
  });

  it('Gather with one index, and with a table of them', async () => {
    for (const shape of [[], [2, 2]]) {
      const builder = new GraphBuilder(semantics);
      builder.input('x', { dtype: 'f32', shape: [2, 5, 3] });
      builder.constant('i', Tensor.integers(shape.length ? [4, 0, 4, 2] : [3], shape));
      const graph = builder.build([builder.apply('Gather', ['x', 'i'], { axis: 1 })]);
      const errors = await gradientErrors(graph, { step: 1 });
      expect(errors.get('x'), `[${shape}]`).toBeLessThan(1e-4);
    }
  });

  it('Split of which only one piece is used', async () => {
    const builder = new GraphBuilder(semantics);
    builder.input('x', { dtype: 'f32', shape: [2, 7, 3] });
    builder.constant('sizes', Tensor.integers([2, 4, 1]));
    builder.add({
      op: 'Split',
      name: 'split',
      inputs: ['x', 'sizes'],
      outputs: ['a', 'b', 'c'],
      attributes: { axis: 1 },
    });
    expect((await gradientErrors(builder.build(['b']), { step: 1 })).get('x')).toBeLessThan(1e-4);
  });

  it('Pad with a constant that learns, on named axes', async () => {
    const builder = new GraphBuilder(semantics);
    builder.input('x', { dtype: 'f32', shape: [2, 3, 4] });
    builder.input('value', { dtype: 'f32', shape: [] });
    builder.constant('pads', Tensor.integers([1, 2, 0, -1]));
    builder.constant('axes', Tensor.integers([-1, 1]));
    const errors = await gradientErrors(builder.build([builder.apply('Pad', ['x', 'pads', 'value', 'axes'])]), {
      step: 1,
    });
    for (const [name, error] of errors) expect(error, name).toBeLessThan(1e-4);
  });
});
