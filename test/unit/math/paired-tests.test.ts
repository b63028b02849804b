import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bootstrapInterval,
  confidenceInterval,
  equivalenceTest,
  wilcoxonSignedRank,
} from '../../../src/math/paired-tests.js';
import { createRandom } from '../../../src/math/random.js';

/** Reference values were computed with SciPy 1.17 unless a test says otherwise. */
const differences = [-0.011, -0.002, 0.004, -0.007, 0.001, -0.003, 0.0, 0.002, -0.009, -0.001, -0.001, 0.003];
const wide = [1.7, -2.9, 0, -0.9, -0.8, -0.5, -2.3, -0.5, -1.2, 3.0, 0, -0.7, -0.6, -1.0, -1.4].concat([
  -0.7, 0.2, -0.5, 0.7, -0.5, -0.3, 1.2, 0, -0.8, -0.5, 0.2, 1.6, -0.6, -0.5, 0.7,
]);

describe('confidence interval', () => {
  it('is the t interval', () => {
    const [low90, high90] = confidenceInterval(differences, 0.9)!;
    const [low95, high95] = confidenceInterval(differences, 0.95)!;
    expect(low90).toBeCloseTo(-0.004461599267581476, 12);
    expect(high90).toBeCloseTo(0.0004615992675814744, 12);
    expect(low95).toBeCloseTo(-0.005016865782043306, 12);
    expect(high95).toBeCloseTo(0.0010168657820433052, 12);
  });

  it('does not exist for one group', () => {
    expect(confidenceInterval([0.1], 0.9)).toBeNull();
  });
});

describe('equivalence test', () => {
  it('takes the larger one-sided p value', () => {
    expect(equivalenceTest(differences, 0.01)!.p).toBeCloseTo(5.6548508998059624e-5, 12);
  });

  it('by hand, half the weight on either side of the margin', () => {
    // d = -3, -1, -1, 1: mean -1, sd sqrt(8/3), se sqrt(2/3); margin 1: (d + m)/se = 0, so p = 1/2.
    expect(equivalenceTest([-3, -1, -1, 1], 1)).toEqual({ p: 0.5, equivalent: false, nonInferior: false });
  });

  it('agrees with the 90 % interval', () => {
    const values = fc.array(fc.double({ min: -0.02, max: 0.02, noNaN: true }), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(values, (sample) => {
        const { equivalent, nonInferior } = equivalenceTest(sample, 0.01)!;
        const [low, high] = confidenceInterval(sample, 0.9)!;
        expect(equivalent).toBe(low > -0.01 && high < 0.01);
        expect(nonInferior).toBe(low > -0.01);
      }),
    );
  });

  it('is one-sided where only the lower bound holds', () => {
    const better = [0.02, 0.021, 0.019, 0.02];
    expect(equivalenceTest(better, 0.01)).toMatchObject({ equivalent: false, nonInferior: true });
  });

  it('decides differences without spread by their size', () => {
    expect(equivalenceTest([0.1, 0.1, 0.1], 0.2)).toEqual({ p: 0, equivalent: true, nonInferior: true });
    expect(equivalenceTest([-0.1, -0.1, -0.1], 0.1)).toEqual({ p: 1, equivalent: false, nonInferior: false });
  });
});

describe('bootstrap interval', () => {
  it('comes near a run with 200,000 draws', () => {
    const [low, high] = bootstrapInterval(differences, 0.9, { seed: 1 })!;
    expect(Math.abs(low + 0.00458333)).toBeLessThan(1.5e-4);
    expect(Math.abs(high + 0.00016667)).toBeLessThan(1.5e-4);
  });

  it('leans with the skew', () => {
    const skewed = [0, 0, 0, -1, -2, -1, 1, -50, 2, -1, -120, 0, 1, -2, -3];
    const [low, high] = bootstrapInterval(skewed, 0.9, { seed: 1 })!;
    expect(Math.abs(low + 35.6)).toBeLessThan(1.5);
    expect(Math.abs(high + 3.33)).toBeLessThan(0.2);
  });

  it('repeats for one seed', () => {
    const run = (seed: number) => bootstrapInterval(wide, 0.9, { seed });
    expect(run(4)).toEqual(run(4));
    expect(run(4)).not.toEqual(run(5));
  });

  it('is a point where all differences are equal', () => {
    expect(bootstrapInterval([0.25, 0.25, 0.25], 0.9)).toEqual([0.25, 0.25]);
  });
});

describe('Wilcoxon signed-rank test', () => {
  it('is exact for few differences, with ties and zeros', () => {
    expect(wilcoxonSignedRank(differences)).toBeCloseTo(0.3134765625, 12);
    expect(wilcoxonSignedRank([15, -7, 5, 20, 0.5, -9, 17, -12, 5.5, -10])).toBeCloseTo(0.625, 12);
  });

  it('is the normal approximation for many', () => {
    expect(wilcoxonSignedRank(wide)).toBeCloseTo(0.0970890570526122, 10);
  });

  it('matches a count of all sign patterns', () => {
    const value = fc.integer({ min: -4, max: 4 });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 8 }), (sample) => {
        expect(wilcoxonSignedRank(sample)).toBeCloseTo(countPatterns(sample), 12);
      }),
    );
  });

  it('exact and normal forms come near each other at the switch', () => {
    const random = createRandom(2);
    const sample = Array.from({ length: 25 }, () => random.normal() + 0.3);
    const [exact, normal] = [wilcoxonSignedRank(sample), wilcoxonSignedRank([...sample, 0])];
    expect(Math.abs(exact - normal)).toBeLessThan(0.02);
  });

  it('finds nothing in zeros', () => {
    expect(wilcoxonSignedRank([0, 0, 0])).toBe(1);
  });
});

/** The definition: of all ways to sign the non-zero differences, the share with a rank sum at least as extreme. */
function countPatterns(sample: number[]): number {
  const magnitudes = sample.map(Math.abs);
  const rankOf = (x: number) =>
    magnitudes.filter((y) => y < x).length + (magnitudes.filter((y) => y === x).length + 1) / 2;
  const signed = sample.filter((x) => x !== 0);
  const observed = signed.reduce((sum, x) => sum + (x > 0 ? rankOf(x) : 0), 0);
  let [atMost, atLeast] = [0, 0];
  for (let pattern = 0; pattern < 2 ** signed.length; pattern++) {
    const sum = signed.reduce((total, x, i) => total + (pattern & (1 << i) ? rankOf(Math.abs(x)) : 0), 0);
    if (sum <= observed) atMost++;
    if (sum >= observed) atLeast++;
  }
  return Math.min(1, (2 * Math.min(atMost, atLeast)) / 2 ** signed.length);
}
