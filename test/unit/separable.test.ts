import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { describe, expect, test } from 'vitest';
import { costOf } from '../../src/analysis/cost.js';
import { kernelOf, type Unfolding, unfold, unfoldedShape } from '../../src/analysis/unfolding.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Attributes } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { DataType } from '../../src/ir/types.js';
import { semantics } from '../../src/ops/index.js';
import type { SeparableOptions } from '../../src/passes/separable.js';
import { type ConvolutionSpec, convolutionGraph, difference, runSeparable } from '../support/convolution-graph.js';
import { kernelOfRank, normals, storedIndex } from '../support/low-rank-kernels.js';

/** float32 convolutions of this size differ by so much where only the order of summation does. */
const FLOAT_ROUNDING = 5e-6;

function noise(shape: readonly number[], seed = 1): Tensor {
  return Tensor.floats(
    normals(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  );
}

interface Case extends ConvolutionSpec {
  readonly name: string;
  readonly options: SeparableOptions;
  readonly form: string;
  readonly rank: number;
}

function conv2d(name: string, by: Unfolding, rank: number, attributes: Attributes, options: SeparableOptions): Case {
  const form = { inner: 'depthwise-pointwise', outer: 'pointwise-depthwise', spatial: 'spatial', channel: 'channel' }[
    by
  ];
  const weight = kernelOfRank([10, 6, 3, 4], 1, by, rank);
  return {
    name,
    op: 'Conv',
    weight,
    size: [9, 11],
    attributes: attributes.auto_pad ? attributes : { pads: [1, 0, 2, 1], ...attributes },
    options,
    form,
    rank,
  };
}

function transpose2d(
  name: string,
  by: Unfolding,
  rank: number,
  attributes: Attributes,
  options: SeparableOptions,
): Case {
  const form = { inner: 'pointwise-depthwise', outer: 'depthwise-pointwise', spatial: 'spatial', channel: 'channel' }[
    by
  ];
  const weight = kernelOfRank([6, 10, 3, 4], 1, by, rank);
  return { name, op: 'ConvTranspose', weight, size: [5, 6], attributes, options, form, rank };
}

const strided = { strides: [2, 3], dilations: [2, 1] };
const upsampling = { strides: [2, 3], pads: [1, 0, 0, 1], dilations: [1, 2], output_padding: [1, 0] };
const depthwise = (rank: number): SeparableOptions => ({ mode: 'depthwise', rank });
const spatial = (rank: number): SeparableOptions => ({ mode: 'spatial', rank });
const auto: SeparableOptions = { mode: 'auto', maxError: 1e-6 };

const CASES: Case[] = [
  conv2d('depthwise first', 'inner', 2, {}, depthwise(2)),
  conv2d('depthwise first, strides and dilations', 'inner', 1, strided, depthwise(1)),
  conv2d('depthwise first, SAME_LOWER', 'inner', 2, { auto_pad: 'SAME_LOWER', strides: [2, 2] }, depthwise(3)),
  conv2d('depthwise first, VALID', 'inner', 2, { auto_pad: 'VALID' }, depthwise(2)),
  conv2d('pointwise first where only that is exact', 'outer', 2, {}, depthwise(2)),
  conv2d('pointwise first, strides and dilations', 'outer', 1, strided, depthwise(1)),
  conv2d('spatial', 'spatial', 2, {}, spatial(2)),
  conv2d('spatial, strides and dilations', 'spatial', 2, strided, spatial(3)),
  conv2d('spatial, SAME_UPPER', 'spatial', 2, { auto_pad: 'SAME_UPPER', strides: [1, 2] }, spatial(2)),
  conv2d('channel', 'channel', 3, strided, auto),
  transpose2d('transposed, pointwise first', 'inner', 2, upsampling, depthwise(2)),
  transpose2d('transposed, SAME_UPPER', 'inner', 1, { auto_pad: 'SAME_UPPER', strides: [2, 2] }, depthwise(1)),
  transpose2d('transposed, output_shape', 'inner', 1, { output_shape: [11, 13], strides: [2, 2] }, depthwise(1)),
  transpose2d('transposed, depthwise first where only that is exact', 'outer', 2, upsampling, depthwise(2)),
  transpose2d('transposed, spatial', 'spatial', 2, upsampling, spatial(2)),
  transpose2d('transposed, channel', 'channel', 2, upsampling, auto),
  {
    name: '1-D',
    op: 'Conv',
    weight: kernelOfRank([8, 5, 7], 1, 'inner', 2),
    size: [20],
    attributes: { strides: [2], pads: [3, 3] },
    options: depthwise(2),
    form: 'depthwise-pointwise',
    rank: 2,
  },
  {
    name: '3-D',
    op: 'Conv',
    weight: kernelOfRank([7, 4, 3, 2, 3], 1, 'inner', 3),
    size: [5, 6, 7],
    attributes: { pads: [1, 1, 1, 1, 0, 1], strides: [1, 2, 1] },
    options: depthwise(3),
    form: 'depthwise-pointwise',
    rank: 3,
  },
  {
    name: '3-D spatial: first axis and the others',
    op: 'Conv',
    weight: kernelOfRank([7, 4, 3, 2, 3], 1, 'spatial', 2),
    size: [5, 6, 7],
    attributes: { pads: [1, 1, 1, 1, 0, 1], strides: [2, 2, 1] },
    options: spatial(2),
    form: 'spatial',
    rank: 2,
  },
  {
    name: '3-D transposed',
    op: 'ConvTranspose',
    weight: kernelOfRank([4, 7, 2, 2, 2], 1, 'inner', 1),
    size: [3, 4, 5],
    attributes: { strides: [2, 2, 2] },
    options: depthwise(1),
    form: 'pointwise-depthwise',
    rank: 1,
  },
  {
    name: 'two 1x1 for a 1x1',
    op: 'Conv',
    weight: kernelOfRank([12, 9, 1, 1], 1, 'channel', 2),
    size: [4, 4],
    options: auto,
    form: 'channel',
    rank: 2,
  },
  ...(['inner', 'outer', 'spatial', 'channel'] as const).flatMap((by): Case[] => [
    {
      name: `grouped, ${by}`,
      op: 'Conv',
      weight: kernelOfRank([12, 4, 3, 3], 2, by, 1),
      size: [7, 8],
      attributes: { group: 2, pads: [1, 1, 1, 1], strides: [1, 2] },
      options: by === 'spatial' ? spatial(1) : by === 'channel' ? auto : depthwise(1),
      form: { inner: 'depthwise-pointwise', outer: 'pointwise-depthwise', spatial: 'spatial', channel: 'channel' }[by],
      rank: 1,
    },
    {
      name: `grouped and transposed, ${by}`,
      op: 'ConvTranspose',
      weight: kernelOfRank([12, 5, 3, 3], 3, by, 1),
      size: [7, 8],
      attributes: { group: 3, pads: [1, 1, 1, 1], strides: [1, 2] },
      options: by === 'spatial' ? spatial(1) : by === 'channel' ? auto : depthwise(1),
      form: { inner: 'pointwise-depthwise', outer: 'depthwise-pointwise', spatial: 'spatial', channel: 'channel' }[by],
      rank: 1,
    },
  ]),
];

describe('kernels of known rank', () => {
  const results = CASES.map((spec) => {
    const graph = convolutionGraph(spec);
    return [graph, runSeparable(graph, spec.options)] as const;
  });

  test.each(CASES.map(({ name }, i) => [name, i] as const))('%s: comes out exact', async (_, i) => {
    const { form, rank } = CASES[i];
    const [before, { graph, changes }] = results[i];
    expect(changes).toEqual([expect.objectContaining({ layer: 'layer', action: 'factorized', form, rank })]);
    expect(changes[0].relativeError).toBeLessThan(1.2e-7);
    expect(graph.nodes).toHaveLength(2);
    expect(graph.type('y')).toEqual(before.type('y'));
    expect(await difference(before, graph)).toBeLessThan(FLOAT_ROUNDING);
  });
});

test('without a bias the last factor has none', async () => {
  const spec = { ...CASES[0], bias: false };
  const graph = convolutionGraph(spec);
  const { graph: after } = runSeparable(graph, spec.options);
  expect(after.nodes.map(({ inputs }) => inputs.length)).toEqual([2, 2]);
  expect(await difference(graph, after)).toBeLessThan(FLOAT_ROUNDING);
});

describe('kernels without structure', () => {
  test('as many terms as kernel positions are exact', async () => {
    const weight = noise([40, 9, 2, 3]);
    const graph = convolutionGraph({ op: 'Conv', weight, size: [8, 8] });
    const { graph: after, changes } = runSeparable(graph, { rank: 6, mode: 'depthwise' });
    expect(changes[0]).toMatchObject({ action: 'kept', reason: expect.stringContaining('rank 6') });
    expect(after.nodes).toHaveLength(1);
    const full = runSeparable(convolutionGraph({ op: 'Conv', weight: noise([5, 9, 7, 1]), size: [8, 8] }), { rank: 7 });
    expect(full.changes[0]).toMatchObject({ action: 'kept' });
  });

  test.each([
    ['inner', { mode: 'depthwise', rank: 2 }],
    ['spatial', { mode: 'spatial', rank: 3 }],
  ] as const)(
    '%s: the output is that of the best kernel of the rank, and the stated error is its distance',
    async (by, options) => {
      const weight = noise([20, 12, 3, 3]);
      const best = bestOfRank(weight, by, options.rank);
      const spec = { op: 'Conv', size: [9, 9], attributes: { pads: [1, 1, 1, 1] } } as const;
      const { graph, changes } = runSeparable(convolutionGraph({ ...spec, weight }), options);
      const distance = Math.hypot(...weight.toFloat64().map((value, i) => value - best[i]));
      expect(changes[0].relativeError).toBeCloseTo(distance / Math.hypot(...weight.toFloat64()), 10);
      const expected = convolutionGraph({ ...spec, weight: Tensor.floats(best, weight.shape) });
      expect(await difference(expected, graph)).toBeLessThan(FLOAT_ROUNDING);
    },
  );

  test('the largest error sets the smallest rank', () => {
    const weight = noise([32, 16, 3, 3]);
    const graph = convolutionGraph({ op: 'Conv', weight, size: [8, 8] });
    const [{ rank, relativeError }] = runSeparable(graph, { mode: 'depthwise', maxError: 0.6 }).changes;
    const [below] = runSeparable(graph, { mode: 'depthwise', rank: (rank as number) - 1 }).changes;
    expect(relativeError).toBeLessThanOrEqual(0.6);
    expect(below.relativeError).toBeGreaterThan(0.6);
  });

  test('auto keeps a layer where no form within the error saves work, and says so', () => {
    const graph = convolutionGraph({ op: 'Conv', weight: noise([32, 16, 3, 3]), size: [8, 8] });
    const { graph: after, changes } = runSeparable(graph, { mode: 'auto' });
    expect(after.nodes).toEqual(graph.nodes);
    expect(changes).toEqual([
      { layer: 'layer', action: 'kept', reason: expect.stringMatching(/relative error of 0.05 saves/) },
    ]);
  });

  test.each([
    ['inner', 'depthwise-pointwise'],
    ['outer', 'pointwise-depthwise'],
    ['spatial', 'spatial'],
    ['channel', 'channel'],
  ] as const)('auto finds the %s form in a noisy kernel that has it', (by, form) => {
    const clean = kernelOfRank([24, 16, 3, 3], 1, by, 2).toFloat64();
    const disturbances = normals(clean.length, 3);
    const weight = Tensor.floats(
      clean.map((value, i) => value + 0.01 * disturbances[i]),
      [24, 16, 3, 3],
    );
    const graph = convolutionGraph({ op: 'Conv', weight, size: [8, 8] });
    expect(runSeparable(graph, { mode: 'auto' }).changes[0]).toMatchObject({ action: 'factorized', form, rank: 2 });
  });

  test('auto with a fixed rank takes the form that comes closest', () => {
    const graph = convolutionGraph({ op: 'Conv', weight: noise([24, 16, 3, 3]), size: [8, 8] });
    const [best] = runSeparable(graph, { mode: 'auto', rank: 2 }).changes;
    const others = (['depthwise', 'spatial'] as const).map((mode) => runSeparable(graph, { mode, rank: 2 }).changes[0]);
    expect(best.form).toBe('pointwise-depthwise');
    for (const { relativeError } of others) expect(best.relativeError).toBeLessThan(relativeError as number);
  });
});

/** The weight with every matrix of the unfolding cut to its leading terms by ml-matrix. */
function bestOfRank(weight: Tensor, by: Unfolding, rank: number): Float64Array {
  const kernel = kernelOf(weight, 1);
  const { count, rows, columns } = unfoldedShape(kernel, by);
  const values = weight.toFloat64();
  const at = (m: number, i: number, j: number) => storedIndex(kernel, by, m, i, j);
  const out = new Float64Array(values.length);
  for (let m = 0; m < count; m++) {
    const matrix = new Matrix(rows, columns);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) matrix.set(i, j, values[at(m, i, j)]);
    const svd = new SingularValueDecomposition(matrix, { autoTranspose: true });
    for (let t = 0; t < rank; t++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++)
          out[at(m, i, j)] += svd.diagonal[t] * svd.leftSingularVectors.get(i, t) * svd.rightSingularVectors.get(j, t);
  }
  return out;
}

