import { beforeAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Attributes, Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { type Format, runInFormat } from '../support/run-formats.js';
import { type Output, runGraph } from '../support/run-graph.js';

/** One node on an input of its own shape; constants are its operands after the first. */
interface Case {
  readonly name: string;
  readonly op: string;
  readonly x: readonly number[];
  readonly constants?: readonly (Tensor | undefined)[];
  readonly attributes: Attributes;
  /** Formats that refuse it. */
  readonly refusedBy?: readonly Format[];
}

const random = createRandom(11);
const normal = (...shape: number[]) =>
  Tensor.floats(
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    shape,
  );

/** All of them in one graph: a case is an output, and cases of one shape share an input. */
function graphOf(cases: readonly Case[]): Graph {
  const builder = new GraphBuilder(semantics);
  const inputs = new Map<string, string>();
  const outputs = cases.map(({ op, x, constants = [], attributes }, i) => {
    const key = x.join('x');
    const input = inputs.get(key) ?? builder.input(`x${key}`, { dtype: 'f32', shape: x });
    inputs.set(key, input);
    const operands = constants.map((tensor, k) => (tensor ? builder.constant(`c${i}_${k}`, tensor) : ''));
    return builder.apply(op, [input, ...operands], attributes, `y${i}`);
  });
  return builder.build(outputs);
}

function convolutions(): Case[] {
  const cases: Case[] = [];
  for (const kernel of [1, 2, 3, 5])
    for (const stride of [1, 2, 3])
      for (const pads of [
        [0, 0],
        [1, 1],
        [0, 1],
        [2, 1],
      ])
        for (const dilation of kernel > 1 && pads[0] === pads[1] ? [1, 2] : [1])
          for (const size of [8, 9])
            for (const group of kernel === 3 ? [1, 2, 4] : [1]) {
              const [before, after] = pads;
              if (size - 1 + before + after < (kernel - 1) * dilation + 1) continue;
              cases.push({
                name: `Conv k${kernel} s${stride} p${pads} d${dilation} g${group} on ${size}`,
                op: 'Conv',
                x: [1, 4, size, size - 1],
                constants: [normal(8, 4 / group, kernel, kernel), normal(8)],
                attributes: {
                  pads: [before, before, after, after],
                  strides: [stride, stride],
                  dilations: [dilation, dilation],
                  group,
                },
              });
            }
  return cases;
}

function otherConvolutions(): Case[] {
  const weight = [normal(6, 4, 3, 3), normal(6)];
  return [
    ...['SAME_UPPER', 'SAME_LOWER', 'VALID'].map((auto_pad) => ({
      name: `Conv ${auto_pad}`,
      op: 'Conv',
      x: [1, 4, 9, 8],
      constants: weight,
      attributes: { auto_pad, strides: [2, 2] },
    })),
    {
      name: 'Conv of unequal strides',
      op: 'Conv',
      x: [1, 4, 9, 8],
      constants: weight,
      attributes: { strides: [1, 2], pads: [1, 1, 1, 1] },
    },
    {
      name: 'depthwise Conv of unequal strides, multiplier 2',
      op: 'Conv',
      x: [1, 4, 9, 8],
      constants: [normal(8, 1, 3, 3)],
      attributes: { strides: [1, 2], pads: [1, 0, 1, 1], group: 4 },
    },
    {
      name: 'Conv 1-D',
      op: 'Conv',
      x: [1, 4, 9],
      constants: [normal(6, 4, 3), normal(6)],
      attributes: { strides: [2], pads: [1, 1] },
    },
    {
      name: 'Conv 1-D, depthwise',
      op: 'Conv',
      x: [1, 4, 9],
      constants: [normal(4, 1, 3)],
      attributes: { pads: [1, 1], group: 4 },
    },
    {
      name: 'Conv 3-D',
      op: 'Conv',
      x: [1, 2, 5, 6, 7],
      constants: [normal(4, 2, 3, 3, 3), normal(4)],
      attributes: { pads: [1, 1, 1, 1, 1, 1] },
    },
    {
      name: 'Conv 3-D, strides and uneven pads',
      op: 'Conv',
      x: [1, 2, 5, 6, 7],
      constants: [normal(4, 2, 3, 2, 3)],
      attributes: { pads: [1, 0, 1, 0, 1, 1], strides: [2, 1, 2] },
    },
    {
      name: 'Conv 3-D, dilated',
      op: 'Conv',
      x: [1, 2, 5, 6, 7],
      constants: [normal(4, 2, 3, 3, 3)],
      attributes: { pads: [2, 2, 2, 2, 2, 2], dilations: [2, 2, 2] },
    },
    {
      name: 'Conv 3-D, two groups',
      op: 'Conv',
      x: [1, 2, 5, 6, 7],
      constants: [normal(4, 1, 3, 3, 3), normal(4)],
      attributes: { group: 2 },
    },
  ];
}

function transposedConvolutions(): Case[] {
  const cases: Case[] = [];
  for (const kernel of [1, 2, 3, 4])
    for (const stride of [1, 2, 3])
      for (const pads of [
        [0, 0],
        [1, 1],
        [0, 1],
        [1, 0],
      ])
        for (const outputPadding of stride > 1 ? [0, 1] : [0])
          for (const dilation of kernel === 3 ? [1, 2] : [1])
            for (const group of kernel === 2 ? [1, 2] : [1]) {
              const size = 4 * stride + (kernel - 1) * dilation + 1 - pads[0] - pads[1] + outputPadding;
              if (size < 1) continue;
              cases.push({
                name: `ConvTranspose k${kernel} s${stride} p${pads} o${outputPadding} d${dilation} g${group}`,
                op: 'ConvTranspose',
                x: [1, 4, 5, 4],
                constants: [normal(4, 6 / group, kernel, kernel), normal(6)],
                attributes: {
                  pads: [pads[0], pads[0], pads[1], pads[1]],
                  strides: [stride, stride],
                  output_padding: [outputPadding, outputPadding],
                  dilations: [dilation, dilation],
                  group,
                },
              });
            }
  return [
    ...cases,
    ...['SAME_UPPER', 'SAME_LOWER'].map((auto_pad) => ({
      name: `ConvTranspose ${auto_pad}`,
      op: 'ConvTranspose',
      x: [1, 4, 5, 4],
      constants: [normal(4, 6, 3, 3)],
      attributes: { auto_pad, strides: [2, 2] },
    })),
    {
      name: 'ConvTranspose to a stated size',
      op: 'ConvTranspose',
      x: [1, 4, 5, 4],
      constants: [normal(4, 6, 3, 3)],
      attributes: { output_shape: [10, 9], strides: [2, 2] },
    },
    {
      name: 'ConvTranspose of many channels, depthwise, side by side',
      op: 'ConvTranspose',
      x: [1, 32, 5, 4],
      constants: [normal(32, 1, 2, 2), normal(32)],
      attributes: { strides: [2, 2], group: 32 },
    },
    {
      name: 'ConvTranspose of many channels, in two groups',
      op: 'ConvTranspose',
      x: [1, 32, 5, 4],
      constants: [normal(32, 8, 3, 3), normal(16)],
      attributes: { strides: [2, 2], pads: [1, 1, 1, 1], group: 2 },
    },
    {
      name: 'ConvTranspose, depthwise',
      op: 'ConvTranspose',
      x: [1, 4, 5, 4],
      constants: [normal(4, 1, 3, 3)],
      attributes: { strides: [2, 2], group: 4 },
    },
    {
      name: 'ConvTranspose 1-D',
      op: 'ConvTranspose',
      x: [1, 4, 9],
      constants: [normal(4, 6, 3), normal(6)],
      attributes: { strides: [2], pads: [1, 1], output_padding: [1] },
    },
    {
      name: 'ConvTranspose 3-D',
      op: 'ConvTranspose',
      x: [1, 2, 5, 6, 7],
      constants: [normal(2, 3, 2, 2, 2), normal(3)],
      attributes: { strides: [2, 2, 2] },
      refusedBy: ['tfjs'],
    },
    {
      name: 'ConvTranspose 3-D with pads',
      op: 'ConvTranspose',
      x: [1, 2, 5, 6, 7],
      constants: [normal(2, 3, 3, 3, 3)],
      attributes: { strides: [2, 2, 2], pads: [1, 1, 1, 1, 1, 1], output_padding: [1, 1, 1] },
      refusedBy: ['tfjs'],
    },
  ];
}

function pools(): Case[] {
  const cases: Case[] = [];
  for (const op of ['MaxPool', 'AveragePool'])
    for (const kernel of [2, 3])
      for (const stride of [1, 2])
        for (const pads of [
          [0, 0],
          [1, 1],
          [0, 1],
        ])
          for (const ceil_mode of [0, 1])
            for (const size of [8, 9])
              for (const count_include_pad of op === 'AveragePool' ? [0, 1] : [undefined])
                cases.push({
                  name: `${op} k${kernel} s${stride} p${pads} ceil${ceil_mode} on ${size} include ${count_include_pad}`,
                  op,
                  x: [1, 4, size, size - 1],
                  attributes: {
                    kernel_shape: [kernel, kernel],
                    strides: [stride, stride],
                    pads: [pads[0], pads[0], pads[1], pads[1]],
                    ceil_mode,
                    ...(count_include_pad === undefined ? {} : { count_include_pad }),
                  },
                });
  const window = { kernel_shape: [3, 3], strides: [2, 2] };
  return [
    ...cases,
    {
      name: 'MaxPool, dilated',
      op: 'MaxPool',
      x: [1, 4, 9, 8],
      attributes: { ...window, dilations: [2, 2], pads: [1, 1, 1, 1] },
    },
    { name: 'LpPool', op: 'LpPool', x: [1, 4, 9, 8], attributes: { ...window, p: 2, pads: [1, 1, 1, 1] } },
    { name: 'LpPool p 1', op: 'LpPool', x: [1, 4, 9, 8], attributes: { ...window, p: 1 } },
    ...['GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool'].map((op) => ({
      name: op,
      op,
      x: [1, 4, 9, 8],
      attributes: {},
    })),
    ...['MaxPool', 'AveragePool'].flatMap((op) => [
      { name: `${op} 1-D`, op, x: [1, 4, 9], attributes: { kernel_shape: [3], strides: [2], pads: [1, 1] } },
      { name: `${op} 3-D`, op, x: [1, 2, 5, 6, 7], attributes: { kernel_shape: [2, 2, 2], strides: [2, 2, 2] } },
      {
        name: `${op} 3-D padded`,
        op,
        x: [1, 2, 5, 6, 7],
        attributes: { kernel_shape: [3, 3, 3], strides: [2, 2, 2], pads: [1, 1, 1, 1, 1, 1] },
      },
    ]),
  ];
}

function resizes(): Case[] {
  const cases: Case[] = [];
  const sizes = [
    [16, 12],
    [12, 9],
    [20, 15],
    [4, 3],
    [8, 12],
    [5, 7],
  ];
  for (const [height, width] of sizes) {
    for (const coordinate_transformation_mode of ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric'])
      cases.push({
        name: `Resize linear ${coordinate_transformation_mode} to ${height} x ${width}`,
        op: 'Resize',
        x: [1, 4, 8, 6],
        constants: [undefined, undefined, Tensor.integers([1, 4, height, width])],
        attributes: { mode: 'linear', coordinate_transformation_mode },
      });
    for (const coordinate_transformation_mode of ['half_pixel', 'align_corners', 'asymmetric'])
      for (const nearest_mode of ['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'])
        cases.push({
          name: `Resize nearest ${coordinate_transformation_mode} ${nearest_mode} to ${height} x ${width}`,
          op: 'Resize',
          x: [1, 4, 8, 6],
          constants: [undefined, undefined, Tensor.integers([1, 4, height, width])],
          attributes: { mode: 'nearest', coordinate_transformation_mode, nearest_mode },
        });
  }
  const scales = (...list: number[]) => [undefined, Tensor.floats(list)];
  return [
    ...cases,
    {
      name: 'Resize by a scale',
      op: 'Resize',
      x: [1, 4, 8, 6],
      constants: scales(1, 1, 2, 2),
      attributes: { mode: 'linear' },
    },
    {
      name: 'Resize of some axes',
      op: 'Resize',
      x: [1, 4, 8, 6],
      constants: scales(2, 3),
      attributes: { mode: 'nearest', axes: [-2, -1] },
    },
    { name: 'Resize 1-D', op: 'Resize', x: [1, 4, 9], constants: scales(1, 1, 2), attributes: { mode: 'linear' } },
    {
      name: 'Resize 3-D nearest',
      op: 'Resize',
      x: [1, 2, 5, 6, 7],
      constants: scales(1, 1, 2, 2, 2),
      attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
    },
    {
      name: 'Resize 3-D linear',
      op: 'Resize',
      x: [1, 2, 5, 6, 7],
      constants: scales(1, 1, 2, 2, 2),
      attributes: { mode: 'linear' },
    },
  ];
}

describe.each([
  ['Conv', convolutions()],
  ['other Conv', otherConvolutions()],
  ['ConvTranspose', transposedConvolutions()],
  ['pools', pools()],
  ['Resize', resizes()],
])('%s', (_, all) => {
  describe.each(['tflite', 'tfjs'] as const)('%s', (format) => {
    const cases = all.filter(({ refusedBy }) => !refusedBy?.includes(format));
    let expected: readonly Output[];
    let actual: readonly Output[];
    beforeAll(async () => {
      const graph = graphOf(cases);
      expected = await runGraph(graph);
      actual = (await runInFormat(graph, format)).outputs;
    }, 60_000);

    it.each(cases.map(({ name }, i) => [name, i] as const))('%s', (_name, i) => {
      expect(actual[i].dims).toEqual(expected[i].dims);
      const range = Math.max(...expected[i].values.map(Math.abs));
      const worst = Math.max(...expected[i].values.map((value, k) => Math.abs(value - actual[i].values[k])));
      expect(worst).toBeLessThanOrEqual(2e-6 * range + 1e-6);
    });
  });
});

it.each([
  ['mode', { mode: 'cubic' }, 'cubic'],
  ['coordinates', { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize' }, 'tf_crop_and_resize'],
  ['policy', { mode: 'linear', keep_aspect_ratio_policy: 'not_larger' }, 'aspect ratio'],
])('a Resize whose %s has no counterpart is refused by name', async (_, attributes, named) => {
  const constants = [Tensor.floats([0, 0, 0, 0, 1, 1, 1, 1]), undefined, Tensor.integers([1, 4, 12, 9])];
  const graph = graphOf([{ name: '', op: 'Resize', x: [1, 4, 8, 6], constants, attributes }]);
  await expect(runInFormat(graph, 'tfjs')).rejects.toThrow(new RegExp(`Resize node 'y0'.*TensorFlow.js.*${named}`));
});
