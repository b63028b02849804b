/** Descriptive statistics and the two distributions that the tests of `paired-tests.ts` rest on, in double precision. */
import { gammaln, mean as meanOf, sampleStandardDeviation } from 'simple-statistics';

/** Arithmetic mean, with compensated summation; NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : meanOf([...values]);
}

/** Sample standard deviation (divided by n - 1); NaN for fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  return values.length < 2 ? Number.NaN : sampleStandardDeviation([...values]);
}

/** Quantile with linear interpolation between order statistics (Hyndman & Fan 1996, type 7); NaN of nothing. */
export function quantile(values: ArrayLike<number>, p: number): number {
  return quantileOfSorted(Float64Array.from(values).sort(), p);
}

/** As `quantile`, of values that are already in ascending order. */
export function quantileOfSorted(sorted: ArrayLike<number>, p: number): number {
  if (sorted.length === 0) return Number.NaN;
  const position = p * (sorted.length - 1);
  const low = Math.floor(position);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (position - low) * (sorted[high]! - sorted[low]!);
}

/** P(Z > z) of the standard normal. */
export function normalUpperTail(z: number): number {
  if (z < 0) return 1 - normalUpperTail(-z);
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z > 4) return density * millsRatio(z);
  // Marsaglia 2004: Phi(z) = 1/2 + phi(z) (z + z^3/3 + z^5/(3*5) + ...).
  let term = z;
  let sum = z;
  for (let k = 3; Math.abs(term) > Number.EPSILON * sum; k += 2) {
    term *= (z * z) / k;
    sum += term;
  }
  return 0.5 - density * sum;
}

/** The z with P(Z <= z) = p of the standard normal; -Infinity and Infinity at p = 0 and 1. */
export function normalQuantile(p: number): number {
  return p > 0.5 ? invertUpperTail(normalUpperTail, 1 - p) : -invertUpperTail(normalUpperTail, p);
}

/** P(T > t) of Student's t with `degrees` degrees of freedom (absolute error below 1e-10 up to 10,000 degrees). */
export function studentUpperTail(t: number, degrees: number): number {
  if (Number.isNaN(t)) return Number.NaN;
  if (!Number.isFinite(t)) return t > 0 ? 0 : 1;
  const tail = regularizedBeta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2;
  return t >= 0 ? tail : 1 - tail;
}

/** P(T <= t) of Student's t. */
export function studentCdf(t: number, degrees: number): number {
  return studentUpperTail(-t, degrees);
}

/** The t with P(T <= t) = p of Student's t. */
export function studentQuantile(p: number, degrees: number): number {
  const tail = (t: number) => studentUpperTail(t, degrees);
  return p > 0.5 ? invertUpperTail(tail, 1 - p) : -invertUpperTail(tail, p);
}

/** Laplace's continued fraction of P(Z > z) / phi(z) = 1/(z + 1/(z + 2/(z + 3/(z + ...)))), for z > 4. */
function millsRatio(z: number): number {
  let fraction = z;
  for (let k = 60; k >= 1; k--) fraction = z + k / fraction;
  return 1 / fraction;
}

/** The x >= 0 with `tail(x) = q`, for a falling tail with tail(0) = 1/2 and q <= 1/2, by bisection to the last bit. */
function invertUpperTail(tail: (x: number) => number, q: number): number {
  if (Number.isNaN(q)) return Number.NaN;
  if (q <= 0) return Number.POSITIVE_INFINITY;
  if (q === 0.5) return 0;
  let low = 0;
  let high = 1;
  while (tail(high) > q) {
    low = high;
    high *= 2;
  }
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return middle;
    if (tail(middle) > q) low = middle;
    else high = middle;
  }
}

/** I_x(a, b): DLMF 8.17.22, the continued fraction on the side where it converges fast (DLMF 8.17.4 swaps the sides). */
function regularizedBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - regularizedBeta(1 - x, b, a);
  const front = Math.exp(gammaln(a + b) - gammaln(a) - gammaln(b) + a * Math.log(x) + b * Math.log1p(-x));
  return (front / a) * betaContinuedFraction(x, a, b);
}

/** Evaluated by the modified Lentz method (Thompson & Barnett 1986). */
function betaContinuedFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  const away = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let result = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    result *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    result *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return result;
}
