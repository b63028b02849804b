import { describe, expect, it } from 'vitest';
import { Tensor } from '../../src/ir/tensor.js';
import { operators } from '../../src/ops/index.js';
import type { ElementSource, TieCall } from '../../src/ops/op.js';
import { expectAgreement, expectRefusal, expectThinningLaw } from '../support/op-laws.js';
import { shapesInOnnxRuntime } from '../support/ort-shapes.js';
import {
  computed,
  constant,
  counting,
  inferCase,
  inferNode,
  integers,
  type NodeCase,
  unknown,
} from '../support/run-node.js';

const SIZES = [1, 2, 5, 7, 9, 13, 31];
const SCALES = [0.3, 0.5, 0.7, 1, 1.1, 4 / 3, 1.5, 2, 7 / 3, 2.5, 3, 1 / 3, 31 / 13, 13 / 31, 7 / 9, 5 / 7, 100 / 9];
const POLICIES = ['stretch', 'not_larger', 'not_smaller'];

const images = SIZES.map((size) => counting([1, 2, size, 5]));

function scaleGrid(): NodeCase[] {
  return images.flatMap((image) =>
    SCALES.filter((scale) => image.shape[2] * scale >= 1).flatMap((scale): NodeCase[] => [
      { op: 'Resize', inputs: [image, undefined, Tensor.floats([1, 1, scale, 1])] },
      { op: 'Resize', inputs: [image, undefined, Tensor.floats([scale, 2])], attributes: { axes: [2, 3] } },
      {
        op: 'Resize',
        inputs: [image, undefined, Tensor.floats([2, scale])],
        attributes: { axes: [-1, 2], mode: 'linear' },
      },
      {
        op: 'Resize',
        inputs: [image, Tensor.floats([0, 0, 0.1, 0, 1, 1, 0.8, 1]), Tensor.floats([1, 1, scale, 1])],
        attributes: { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize' },
      },
    ]),
  );
}

function sizeGrid(): NodeCase[] {
  return images.flatMap((image) =>
    SCALES.flatMap((scale) => Math.ceil(image.shape[2] * scale)).flatMap((size): NodeCase[] => [
      { op: 'Resize', inputs: [image, undefined, undefined, integers(1, 2, size, 7)] },
      ...POLICIES.flatMap((keep_aspect_ratio_policy): NodeCase[] => [
        {
          op: 'Resize',
          inputs: [image, undefined, undefined, integers(size, 7)],
          attributes: { axes: [2, 3], keep_aspect_ratio_policy },
        },
        {
          op: 'Resize',
          inputs: [image, undefined, undefined, integers(3, size)],
          attributes: { axes: [3, 2], keep_aspect_ratio_policy, mode: 'linear' },
        },
      ]),
    ]),
  );
}

function inferred(node: NodeCase): readonly unknown[] | null {
  try {
    return inferCase(node)[0].type.shape;
  } catch {
    return null;
  }
}

describe('Resize on a grid of sizes', () => {
  it.each([
    ['scales', scaleGrid()],
    ['sizes', sizeGrid()],
  ])('by %s', async (_, points) => {
    const fitting = points.filter((point) => inferred(point) !== null);
    expect(fitting.length).toBeGreaterThan(points.length * 0.9);
    expect(fitting.map(inferred)).toEqual(await shapesInOnnxRuntime(fitting));
  });

  it('refuses to make an axis empty', () => {
    const half = Tensor.floats([1, 1, 0.5, 1]);
    expect(() => inferCase({ op: 'Resize', inputs: [images[0], undefined, half] })).toThrow(
      /would make axis 2 of shape \[1,2,1,5\] empty/,
    );
  });
});

describe('Resize of symbolic shapes', () => {
  const x = unknown('x', ['N', 64, 'H', 'W']);
  const byScales = (...scales: number[]) =>
    inferNode('Resize', [x, undefined, constant('scales', Tensor.floats(scales))])[0].type.shape;

  it('multiplies by whole scales and divides by powers of two', () => {
    expect(byScales(1, 1, 2, 3)).toEqual(['N', 64, '2*H', '3*W']);
    expect(byScales(1, 1, 0.5, 0.25)).toEqual(['N', 64, 'floor(H/2)', 'floor(W/4)']);
    expect(byScales(1, 1, 1.5, 1)).toEqual(['N', 64, 'floor(1.5*(H))', 'W']);
  });

  it('takes computed sizes as they are', () => {
    const sizes = computed('sizes', ['N', 64, '2*H', 7]);
    expect(inferNode('Resize', [x, undefined, undefined, sizes])[0].type.shape).toEqual(['N', 64, '2*H', 7]);
  });

  it('keeps rank and apart what it cannot follow', () => {
    const sizes = unknown('sizes', [2], 'i64');
    const shape = (axes: number[]) => inferNode('Resize', [x, undefined, undefined, sizes], { axes })[0].type.shape;
    expect(shape([2, 3])).toEqual(['N', 64, 'element(sizes,0)', 'element(sizes,1)']);
    expect(shape([3, 2])).toEqual(['N', 64, 'element(sizes,1)', 'element(sizes,0)']);
    const scales = unknown('scales', null, null);
    const scaled = inferNode('Resize', [x, undefined, scales], { axes: [2] })[0].type.shape;
    expect(scaled).toEqual(['N', 64, 'floor(element(scales,0)*(H))', 'W']);
  });

  it('takes an empty tensor for an absent operand', () => {
    const empty = constant('empty', Tensor.floats([]));
    const sizes = constant('sizes', integers(1, 64, 8, 8));
    expect(inferNode('Resize', [x, empty, empty, sizes])[0].type.shape).toEqual([1, 64, 8, 8]);
  });

  it('stays unknown behind an unknown shape', () => {
    const none = unknown('none', null, null);
    expect(inferNode('Resize', [none, undefined, none])[0].type).toEqual({ dtype: null, shape: null });
  });
});

describe('Resize and GridSample refuse', () => {
  const image = images[2];
  const scales = Tensor.floats([1, 1, 2, 2]);
  const resize = (inputs: NodeCase['inputs'], attributes = {}): NodeCase => ({ op: 'Resize', inputs, attributes });
  const sample = (grid: Tensor, attributes = {}): NodeCase => ({ op: 'GridSample', inputs: [image, grid], attributes });
  it.each<[NodeCase, RegExp]>([
    [resize([image]), /needs either input 'scales' or input 'sizes', not both/],
    [
      resize([image, undefined, scales, integers(1, 2, 3, 4)]),
      /needs either input 'scales' or input 'sizes', not both/,
    ],
    [resize([image, undefined, Tensor.floats([2, 2])]), /'in_2' must hold 4 numbers, not shape \[2\]/],
    [resize([image, undefined, Tensor.floats([1, 1, 0, 2])]), /'in_2' holds 0; scales are above 0/],
    [resize([image, undefined, scales], { mode: 'area' }), /'mode' is 'area'; possible are nearest, linear, cubic/],
    [resize([image, undefined, Tensor.floats([2, 2])], { axes: [2, 2] }), /'axes' names an axis twice/],
    [sample(counting([1, 3, 4, 3])), /the grid of shape \[1,3,4,3\] holds no 2-D positions/],
    [sample(counting([1, 3, 4, 2]), { padding_mode: 'wrap' }), /'padding_mode' is 'wrap'/],
    [sample(counting([1, 3, 4, 2]), { mode: 'area' }), /'mode' is 'area'/],
  ])('%#: %o', (node, reason) => expectRefusal(node, reason));
});

describe('GridSample', () => {
  const x = counting([2, 4, 5, 6]);
  const node: NodeCase = {
    op: 'GridSample',
    inputs: [x, counting([2, 3, 7, 2])],
    attributes: { padding_mode: 'border' },
  };
  it('agrees with ONNX Runtime', () => expectAgreement(node));

  it('knows the spelling of opset 16', () => {
    const [{ type }] = inferNode('GridSample', [unknown('x', x.shape), unknown('g', [2, 3, 7, 2])], {
      mode: 'bilinear',
    });
    expect(type.shape).toEqual([2, 4, 3, 7]);
  });

  it('couples images and channels', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 8; seed++) for (const axis of await expectThinningLaw(node, { seed })) seen.add(axis);
    expect([...seen].sort()).toEqual(['in_0 0', 'in_0 1', 'in_1 0', 'out_0 0', 'out_0 1']);
  });
});

