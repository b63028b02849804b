import { describe, expect, it } from 'vitest';
import type { Padding } from '../../src/exporters/lowering/operations.js';
import { TFJS } from '../../src/exporters/tfjs/target.js';
import { ACTIVATION_NAMES, ACTIVATIONS } from '../support/activations.js';
import { at, map, type NdArray } from '../support/nd-array.js';
import { convolve, pool, resize, type Sliding, transposeConvolve } from '../support/plain-windows.js';
import { normals, ProgramCases, wholes } from '../support/program-cases.js';
import { missesOf } from '../support/run-tfjs.js';

const explicit: Padding = { before: [1, 2], after: [0, 1] };

/** Strides or dilations; TensorFlow.js refuses both at once. */
function* slidings(rank: number): Generator<Sliding> {
  const spread = (...list: number[]) => list.slice(0, rank);
  const other: Padding = { before: spread(1, 2, 0), after: spread(0, 1, 1) };
  for (const padding of ['same', 'valid', other] as const)
    for (const [strides, dilations] of [
      [spread(1, 1, 1), spread(1, 1, 1)],
      [spread(2, 2, 2), spread(1, 1, 1)],
      [spread(1, 2, 3), spread(1, 1, 1)],
      [spread(1, 1, 1), spread(2, 2, 2)],
      [spread(1, 1, 1), spread(2, 1, 3)],
    ])
      yield { padding, strides, dilations };
}

const dense = (filter: NdArray) => (tap: readonly number[], from: number, to: number) => at(filter, to, ...tap, from);