describe('what stays, and why', () => {
  test.each<[string, Partial<ConvolutionSpec> & { weight: Tensor }, SeparableOptions, RegExp]>([
    ['three input channels', { weight: noise([8, 3, 3, 3]) }, {}, /3 input channels, fewer than 4/],
    ['two a group', { weight: noise([8, 2, 3, 3]), attributes: { group: 2 } }, {}, /2 input channels a group/],
    ['a 1x1 kernel', { weight: noise([8, 8, 1, 1]) }, {}, /one position/],
    [
      'a depthwise kernel',
      { weight: noise([8, 1, 3, 3]), attributes: { group: 8 } },
      { mode: 'auto' },
      /depthwise already/,
    ],
    ['an excluded layer', { weight: noise([8, 8, 3, 3]) }, { exclude: (name) => name === 'layer' }, /excluded/],
    ['one output channel', { weight: noise([1, 8, 3, 3]) }, {}, /saves neither/],
    ['a kernel with one long axis', { weight: noise([8, 8, 3, 1]) }, { mode: 'spatial' }, /two spatial factors/],
    ['an infinite weight', { weight: Tensor.floats([Infinity, ...normals(575, 1)], [8, 8, 3, 3]) }, {}, /not finite/],
    ['a NaN, auto', { weight: Tensor.floats([NaN, ...normals(575, 1)], [8, 8, 3, 3]) }, { mode: 'auto' }, /not finite/],
  ])('%s', (_, spec, options, reason) => {
    const graph = convolutionGraph({ op: 'Conv', size: [8, 8], ...spec });
    const { graph: after, changes } = runSeparable(graph, options);
    expect(after.nodes).toEqual(graph.nodes);
    expect(changes).toEqual([{ layer: 'layer', action: 'kept', reason: expect.stringMatching(reason) }]);
  });

  test('a weight that is computed', () => {
    const builder = new GraphBuilder(semantics);
    builder.input('x', { dtype: 'f32', shape: [1, 8, 8, 8] });
    builder.input('w', { dtype: 'f32', shape: [8, 8, 3, 3] });
    builder.add({ op: 'Conv', name: '', inputs: ['x', 'w'], outputs: ['y'], attributes: {} });
    expect(runSeparable(builder.build(['y']), {}).changes).toEqual([
      { layer: 'y', action: 'kept', reason: expect.stringContaining('computed') },
    ]);
  });

  test('a zero weight becomes zero factors', () => {
    const graph = convolutionGraph({
      op: 'Conv',
      weight: Tensor.floats(new Float32Array(576), [8, 8, 3, 3]),
      size: [8, 8],
    });
    const { graph: after, changes } = runSeparable(graph, {});
    expect(changes[0]).toMatchObject({ action: 'factorized', rank: 1, relativeError: 0 });
    expect(
      [...after.constants].filter(([name]) => name !== 'b').flatMap(([, tensor]) => [...tensor.toFloat64()]),
    ).toEqual(Array(8 * 9 + 64).fill(0));
  });
});

