import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/math/random.js';
import { type AccuracyOptions, judgeAccuracy, type ScoredImage } from '../../../src/validate/equivalence.js';

const options: AccuracyOptions = { split: 'test', reference: 'masks', margin: 0.01, unit: 'mm', seed: 1 };
const scores = (dice: number, hd95: number | null = 1) => ({
  dice,
  iou: dice / (2 - dice),
  hd95,
  misses: hd95 === null ? 1 : 0,
});

function image(name: string, group: string, original: number, compressed: number): ScoredImage {
  return { name, group, original: scores(original), compressed: scores(compressed), agreement: 0.97 };
}

/** `count` images whose difference scatters by 0.01 around `shift`. */
function series(count: number, shift: number): ScoredImage[] {
  const random = createRandom(9);
  return Array.from({ length: count }, (_, i) => image(`${i}`, `g${i}`, 0.95, 0.95 + shift + 0.01 * random.normal()));
}

describe('accuracy', () => {
  it('averages within groups first', () => {
    // Group a: differences 0 and -0.04; group b: -0.01. Means -0.02 and -0.01.
    const images = [image('1', 'a', 0.9, 0.9), image('2', 'a', 0.9, 0.86), image('3', 'b', 0.8, 0.79)];
    const result = judgeAccuracy(images, options);
    expect(result.difference.mean).toBeCloseTo(-0.015, 12);
    expect(result.original.mean).toBeCloseTo(0.85, 12);
    expect(result.compressed.mean - result.original.mean).toBeCloseTo(result.difference.mean, 12);
    expect([result.images, result.groups]).toEqual([3, 2]);
    // t quantile with one degree of freedom times se = 0.005.
    expect(result.difference.ci90![0]).toBeCloseTo(-0.015 - 6.313751514675037 * 0.005, 9);
    expect(result.difference.ci95![1]).toBeCloseTo(-0.015 + 12.706204736432095 * 0.005, 9);
    expect(result.perImage[1]).toMatchObject({ name: '2', group: 'a', original: 0.9, compressed: 0.86 });
  });

  it('shows equivalence where there is some', () => {
    const same = judgeAccuracy(series(200, 0), options);
    expect(same.tost).toMatchObject({ margin: 0.01, equivalent: true });
    expect(same.nonInferior).toBe(true);
    expect(same.tost.p).toBeLessThan(0.001);
    expect(same.warnings).toEqual([]);
    const worse = judgeAccuracy(series(200, -0.02), options);
    expect(worse.tost.equivalent).toBe(false);
    expect(worse.nonInferior).toBe(false);
    expect(worse.wilcoxon.p).toBeLessThan(0.001);
  });

  it('has a bootstrap interval beside the t interval', () => {
    const { bootstrap, difference } = judgeAccuracy(series(100, -0.003), options);
    expect(bootstrap.ci90![0]).toBeCloseTo(difference.ci90![0], 3);
    expect(bootstrap.ci90![1]).toBeCloseTo(difference.ci90![1], 3);
  });

  it('does not judge equivalence on validation images', () => {
    const result = judgeAccuracy(series(200, 0), { ...options, split: 'validation' });
    expect(result.tost.equivalent).toBeNull();
    expect(result.tost.p).toBeLessThan(0.05);
    expect(result.warnings).toEqual([expect.stringContaining('validation images')]);
  });

  it('says that few groups prove nothing', () => {
    expect(judgeAccuracy(series(9, 0), options).warnings).toEqual([expect.stringContaining('9 independent groups')]);
    expect(judgeAccuracy(series(10, 0), options).warnings).toEqual([]);
    const alone = judgeAccuracy(series(1, 0), options);
    expect(alone.difference).toMatchObject({ ci90: null, ci95: null });
    expect([alone.tost.p, alone.tost.equivalent, alone.nonInferior, alone.wilcoxon.p, alone.bootstrap.ci90]).toEqual(
      new Array(5).fill(null),
    );
    expect(JSON.parse(JSON.stringify(alone))).toEqual(alone);
  });

  it('leaves images without a distance out of its mean and lists them', () => {
    const [a, b] = [image('1', 'a', 0.9, 0.9), image('2', 'b', 0.9, 0.9)];
    const missed = { ...b, compressed: scores(0, null) };
    const { hd95 } = judgeAccuracy([a, missed], options);
    expect(hd95).toEqual({ original: 1, compressed: 1, unit: 'mm', misses: { original: [], compressed: ['2'] } });
    expect(judgeAccuracy([missed], options).hd95.compressed).toBeNull();
  });

  it('says what stands in for masks', () => {
    const result = judgeAccuracy(series(20, 0), { ...options, reference: 'original' });
    expect(result.reference).toBe('original');
    expect(result.warnings).toEqual([expect.stringContaining('no masks')]);
  });

  it('repeats for one seed', () => {
    expect(judgeAccuracy(series(30, 0), options)).toEqual(judgeAccuracy(series(30, 0), options));
  });
});
