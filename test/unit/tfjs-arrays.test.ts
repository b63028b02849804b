import { describe, expect, it } from 'vitest';
import type { ProgramType } from '../../src/exporters/lowering/operations.js';
import { ACTIVATION_NAMES, ACTIVATIONS } from '../support/activations.js';
import { at, fill, type NdArray } from '../support/nd-array.js';
import { normals, ProgramCases, wholes } from '../support/program-cases.js';
import { missesOf } from '../support/run-tfjs.js';

describe('rearranging', () => {
  const types: readonly ProgramType[] = ['f32', 'i32', 'u8', 'bool'];
  const given = (shape: readonly number[], dtype: ProgramType) =>
    dtype === 'f32' ? normals(...shape) : wholes(shape, 0, dtype === 'bool' ? 2 : 200);

  /** Cases for every element type. */
  function everyType(make: (dtype: ProgramType, cases: ProgramCases) => void): ProgramCases {
    const cases = new ProgramCases();
    for (const dtype of types) make(dtype, cases);
    return cases;
  }

  it('concat, slice, tile, gather', async () => {
    const cases = everyType((dtype, cases) => {
      for (const shape of [[3], [2, 3], [2, 3, 4, 2], [2, 1, 3, 2, 2], [2, 1, 3, 2, 2, 2]])
        for (const axis of [0, shape.length - 1]) {
          const parts = [given(shape, dtype), given(shape, dtype), given(shape, dtype)];
          const joined = shape.map((size, i) => (i === axis ? 3 * size : size));
          const whole = fill(joined, (...index) => {
            const part = Math.floor(index[axis] / shape[axis]);
            return at(parts[part], ...index.map((i, k) => (k === axis ? i % shape[axis] : i)));
          });
          cases.expect(
            'concat',
            parts.map((part) => cases.input(part, dtype)),
            { axis },
            whole,
            dtype,
          );
          const x = cases.input(whole, dtype);
          const begin = joined.map((size) => (size > 1 ? 1 : 0));
          const size = joined.map((all, i) => all - begin[i]);
          const rest = fill(size, (...index) => at(whole, ...index.map((i, k) => i + begin[k])));
          cases.expect('slice', [x], { begin, size }, rest, dtype);
          const repeats = joined.map((_, i) => 1 + (i % 2));
          const tiled = fill(
            joined.map((all, i) => all * repeats[i]),
            (...index) => at(whole, ...index.map((i, k) => i % joined[k])),
          );
          cases.expect('tile', [x], { repeats }, tiled, dtype);
          const picks: NdArray = { shape: [4], data: [2, 0, 2, 1] };
          const picked = fill(
            joined.map((all, i) => (i === axis ? 4 : all)),
            (...index) => at(whole, ...index.map((i, k) => (k === axis ? picks.data[i] : i))),
          );
          cases.expect('gather', [x, cases.constant(picks, 'i32')], { axis }, picked, dtype);
        }
    });
    expect(await missesOf(cases)).toEqual([]);
  });

  it('concat of two large images, in either order of widths', async () => {
    const cases = new ProgramCases();
    for (const widths of [
      [1, 3],
      [3, 1],
    ]) {
      const [a, b] = widths.map((width) => given([1, 64, 64, width], 'f32'));
      const whole = fill([1, 64, 64, 4], (n, h, w, c) =>
        c < widths[0] ? at(a, n, h, w, c) : at(b, n, h, w, c - widths[0]),
      );
      cases.expect('concat', [cases.input(a), cases.input(b)], { axis: 3 }, whole);
    }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('stridedSlice, forwards and backwards', async () => {
    const cases = everyType((dtype, cases) => {
      for (const [begin, end, strides] of [
        [
          [1, 0, 5, 0, 1, 0],
          [2, 4, -1, 2, 3, 3],
          [1, 3, -2, 1, 1, 2],
        ],
        [
          [0, 1, 0, 0],
          [2, 6, 7, 3],
          [1, 2, 3, 1],
        ],
        [
          [0, 5, 6, 0],
          [2, -1, -1, 3],
          [1, -1, -2, 1],
        ],
        [
          [1, 4, 0, 2],
          [-1, 0, 7, -1],
          [-1, -2, 1, -1],
        ],
        [
          [0, 2, 0, 0],
          [2, 5, 7, 3],
          [1, 1, 1, 1],
        ],
      ]) {
        const x = given([2, 6, 7, 3, 3, 3].slice(0, begin.length), dtype);
        const size = begin.map((from, i) => Math.ceil((end[i] - from) / strides[i]));
        const expected = fill(size, (...index) => at(x, ...index.map((i, k) => begin[k] + i * strides[k])));
        cases.expect('stridedSlice', [cases.input(x, dtype)], { begin, end, strides }, expected, dtype);
      }
    });
    expect(await missesOf(cases)).toEqual([]);
  });

  it('pad, mirrorPad', async () => {
    const cases = everyType((dtype, cases) => {
      for (const shape of [[4], [3, 4], [2, 3, 4], [2, 4, 3, 2], [2, 2, 4, 3, 2], [2, 2, 2, 3, 2, 2]]) {
        const x = given(shape, dtype);
        const value = dtype === 'f32' ? -3.4e38 : 1;
        const [before, after] = [shape.map((_, i) => i % 2), shape.map((_, i) => 1 - (i % 2))];
        const padded = shape.map((size, i) => size + before[i] + after[i]);
        const inside = (index: number[]) => index.every((i, k) => i >= before[k] && i < before[k] + shape[k]);
        const expected = fill(padded, (...index) =>
          inside(index) ? at(x, ...index.map((i, k) => i - before[k])) : value,
        );
        cases.expect('pad', [cases.input(x, dtype)], { before, after, value }, expected, dtype);
        for (const mode of ['reflect', 'symmetric'] as const) {
          const edge = mode === 'reflect' ? 0 : 1;
          const mirror = (i: number, size: number) => (i < 0 ? -i - edge : i >= size ? 2 * size - 2 - i + edge : i);
          const reflected = fill(padded, (...index) => at(x, ...index.map((i, k) => mirror(i - before[k], shape[k]))));
          cases.expect('mirrorPad', [cases.input(x, dtype)], { before, after, mode }, reflected, dtype);
        }
      }
    });
    expect(await missesOf(cases)).toEqual([]);
  });

  it('transpose, reshape, depthToSpace, spaceToDepth', async () => {
    const cases = everyType((dtype, cases) => {
      for (const order of [
        [1, 0],
        [0, 2, 1],
        [0, 3, 1, 2],
        [0, 2, 3, 1],
        [3, 2, 1, 0],
        [0, 4, 1, 2, 3],
        [5, 0, 3, 1, 4, 2],
      ]) {
        const x = given([2, 3, 4, 5, 2, 3].slice(0, order.length), dtype);
        const shape = order.map((axis) => x.shape[axis]);
        const moved = fill(shape, (...index) => at(x, ...x.shape.map((_, axis) => index[order.indexOf(axis)])));
        cases.expect('transpose', [cases.input(x, dtype)], { order }, moved, dtype);
        cases.expect('reshape', [cases.input(x, dtype)], {}, { shape: [x.data.length], data: x.data }, dtype);
        cases.expect('reshape', [cases.input(x, dtype)], {}, x, dtype);
      }
      for (const blockSize of [2, 3]) {
        const deep = given([2, 3, 4, blockSize ** 2 * 2], dtype);
        const flat = fill([2, 3 * blockSize, 4 * blockSize, 2], (n, y, x, c) => {
          const place = (y % blockSize) * blockSize + (x % blockSize);
          return at(deep, n, Math.floor(y / blockSize), Math.floor(x / blockSize), place * 2 + c);
        });
        cases.expect('depthToSpace', [cases.input(deep, dtype)], { blockSize }, flat, dtype);
        cases.expect('spaceToDepth', [cases.input(flat, dtype)], { blockSize }, deep, dtype);
      }
    });
    expect(await missesOf(cases)).toEqual([]);
  });
});

describe('reductions and products', () => {
  const combine = {
    sum: (list: number[]) => list.reduce((a, b) => a + b, 0),
    mean: (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length,
    max: (list: number[]) => Math.max(...list),
    min: (list: number[]) => Math.min(...list),
    product: (list: number[]) => list.reduce((a, b) => a * b, 1),
  };

  it('reduce', async () => {
    const cases = new ProgramCases();
    for (const dtype of ['f32', 'i32'] as const)
      for (const name of Object.keys(combine) as (keyof typeof combine)[])
        for (const axes of [[0], [1, 2], [3], [1], [0, 1, 2, 3], [0, 3], [1, 2, 3], [4], [0, 2, 5]])
          for (const keepDims of [true, false]) {
            const whole = axes.some((axis) => axis > 3) ? [2, 2, 2, 1, 3, 2] : [2, 3, 4, 2];
            const x = dtype === 'f32' ? normals(...whole) : wholes(whole, 1, name === 'product' ? 3 : 9);
            const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
            const over = x.shape.map((size, axis) => (axes.includes(axis) ? size : 1));
            const reduced = fill(kept, (...index) => {
              const list = Array.from(fill(over, (...offset) => at(x, ...index.map((i, k) => i + offset[k]))).data);
              return dtype === 'i32' ? Math.trunc(combine[name](list)) : combine[name](list);
            });
            const shape = keepDims ? kept : x.shape.filter((_, axis) => !axes.includes(axis));
            const attributes = { function: name, axes, keepDims };
            cases.expect('reduce', [cases.input(x, dtype)], attributes, { shape, data: reduced.data }, dtype);
          }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('argument: the first of equals', async () => {
    const cases = new ProgramCases();
    for (const dtype of ['f32', 'i32'] as const)
      for (const name of ['max', 'min'] as const)
        for (const axis of [0, 1, 2]) {
          const x = wholes([4, 5, 3], -2, 3);
          const kept = x.shape.filter((_, i) => i !== axis);
          const expected = fill(kept, (...index) => {
            const list = Array.from({ length: x.shape[axis] }, (_, i) => at(x, ...index.toSpliced(axis, 0, i)));
            return list.indexOf(name === 'max' ? Math.max(...list) : Math.min(...list));
          });
          cases.expect('argument', [cases.input(x, dtype)], { function: name, axis }, expected, 'i32');
        }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('matMul of matrices and of stacks of them', async () => {
    const cases = new ProgramCases();
    for (const lead of [[], [2], [2, 3], [2, 1, 2]]) {
      const [a, b] = [normals(...lead, 3, 4), normals(...lead, 4, 5)];
      const expected = fill([...lead, 3, 5], (...index) => {
        const [outer, row, column] = [index.slice(0, -2), index[lead.length], index[lead.length + 1]];
        return [0, 1, 2, 3].reduce((sum, k) => sum + at(a, ...outer, row, k) * at(b, ...outer, k, column), 0);
      });
      cases.expect('matMul', [cases.input(a), cases.input(b)], {}, expected);
      cases.expect('matMul', [cases.input(a), cases.constant(b)], {}, expected);
    }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('fullyConnected with and without bias and activation', async () => {
    const cases = new ProgramCases();
    for (const lead of [[3], [1], [], [2, 3], [2, 1, 3]])
      for (const name of [undefined, ...ACTIVATION_NAMES])
        for (const hasBias of [true, false]) {
          const [x, weights, bias] = [normals(...lead, 4), normals(5, 4), normals(5)];
          const expected = fill([...lead, 5], (...index) => {
            const [outer, o] = [index.slice(0, -1), index[lead.length]];
            const sum = [0, 1, 2, 3].reduce((total, i) => total + at(x, ...outer, i) * at(weights, o, i), 0);
            const linear = sum + (hasBias ? bias.data[o] : 0);
            return name ? ACTIVATIONS[name](linear) : linear;
          });
          const inputs = [cases.input(x), cases.constant(weights), ...(hasBias ? [cases.constant(bias)] : [])];
          const activation = name && { function: name, alpha: 0.1 };
          cases.expect('fullyConnected', inputs, { activation }, expected);
        }
    expect(await missesOf(cases)).toEqual([]);
  });
});
