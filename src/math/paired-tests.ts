/** Tests on paired differences, one value a group: equivalence, confidence intervals, bootstrap, signed ranks. */
import { createRandom } from './random.js';
import {
  mean,
  normalQuantile,
  normalUpperTail,
  quantileOfSorted,
  standardDeviation,
  studentQuantile,
  studentUpperTail,
} from './statistics.js';

export type Interval = readonly [low: number, high: number];

/**
 * Student's interval for the mean of `differences` at the given confidence (0.9 or 0.95); null for fewer than two
 * differences, which say nothing about their spread.
 */
export function confidenceInterval(differences: readonly number[], confidence: number): Interval | null {
  if (differences.length < 2) return null;
  const half = studentQuantile((1 + confidence) / 2, differences.length - 1) * standardError(differences);
  return [mean(differences) - half, mean(differences) + half];
}

export interface EquivalenceTest {
  /** The larger of the two one-sided p values. */
  p: number;
  /** At 5 %: the mean difference is shown to lie inside (-margin, margin). */
  equivalent: boolean;
  /** At 5 %: the mean difference is shown to lie above -margin. */
  nonInferior: boolean;
}

/**
 * Two one-sided t tests (Schuirmann 1987) of |mean difference| < margin. Differences without spread are decided by the
 * mean alone. Null for fewer than two differences.
 */
export function equivalenceTest(differences: readonly number[], margin: number): EquivalenceTest | null {
  if (differences.length < 2) return null;
  const center = mean(differences);
  const error = standardError(differences);
  const tail = (distance: number) => {
    if (error === 0) return distance > 0 ? 0 : 1;
    return studentUpperTail(distance / error, differences.length - 1);
  };
  const below = tail(center + margin);
  const p = Math.max(below, tail(margin - center));
  return { p, equivalent: p < 0.05, nonInferior: below < 0.05 };
}

/**
 * Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), over `draws` resamplings of the groups.
 * Null for fewer than two differences.
 */
export function bootstrapInterval(
  differences: readonly number[],
  confidence: number,
  { draws = 10_000, seed = 0 } = {},
): Interval | null {
  const n = differences.length;
  if (n < 2) return null;
  const center = mean(differences);
  if (differences.every((value) => value === differences[0])) return [center, center];
  const resampled = resampledMeans(Float64Array.from(differences), draws, seed);
  const bias = normalQuantile(shareBelow(resampled, center));
  const acceleration = jackknifeAcceleration(differences, center);
  const endpoint = (z: number) => {
    const shifted = bias + z;
    const corrected = bias + shifted / (1 - acceleration * shifted);
    return quantileOfSorted(resampled, normalUpperTail(-corrected));
  };
  const z = normalQuantile((1 + confidence) / 2);
  return [endpoint(-z), endpoint(z)];
}

/**
 * Two-sided Wilcoxon signed-rank test. Zeros take part in the ranking and are then left out (Pratt 1959); ties share
 * their mean rank. Up to 25 differences the p value is exact, given the ranks; above, normal with the variance that the
 * ties leave and a continuity correction of 1/2.
 */
export function wilcoxonSignedRank(differences: readonly number[]): number {
  // Twice the rank is whole, so the exact distribution is a count over whole numbers.
  const doubledRanks = doubledMeanRanks(differences.map(Math.abs));
  const ranks = doubledRanks.filter((_, i) => differences[i] !== 0);
  if (ranks.length === 0) return 1;
  const positive = doubledRanks.reduce((sum, rank, i) => sum + (differences[i]! > 0 ? rank : 0), 0);
  if (differences.length <= 25) return exactSignedRank(ranks, positive);
  const center = ranks.reduce((sum, rank) => sum + rank, 0) / 2;
  const deviation = Math.sqrt(ranks.reduce((sum, rank) => sum + rank * rank, 0) / 4);
  // In doubled ranks the continuity correction of 1/2 is 1.
  return Math.min(1, 2 * normalUpperTail(Math.max(0, Math.abs(positive - center) - 1) / deviation));
}

function standardError(values: readonly number[]): number {
  // Equal values must give exactly 0: rounding of their mean would leave a spread of 1e-17.
  if (values.every((value) => value === values[0])) return 0;
  return standardDeviation(values) / Math.sqrt(values.length);
}

function resampledMeans(values: Float64Array, draws: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length: draws }, () => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[random.integer(values.length)]!;
    return sum / values.length;
  }).sort();
}

/** The share of draws below `center`, half of the equal ones counted, kept off 0 and 1. */
function shareBelow(sorted: Float64Array, center: number): number {
  let doubled = 0;
  for (const value of sorted) doubled += value < center ? 2 : value === center ? 1 : 0;
  const share = doubled / (2 * sorted.length);
  return Math.min(Math.max(share, 0.5 / sorted.length), 1 - 0.5 / sorted.length);
}

/** Efron 1987, (6.6): a = sum(l^3) / (6 sum(l^2)^1.5) over the influences, which for a mean are the deviations. */
function jackknifeAcceleration(values: readonly number[], center: number): number {
  const deviations = values.map((value) => value - center);
  const squares = deviations.reduce((sum, d) => sum + d * d, 0);
  const cubes = deviations.reduce((sum, d) => sum + d ** 3, 0);
  return cubes / (6 * squares ** 1.5);
}

/** Twice the rank (1 = smallest) of every value; equal values share the mean of their ranks. */
function doubledMeanRanks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Array<number>(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) ranks[order[i]!] = start + 1 + end;
    start = end;
  }
  return ranks;
}

/** Counts the 2^n equally likely sign patterns by their sum of positive ranks. */
function exactSignedRank(ranks: readonly number[], positive: number): number {
  const total = ranks.reduce((sum, rank) => sum + rank, 0);
  const patterns = new Float64Array(total + 1);
  patterns[0] = 1;
  for (const rank of ranks) {
    for (let sum = total; sum >= rank; sum--) patterns[sum]! += patterns[sum - rank]!;
  }
  const atMost = patterns.subarray(0, positive + 1).reduce((sum, count) => sum + count, 0);
  const atLeast = patterns.subarray(positive).reduce((sum, count) => sum + count, 0);
  return Math.min(1, (2 * Math.min(atMost, atLeast)) / 2 ** ranks.length);
}
