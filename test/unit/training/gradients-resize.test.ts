import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import type { Attributes } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { semantics } from '../../../src/ops/index.js';
import { replay } from '../../../src/training/differentiate.js';
import {
  type AxisResize,
  correlationOf,
  resizeRows,
  transposedMatrix,
} from '../../../src/training/gradients/resize-rows.js';
import { Kernels } from '../../../src/training/kernels.js';
import { gradientErrors } from '../../support/check-gradient.js';
import { runNode } from '../../support/run-node.js';

interface Case {
  readonly x: readonly number[];
  readonly scales?: readonly number[];
  readonly sizes?: readonly number[];
  readonly region?: readonly number[];
  readonly attributes?: Attributes;
}

function graphOf({ x, scales, sizes, region, attributes = {} }: Case) {
  const builder = new GraphBuilder(semantics);
  builder.input('x', { dtype: 'f32', shape: x });
  if (region) builder.constant('region', Tensor.floats(region));
  if (scales) builder.constant('scales', Tensor.floats(scales));
  if (sizes) builder.constant('sizes', Tensor.integers(sizes));
  const inputs = ['x', region ? 'region' : '', scales ? 'scales' : '', ...(sizes ? ['sizes'] : [])];
  return builder.build([builder.apply('Resize', inputs, attributes)]);
}

const NEAREST = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };

