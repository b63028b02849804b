import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClassMap } from '../../../src/validate/masks.js';
import { diceOf, scoreMasks } from '../../../src/validate/metrics.js';

const map = (...data: number[]): ClassMap => ({ shape: [1, data.length], data: Uint8Array.from(data) });

/** An ellipse in a square image. */
function ellipse(centre: readonly [number, number], axes: readonly [number, number], size = 128): ClassMap {
  const data = Uint8Array.from({ length: size * size }, (_, i) => {
    const [y, x] = [Math.floor(i / size), i % size];
    return ((y - centre[0]) / axes[0]) ** 2 + ((x - centre[1]) / axes[1]) ** 2 <= 1 ? 1 : 0;
  });
  return { shape: [size, size], data };
}

describe('two classes', () => {
  it('by hand: 2 of 3 and 3 pixels in common', () => {
    const { dice, iou, hd95 } = scoreMasks(map(1, 1, 1, 0, 0), map(0, 1, 1, 1, 0), 2, null);
    expect([dice, iou]).toEqual([4 / 6, 0.5]);
    // Distances 1, 0, 0 in both directions; the 95th percentile lies at 0.9 between the upper two.
    expect(hd95).toBeCloseTo(0.9, 12);
  });

  it('both empty: 1; one empty: 0 and no distance', () => {
    expect(scoreMasks(map(0, 0), map(0, 0), 2, null)).toEqual({ dice: 1, iou: 1, hd95: 0, misses: 0 });
    expect(scoreMasks(map(0, 0), map(0, 1), 2, null)).toEqual({ dice: 0, iou: 0, hd95: null, misses: 1 });
    expect(scoreMasks(map(0, 1), map(0, 0), 2, null)).toEqual({ dice: 0, iou: 0, hd95: null, misses: 1 });
  });

  it('one ellipse inside another: Dice by their areas, distance by their axes', () => {
    const [small, large] = [ellipse([64, 64], [40, 30]), ellipse([64, 64], [44, 33])];
    const { dice, iou, hd95 } = scoreMasks(small, large, 2, [0.5, 0.5]);
    expect(dice).toBeCloseTo((2 * 40 * 30) / (40 * 30 + 44 * 33), 2);
    expect(iou).toBeCloseTo((40 * 30) / (44 * 33), 2);
    expect(Math.abs(hd95! - 2)).toBeLessThan(0.2);
  });

  it('Dice is symmetric, in [0, 1], and 2 IoU / (1 + IoU)', () => {
    const pixels = fc.array(fc.constantFrom(0, 1), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(pixels, pixels, (a, b) => {
        const { dice, iou } = scoreMasks(map(...a), map(...b), 2, null);
        expect(scoreMasks(map(...b), map(...a), 2, null).dice).toBe(dice);
        expect(dice).toBeCloseTo((2 * iou) / (1 + iou), 12);
        expect(dice >= 0 && dice <= 1).toBe(true);
        expect(diceOf(map(...a), map(...b), 2)).toBe(dice);
      }),
    );
  });
});

describe('several classes', () => {
  it('are averaged over those in either mask, without background', () => {
    // Class 1: 2*1/3; class 2: equal; class 3: in neither; class 4: predicted only.
    const predicted = map(0, 1, 0, 2, 4);
    const reference = map(0, 1, 1, 2, 0);
    const { dice, iou, misses } = scoreMasks(predicted, reference, 5, null);
    expect(dice).toBeCloseTo((2 / 3 + 1 + 0) / 3, 12);
    expect(iou).toBeCloseTo((1 / 2 + 1 + 0) / 3, 12);
    expect(misses).toBe(1);
  });

  it('have distances of their own', () => {
    const { hd95 } = scoreMasks(map(1, 0, 0, 0, 2), map(0, 0, 1, 0, 2), 3, [1, 0.5]);
    expect(hd95).toBe((1 + 0) / 2);
  });
});
