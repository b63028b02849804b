import { describe, expect, it } from 'vitest';
import { createRandom, xoshiro128StarStar } from '../../../src/math/random.js';

const draw = (seed: number, count: number) => {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => random.next());
};

describe('random', () => {
  it('is xoshiro128**, by the reference sequence of state 1, 2, 3, 4', () => {
    const bits = xoshiro128StarStar(Uint32Array.of(1, 2, 3, 4));
    expect(Array.from({ length: 5 }, bits)).toEqual([11520, 0, 5927040, 70819200, 2031721883]);
  });

  it('repeats for one seed and differs between seeds', () => {
    expect(draw(7, 20)).toEqual(draw(7, 20));
    const seeds = [0, 1, 2, -1, 0.5, 2 ** 32, 2 ** 32 + 1];
    expect(new Set(seeds.map((seed) => draw(seed, 1)[0])).size).toBe(seeds.length);
  });

  it('is uniform in [0, 1)', () => {
    const bins = new Array<number>(10).fill(0);
    for (const value of draw(1, 100_000)) bins[Math.floor(value * 10)]!++;
    const chiSquared = bins.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    expect(chiSquared).toBeLessThan(27.9); // 0.1 % of chi squared with 9 degrees of freedom
    expect(bins).toHaveLength(10);
  });

  it('draws normals with mean 0 and deviation 1', () => {
    const random = createRandom(3);
    const values = Array.from({ length: 50_000 }, random.normal);
    const mean = values.reduce((a, b) => a + b) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(values.reduce((a, b) => a + b * b, 0) / values.length).toBeCloseTo(1, 1);
  });

  it('shuffles a copy, every permutation about equally often', () => {
    const random = createRandom(5);
    const items = [1, 2, 3];
    const seen = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const key = random.shuffle(items).join('');
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    expect(items).toEqual([1, 2, 3]);
    expect(seen.size).toBe(6);
    for (const count of seen.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