describe('thinning of Resize', () => {
  const x = counting([2, 6, 5, 4]);
  it.each<[string, NodeCase]>([
    ['scales', { op: 'Resize', inputs: [x, undefined, Tensor.floats([1, 1, 2, 1.5])], floats: [] }],
    ['sizes', { op: 'Resize', inputs: [x, undefined, undefined, integers(2, 6, 9, 9)] }],
    [
      'sizes of some axes',
      { op: 'Resize', inputs: [x, undefined, undefined, integers(9, 9)], attributes: { axes: [2, 3] } },
    ],
  ])('by %s', async (_, node) => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 8; seed++) for (const axis of await expectThinningLaw(node, { seed })) seen.add(axis);
    expect([...seen].sort()).toEqual(['in_0 0', 'in_0 1', 'out_0 0', 'out_0 1']);
  });

  const ties = (inputs: TieCall['inputs'], source: ElementSource | undefined, attributes = {}) => {
    const outputs = [unknown('y', [1, 4, 8, 8])];
    const defaults = { coordinate_transformation_mode: 'half_pixel', keep_aspect_ratio_policy: 'stretch' };
    const call = { inputs, outputs, source: () => source, isPinned: () => false };
    return operators.get('Resize')!.ties(call, { ...defaults, ...attributes });
  };
  const image = unknown('x', [1, 4, 4, 4]);
  const channel = { kind: 'same', a: { value: 'x', axis: 1 }, b: { value: 'y', axis: 1 } };
  const sizes = computed('sizes', [1, 4, 8, 8]);

  it('fixes the channels where nobody knows where their size comes from', () => {
    expect(ties([image, undefined, undefined, sizes], undefined)).toEqual([]);
    expect(ties([image, undefined, undefined, sizes], { kind: 'constant' })).toContainEqual(channel);
  });

  it('couples the channels to those of another value whose size they get', () => {
    const axis = { value: 'skip', axis: 1 };
    const found = ties([image, undefined, undefined, sizes], { kind: 'size', axis });
    expect(found).toContainEqual(channel);
    expect(found).toContainEqual({ kind: 'same', a: axis, b: { value: 'x', axis: 1 } });
  });

  it('fixes all resized axes where they influence each other or are cropped', () => {
    const scales = constant('scales', Tensor.floats([1, 1, 2, 2]));
    expect(ties([image, undefined, scales], undefined)).toContainEqual(channel);
    expect(
      ties([image, undefined, scales], undefined, { coordinate_transformation_mode: 'tf_crop_and_resize' }),
    ).toEqual([]);
    const fitting = ties(
      [image, undefined, undefined, sizes],
      { kind: 'constant' },
      { keep_aspect_ratio_policy: 'not_larger' },
    );
    expect(fitting).toEqual([]);
  });

  it('fixes a scale that is a quotient of sizes', () => {
    const quotient = { ...computed('scales', [1, 1, 2, 2]) };
    expect(ties([image, undefined, quotient], undefined)).toEqual([]);
  });
});