describe('convolutions', () => {
  it('conv2d: strides, paddings, dilations, odd sizes', async () => {
    const cases = new ProgramCases();
    for (const sliding of slidings(2))
      for (const [height, width, kernel] of [
        [9, 8, [3, 3]],
        [7, 10, [1, 1]],
        [8, 8, [2, 3]],
      ] as const) {
        const x = normals(2, height, width, 3);
        const filter = normals(4, ...kernel, 3);
        const inputs = [cases.input(x), cases.constant(filter)];
        cases.expect('conv2d', inputs, sliding, convolve(x, kernel, 4, sliding, dense(filter)));
      }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('depthwiseConv2d: the same, and more outputs than inputs', async () => {
    const cases = new ProgramCases();
    for (const sliding of slidings(2))
      for (const multiplier of [1, 2]) {
        const x = normals(2, 9, 8, 3);
        const filter = normals(1, 3, 2, 3 * multiplier);
        const weight = (tap: readonly number[], from: number, to: number) =>
          from === Math.floor(to / multiplier) ? at(filter, 0, ...tap, to) : 0;
        const inputs = [cases.input(x), cases.constant(filter)];
        const expected = convolve(x, [3, 2], 3 * multiplier, sliding, weight);
        cases.expect('depthwiseConv2d', inputs, { ...sliding, multiplier }, expected);
      }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('conv3d', async () => {
    const cases = new ProgramCases();
    for (const sliding of slidings(3)) {
      const x = normals(1, 5, 6, 7, 2);
      const filter = normals(2, 3, 3, 2, 3);
      const bias = normals(3);
      const weight = (tap: readonly number[], from: number, to: number) => at(filter, ...tap, from, to);
      const inputs = [cases.input(x), cases.constant(filter), cases.constant(bias)];
      const activation = { function: 'leakyRelu', alpha: 0.1 } as const;
      const linear = convolve(x, [2, 3, 3], 3, sliding, weight, bias);
      cases.expect('conv3d', inputs, sliding, linear);
      cases.expect('conv3d', inputs, { ...sliding, activation }, map(linear, ACTIVATIONS.leakyRelu));
    }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('transposeConv2d: kernels below, at and above the stride', async () => {
    const cases = new ProgramCases();
    for (const padding of ['same', 'valid'] as const)
      for (const kernel of [
        [1, 1],
        [2, 2],
        [3, 3],
        [4, 3],
        [5, 2],
      ])
        for (const strides of [
          [1, 1],
          [2, 2],
          [2, 1],
          [3, 2],
        ]) {
          if (padding === 'same' && kernel.some((size, axis) => size < strides[axis])) continue;
          const x = normals(2, 3, 5, 3);
          const filter = normals(4, ...kernel, 3);
          const bias = normals(4);
          const given = [cases.input(x), cases.constant(filter)];
          cases.expect('transposeConv2d', given, { strides, padding }, transposeConvolve(x, filter, strides, padding));
          const expected = transposeConvolve(x, filter, strides, padding, bias);
          cases.expect('transposeConv2d', [...given, cases.constant(bias)], { strides, padding }, expected);
        }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('bias and the activations that the target says are fused', async () => {
    const cases = new ProgramCases();
    const sliding = { strides: [1, 1], dilations: [1, 1], padding: explicit };
    const [x, filter, bias] = [normals(1, 8, 9, 4), normals(6, 3, 3, 4), normals(6)];
    const [deep, deepBias] = [normals(1, 3, 3, 4), normals(4)];
    const weight = (tap: readonly number[], from: number, to: number) => (from === to ? at(deep, 0, ...tap, to) : 0);
    const value = cases.input(map(x, (number) => 3 * number));
    for (const name of [undefined, ...ACTIVATION_NAMES])
      for (const hasBias of [true, false]) {
        const activation = name && { function: name, alpha: 0.1 };
        const change = name ? ACTIVATIONS[name] : (number: number) => number;
        const tripled = map(x, (number) => Math.fround(3 * number));
        const wide = convolve(tripled, [3, 3], 6, sliding, dense(filter), hasBias ? bias : undefined);
        const inputs = [value, cases.constant(filter), ...(hasBias ? [cases.constant(bias)] : [])];
        cases.expect('conv2d', inputs, { ...sliding, activation }, map(wide, change));
        if (name && !TFJS.fuses('depthwiseConv2d', name)) continue;
        const own = convolve(tripled, [3, 3], 4, sliding, weight, hasBias ? deepBias : undefined);
        const deepInputs = [value, cases.constant(deep), ...(hasBias ? [cases.constant(deepBias)] : [])];
        cases.expect('depthwiseConv2d', deepInputs, { ...sliding, multiplier: 1, activation }, map(own, change));
      }
    expect(await missesOf(cases)).toEqual([]);
    expect(TFJS.fuses('depthwiseConv2d', 'leakyRelu')).toBe(false);
  });
});

describe('pools and resizing', () => {
  it('pool2d', async () => {
    const cases = new ProgramCases();
    const x = map(normals(2, 9, 8, 3), (number) => number - 2);
    const value = cases.input(x);
    for (const name of ['max', 'average'] as const)
      for (const padding of ['same', 'valid'] as const)
        for (const window of [
          [2, 2],
          [3, 3],
          [3, 1],
          [1, 1],
        ])
          for (const strides of [
            [1, 1],
            [2, 2],
            [2, 3],
          ]) {
            const sliding = { strides, dilations: [1, 1], padding };
            const expected = pool(x, window, sliding, name);
            cases.expect('pool2d', [value], { function: name, window, strides, padding }, expected);
          }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('resize2d: every coordinate rule, up, down and by fractions', async () => {
    const cases = new ProgramCases();
    for (const dtype of ['f32', 'i32'] as const)
      for (const method of ['nearest', 'bilinear'] as const)
        for (const [alignCorners, halfPixelCenters] of [
          [false, false],
          [true, false],
          [false, true],
        ])
          for (const size of [
            [10, 12],
            [7, 9],
            [3, 2],
            [1, 5],
            [5, 6],
          ]) {
            if (method === 'bilinear' && dtype === 'i32') continue;
            const x = dtype === 'f32' ? normals(2, 5, 6, 3) : wholes([2, 5, 6, 3], -9, 9);
            const rule = { method, size, alignCorners, halfPixelCenters };
            cases.expect('resize2d', [cases.input(x, dtype)], rule, resize(x, rule), dtype);
          }
    expect(await missesOf(cases)).toEqual([]);
  });
});
