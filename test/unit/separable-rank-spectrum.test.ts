import { expect, test } from 'vitest';
import { rankSpectrum } from '../../src/analysis/rank-spectrum.js';
import { Tensor } from '../../src/ir/tensor.js';
import { kernelOfRank, normals } from '../support/low-rank-kernels.js';

const significant = (spectrum: readonly number[] | null) => spectrum?.filter((value) => value > 1e-6).length;

test.each([
  ['inner', 'depthwise', 3],
  ['spatial', 'spatial', 2],
  ['channel', 'channel', 4],
] as const)('a kernel of known %s rank has as many singular values', (by, list, rank) => {
  const spectrum = rankSpectrum(kernelOfRank([16, 12, 3, 3], 1, by, rank), 1);
  expect(significant(spectrum[list])).toBe(rank);
  expect(spectrum[list]?.[0]).toBe(1);
  expect(spectrum.sampled).toBe(false);
});

test('noise has a flat, full spectrum of the full length', () => {
  const spectrum = rankSpectrum(Tensor.floats(normals(16 * 12 * 9, 1), [16, 12, 3, 3]), 1);
  expect([spectrum.depthwise, spectrum.spatial, spectrum.channel].map((list) => list?.length)).toEqual([9, 36, 16]);
  expect(significant(spectrum.depthwise)).toBe(9);
});

test('a large layer is sampled and still shows its rank', () => {
  const spectrum = rankSpectrum(kernelOfRank([300, 80, 3, 3], 1, 'inner', 2), 1);
  expect(spectrum.sampled).toBe(true);
  expect(significant(spectrum.depthwise)).toBe(2);
});

test('what a kernel does not have is null: kernels of one position, a single long axis', () => {
  const point = rankSpectrum(Tensor.floats(normals(64, 1), [8, 8, 1, 1]), 1);
  expect(point).toMatchObject({ depthwise: null, spatial: null });
  expect(point.channel).toHaveLength(8);
  expect(rankSpectrum(Tensor.floats(normals(192, 1), [8, 8, 3]), 1).spatial).toBeNull();
});

test('grouped kernels are unfolded within their groups; a zero weight is all zero', () => {
  const grouped = rankSpectrum(kernelOfRank([12, 4, 3, 3], 3, 'inner', 2), 3);
  expect(significant(grouped.depthwise)).toBe(2);
  expect(significant(rankSpectrum(Tensor.floats(new Float32Array(144), [4, 4, 3, 3]), 1).depthwise)).toBe(0);
});