test.each([
  [{ rank: 0 }, '--rank is 0'],
  [{ rank: 1.5 }, '--rank is 1.5'],
  [{ maxError: 1 }, '--max-error is 1'],
  [{ maxError: Number.NaN }, '--max-error is NaN'],
  [{ rank: 2, maxError: 0.1 }, '--max-error does not go with'],
])('%j is refused', (options, message) => {
  const graph = convolutionGraph({ op: 'Conv', weight: noise([8, 8, 3, 3]), size: [8, 8] });
  expect(() => runSeparable(graph, options)).toThrow(message);
});

test('names: the output keeps its own, the rest is named after layer and weight', () => {
  const graph = convolutionGraph({ op: 'Conv', weight: noise([8, 8, 3, 3]), size: ['h', 'w'] });
  const { graph: after } = runSeparable(graph, {});
  expect(after.nodes.map(({ name, inputs, outputs }) => [name, ...inputs, ...outputs])).toEqual([
    ['layer/depthwise', 'x', 'w.depthwise', 'y/depthwise'],
    ['layer/pointwise', 'y/depthwise', 'w.pointwise', 'b', 'y'],
  ]);
  expect(after.type('y').shape).toEqual([1, 8, 'h-2', 'w-2']);
});

test.each<[ConvolutionSpec['op'], Unfolding, SeparableOptions]>(
  (['Conv', 'ConvTranspose'] as const).flatMap((op) => [
    [op, 'inner', { mode: 'depthwise', rank: 2 }],
    [op, 'outer', { mode: 'depthwise', rank: 2 }],
    [op, 'spatial', { mode: 'spatial', rank: 2 }],
    [op, 'channel', { mode: 'auto', maxError: 1e-6 }],
  ]),
)('%s, %s: the report counts parameters and work as the cost analysis does', (op, by, options) => {
  const weight = kernelOfRank([16, 12, 2, 3], 1, by, 2);
  const size = op === 'Conv' ? [8, 12] : [4, 4];
  const before = convolutionGraph({ op, weight, size, attributes: { strides: [2, 3] }, bias: false });
  const { graph: after, changes } = runSeparable(before, options);
  const [costBefore, costAfter] = [costOf(before), costOf(after)];
  expect(changes[0]).toMatchObject({
    parametersBefore: costBefore.parameters,
    parametersAfter: costAfter.parameters,
    macsPerPositionBefore: (costBefore.macs as number) / 16,
    macsPerPositionAfter: (costAfter.macs as number) / 16,
  });
});