const CASES: Record<string, Case> = {
  'nearest, twice and three times': { x: [2, 3, 4, 5], scales: [1, 1, 2, 3], attributes: NEAREST },
  'nearest, half-pixel, twice': { x: [1, 2, 3, 5], scales: [1, 1, 2, 2], attributes: { mode: 'nearest' } },
  'nearest, by a fraction': { x: [2, 3, 4, 5], scales: [1, 1, 1.75, 1], attributes: NEAREST },
  'nearest, down': { x: [1, 2, 7, 9], sizes: [1, 2, 3, 4], attributes: NEAREST },
  'nearest, 1-D': { x: [2, 3, 5], scales: [1, 1, 2], attributes: NEAREST },
  'nearest, 3-D, one axis kept': { x: [1, 2, 3, 2, 3], scales: [1, 1, 1, 2, 2], attributes: NEAREST },
  'nearest, channels too': { x: [1, 2, 3, 2], scales: [1, 2, 1, 2], attributes: NEAREST },
  'linear, twice': { x: [2, 3, 4, 5], scales: [1, 1, 2, 2], attributes: { mode: 'linear' } },
  'linear, long axis, three times and twice': {
    x: [1, 2, 86, 4],
    scales: [1, 1, 3, 2],
    attributes: { mode: 'linear' },
  },
  'linear, long axis, 1-D': { x: [2, 3, 128], scales: [1, 1, 2], attributes: { mode: 'linear' } },
  'linear, long axis, 3-D, one kept': { x: [1, 2, 3, 3, 130], scales: [1, 1, 1, 2, 2], attributes: { mode: 'linear' } },
  'linear, three times and twice': { x: [2, 3, 4, 5], scales: [1, 1, 3, 2], attributes: { mode: 'linear' } },
  'linear, from one pixel': { x: [2, 3, 1, 1], scales: [1, 1, 4, 4], attributes: { mode: 'linear' } },
  'linear, half-pixel of PyTorch': {
    x: [1, 2, 4, 5],
    sizes: [1, 2, 8, 10],
    attributes: { mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel' },
  },
  'linear, corners aligned': {
    x: [2, 3, 4, 5],
    sizes: [2, 3, 8, 10],
    attributes: { mode: 'linear', coordinate_transformation_mode: 'align_corners' },
  },
  'linear, asymmetric, twice': {
    x: [2, 3, 4, 5],
    scales: [1, 1, 2, 2],
    attributes: { mode: 'linear', coordinate_transformation_mode: 'asymmetric' },
  },
  'linear, by fractions, down and up': { x: [2, 3, 9, 5], scales: [1, 1, 0.6, 1.5], attributes: { mode: 'linear' } },
  'linear, named axes': { x: [1, 2, 3, 5], sizes: [7, 6], attributes: { mode: 'linear', axes: [3, 2] } },
  'linear, 3-D, twice': { x: [1, 2, 3, 2, 4], scales: [1, 1, 2, 2, 2], attributes: { mode: 'linear' } },
  'linear, cropped beyond the image': {
    x: [1, 2, 5, 6],
    sizes: [1, 2, 4, 7],
    region: [0, 0, -0.2, 0.3, 1, 1, 0.9, 1.2],
    attributes: { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize' },
  },
  'linear, cropped, one axis of scale 1': {
    x: [1, 2, 5, 6],
    scales: [1, 1, 1, 2],
    region: [0, 0, 0.2, 0.3, 1, 1, 0.9, 1.2],
    attributes: { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize' },
  },
  'cubic, twice': { x: [1, 2, 5, 4], scales: [1, 1, 2, 2], attributes: { mode: 'cubic' } },
  'cubic, outside excluded': {
    x: [1, 2, 5, 6],
    sizes: [1, 2, 8, 5],
    attributes: { mode: 'cubic', exclude_outside: 1, cubic_coeff_a: -0.5 },
  },
};

describe('gradients of Resize', () => {
  it.each(Object.entries(CASES))('%s', async (_, node) => {
    for (const [name, error] of await gradientErrors(graphOf(node), { step: 1 }))
      expect(error, name).toBeLessThan(1e-4);
  });

  it('refuses antialiasing by name', () => {
    const graph = graphOf({ x: [1, 1, 8, 8], sizes: [1, 1, 4, 4], attributes: { mode: 'linear', antialias: 1 } });
    const kernels = new Kernels(new GraphBuilder(semantics));
    const input = (name: string, shape: readonly number[]) =>
      kernels.wrap(kernels.builder.input(name, { dtype: 'f32', shape }));
    const tape = replay(graph, kernels, new Map([['x', input('x', [1, 1, 8, 8])]]));
    const seeds = new Map([[graph.outputs[0], input('dy', [1, 1, 4, 4])]]);
    expect(() => tape.backward(seeds, ['x'])).toThrow(/Resize \(with antialias\) node 'resize'/);
  });
});

const COORDINATES = [
  'half_pixel',
  'half_pixel_symmetric',
  'pytorch_half_pixel',
  'align_corners',
  'asymmetric',
  'tf_crop_and_resize',
];
const VARIANTS = [
  ...['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'].map((rounding) => ({ mode: 'nearest', rounding })),
  { mode: 'linear' },
  { mode: 'cubic' },
  { mode: 'cubic', excludesOutside: true },
] as readonly { mode: AxisResize['mode']; rounding?: string; excludesOutside?: boolean }[];

const SIZES: readonly (readonly [size: number, scale: number])[] = [
  [1, 3],
  [5, 1],
  [4, 2],
  [5, 3],
  [7, 1.4],
  [9, 0.5],
  [10, 0.35],
  [8, 0.25],
  [6, 0.2],
];

describe('matrices of interpolation', () => {
  it.each(COORDINATES)('are those of ONNX Runtime for %s', async (coordinates) => {
    for (const { mode, rounding = 'round_prefer_floor', excludesOutside = false } of VARIANTS)
      for (const [size, scale] of SIZES) {
        const region = [0.17, 1.1] as const;
        // Its rows are columns of the matrix.
        const identity = Float32Array.from({ length: size * size }, (_, i) => Number(i % (size + 1) === 0));
        const [y] = await runNode({
          op: 'Resize',
          inputs: [
            Tensor.floats(identity, [1, 1, size, size]),
            Tensor.floats([0, 0, region[0], 0, 1, 1, region[1], 1]),
            Tensor.floats([1, 1, scale, 1]),
          ],
          attributes: {
            mode,
            coordinate_transformation_mode: coordinates,
            nearest_mode: rounding,
            exclude_outside: Number(excludesOutside),
          },
        });
        const out = y.shape[2];
        const isCopied = scale === 1;
        const rows = resizeRows({
          size,
          out,
          scale: Math.fround(scale),
          mode,
          coordinates: isCopied ? 'asymmetric' : coordinates,
          rounding,
          cubicCoefficient: -0.75,
          excludesOutside,
          region,
        });
        const matrix = Tensor.floats(transposedMatrix(rows, size), [size, out]).permute([1, 0]).toFloat32();
        const what = `${mode} ${rounding} ${excludesOutside} ${size} x ${scale}`;
        const difference = Math.max(...y.toFloat32().map((value, i) => Math.abs(value - matrix[i])));
        // Positions and weights are computed in single precision.
        expect(difference, what).toBeLessThan(1e-5);
      }
  });
});

describe('correlationOf', () => {
  const axis = { mode: 'linear', coordinates: 'half_pixel', rounding: '', cubicCoefficient: 0, excludesOutside: false };
  const rows = (size: number, scale: number, coordinates = 'half_pixel') =>
    resizeRows({ ...axis, mode: 'linear', coordinates, size, scale, out: size * scale, region: [0, 1] });

  it('finds linear interpolation to a whole multiple', () => {
    expect(correlationOf(rows(5, 2), 5)).toEqual({ kernel: [0.25, 0.75, 0.75, 0.25], stride: 2, begin: 1 });
    expect(correlationOf(rows(86, 3), 86)?.kernel).toHaveLength(5);
  });

  it('finds none where positions do not repeat', () => {
    expect(correlationOf(rows(5, 2, 'align_corners'), 5)).toBeUndefined();
    expect(correlationOf(rows(5, 2, 'asymmetric'), 5)).toBeUndefined();
  });
});
