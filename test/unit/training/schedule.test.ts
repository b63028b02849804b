import { describe, expect, it } from 'vitest';
import { averagingShare, rateShare } from '../../../src/training/schedule.js';

describe('the learning rate', () => {
  it.each([1, 2, 7, 100, 4000])('rises to its peak and falls to a fiftieth of it over %i steps', (steps) => {
    const shares = Array.from({ length: steps }, (_, step) => rateShare(step, steps));
    const peak = shares.indexOf(Math.max(...shares));
    expect(shares[peak]).toBe(1);
    expect(peak).toBeLessThanOrEqual(Math.max(1, 0.05 * steps));
    // The cosine begins where the warm-up ends: two steps at the peak.
    const isOrdered = shares.every((share, step) => {
      const before = shares[step - 1] ?? 0;
      return step <= peak ? share > before : step === peak + 1 ? share === before : share < before;
    });
    expect(isOrdered).toBe(true);
    expect(shares.every((share) => share > 0)).toBe(true);
    if (steps >= 100) expect(shares[steps - 1]).toBeCloseTo(0.02, 2);
  });

  it('is half way down in the middle of the cosine', () => {
    expect(rateShare(50 + 475, 1000)).toBeCloseTo(0.02 + 0.98 / 2, 6);
  });

  it('stays at its floor beyond the end', () => {
    expect(rateShare(5000, 1000)).toBeCloseTo(0.02, 12);
  });
});

describe('the share of the average that stays', () => {
  it('grows from a tenth to its limit', () => {
    const shares = Array.from({ length: 10_000 }, (_, step) => averagingShare(step, 0.99));
    expect(shares[0]).toBeCloseTo(0.1, 12);
    for (let step = 1; step < shares.length; step++) expect(shares[step]).toBeGreaterThanOrEqual(shares[step - 1]);
    expect(shares.at(-1)).toBe(0.99);
  });
});