test('nodes that share a weight share its factors', () => {
  const builder = new GraphBuilder(semantics);
  builder.input('x', { dtype: 'f32', shape: [1, 8, 8, 8] });
  builder.constant('w', noise([8, 8, 3, 3]));
  const attributes = { pads: [1, 1, 1, 1] };
  builder.add({ op: 'Conv', name: 'first', inputs: ['x', 'w'], outputs: ['a'], attributes });
  builder.add({ op: 'Conv', name: 'second', inputs: ['a', 'w'], outputs: ['y'], attributes });
  const { graph, changes } = runSeparable(builder.build(['y']), {});
  expect(changes.map(({ layer }) => layer)).toEqual(['first', 'second']);
  expect([...graph.constants.keys()]).toEqual(['w.depthwise', 'w.pointwise']);
  expect(graph.nodes).toHaveLength(4);
});

test.each<[DataType, number]>([
  ['f64', 1e-12],
  ['f32', 1e-6],
  ['f16', 2e-3],
  ['bf16', 2e-2],
])('%s kernels of exact rank: factors keep the type and give the kernel back', (dtype, tolerance) => {
  const exact = dtype === 'f64' ? outerProducts() : kernelOfRank([10, 6, 3, 3], 1, 'inner', 2).toFloat64();
  const weight = Tensor.encode(dtype, [10, 6, 3, 3], exact);
  const { graph, changes } = runSeparable(convolutionGraph({ op: 'Conv', weight, size: [8, 8] }), { rank: 3 });
  expect(changes[0]).toMatchObject({ action: 'factorized', rank: 2 });
  const [kernels, mixing] = ['w.depthwise', 'w.pointwise'].map((name) => graph.constants.get(name) as Tensor);
  expect([kernels.dtype, mixing.dtype]).toEqual([dtype, dtype]);
  const [v, u] = [kernels.toFloat64(), mixing.toFloat64()];
  const errors = weight.toFloat64().map((value, index) => {
    const [o, i, k] = [Math.floor(index / 54), Math.floor(index / 9) % 6, index % 9];
    return [0, 1].reduce((rest, t) => rest - u[o * 12 + 2 * i + t] * v[(2 * i + t) * 9 + k], value);
  });
  expect(Math.hypot(...errors)).toBeLessThan(tolerance * Math.hypot(...exact));
});

