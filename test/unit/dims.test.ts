import { expect, test } from 'vitest';
import { addDims, ceilDivide, floorDivide, multiplyDims, subtractDims } from '../../src/ir/dims.js';

test('numbers are computed', () => {
  expect([addDims(2, 3), subtractDims(2, 3), multiplyDims(2, 3), floorDivide(7, 2), ceilDivide(7, 2)]).toEqual([
    5, -1, 6, 3, 4,
  ]);
});

test('what a padded 3x3 convolution does to a symbol cancels', () => {
  expect(addDims(subtractDims(addDims('H', 2), 3), 1)).toBe('H');
  expect(floorDivide(multiplyDims(2, 'H'), 2)).toBe('H');
});

test('different expressions have different texts', () => {
  expect(floorDivide(addDims('H', -2), 2)).toBe('floor((H-2)/2)');
  expect(floorDivide('H', 2)).toBe('floor(H/2)');
  expect(multiplyDims(2, addDims(floorDivide('H', 2), floorDivide('W', 2)))).toBe('2*(floor(H/2)+floor(W/2))');
});

test('texts stay short however often a size is added to itself', () => {
  let dim: ReturnType<typeof addDims> = 'H';
  let other: ReturnType<typeof addDims> = 'W';
  for (let i = 0; i < 100; i++) [dim, other] = [addDims(dim, other), subtractDims(addDims(other, dim), 'H')];
  expect(String(dim).length).toBeLessThan(600);
});