/** A [10, 6, 3, 3] kernel of two terms for each input channel, in full double precision. */
function outerProducts(): Float64Array {
  const [u, v] = [normals(120, 1), normals(108, 2)];
  return Float64Array.from({ length: 540 }, (_, index) => {
    const [o, i, k] = [Math.floor(index / 54), Math.floor(index / 9) % 6, index % 9];
    return [0, 1].reduce((sum, t) => sum + u[o * 12 + 2 * i + t] * v[(2 * i + t) * 9 + k], 0);
  });
}

test('both factors have the same range', () => {
  const { graph } = runSeparable(convolutionGraph({ op: 'Conv', weight: noise([16, 8, 3, 3]), size: [8, 8] }), {});
  const [v, u] = ['w.depthwise', 'w.pointwise'].map((name) => (graph.constants.get(name) as Tensor).toFloat64());
  for (let i = 0; i < 8; i++) {
    const column = Array.from({ length: 16 }, (_, o) => u[o * 8 + i]);
    expect(Math.hypot(...column)).toBeCloseTo(Math.hypot(...v.slice(9 * i, 9 * i + 9)), 5);
  }
});

test('running it twice changes nothing more, and gives the same bytes every time', () => {
  const graph = convolutionGraph({ op: 'Conv', weight: noise([16, 8, 3, 3]), size: [8, 8] });
  const once = runSeparable(graph, {}).graph;
  expect(runSeparable(once, {}).graph.nodes).toEqual(once.nodes);
  const again = runSeparable(graph, {}).graph;
  for (const [name, tensor] of once.constants) expect(again.constants.get(name)?.toBytes()).toEqual(tensor.toBytes());
});

test('a weight read piece by piece unfolds as one read whole', () => {
  const shape = [300, 1000, 3, 3];
  const weight = noise(shape);
  const kernel = kernelOf(weight, 1);
  const values = weight.toFloat64();
  for (const by of ['inner', 'outer'] as const) {
    const { rows, columns } = unfoldedShape(kernel, by);
    let m = 0;
    for (const matrix of unfold(kernel, by)) {
      for (const [i, j] of [
        [0, 0],
        [rows - 1, columns - 1],
        [m % rows, m % columns],
      ])
        if (matrix[i * columns + j] !== values[storedIndex(kernel, by, m, i, j)])
          throw new Error(`${by} ${m} ${i} ${j}`);
      m++;
    }
    expect(m).toBe(unfoldedShape(kernel, by).count);
  }
});
