import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  mean,
  normalQuantile,
  normalUpperTail,
  quantile,
  standardDeviation,
  studentCdf,
  studentQuantile,
  studentUpperTail,
} from '../../../src/math/statistics.js';

/** Reference values in this file were computed with SciPy 1.17. */
describe('descriptive statistics', () => {
  it('gives mean, sample deviation and interpolated quantiles', () => {
    expect(mean([1, 2, 3, 6])).toBe(3);
    expect(standardDeviation([1, 2, 3, 6])).toBeCloseTo(Math.sqrt(14 / 3), 14);
    expect(quantile([4, 1, 3, 2], 0.95)).toBeCloseTo(3.85, 14);
    expect(quantile([5], 0.2)).toBe(5);
  });

  it('is NaN where nothing is defined', () => {
    expect([mean([]), standardDeviation([1]), quantile([], 0.5)]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  });
});

describe('normal distribution', () => {
  it.each([
    [0, 0.5],
    [0.5, 0.3085375387259869],
    [1.96, 0.024997895148220435],
    [3.999, 3.180534005420198e-5],
    [4.001, 3.153767893352071e-5],
    [6, 9.865876450376946e-10],
    [-2, 0.9772498680518208],
  ])('upper tail at %d', (z, expected) => {
    expect(Math.abs(normalUpperTail(z) / expected - 1)).toBeLessThan(1e-11);
  });

  it.each([
    [0.975, 1.959963984540054],
    [0.3, -0.5244005127080409],
    [1e-9, -5.9978070150076865],
  ])('quantile at %d', (p, expected) => {
    expect(normalQuantile(p)).toBeCloseTo(expected, 10);
  });
});

describe("Student's t", () => {
  it.each([
    [1, 1, 0.25],
    [2, 0.5, 1 / 3],
    [5, 2.015, 0.05000308616340318],
    [9, 1.833, 0.0500089700252915],
    [30, -3.2, 0.9983806991440234],
    [160, 2.5, 0.006713545173064912],
    [9999, 1.7, 0.044581012918862684],
  ])('upper tail with %d degrees at %d', (degrees, t, expected) => {
    expect(Math.abs(studentUpperTail(t, degrees) - expected)).toBeLessThan(1e-10);
  });

  it('keeps its relative precision far out', () => {
    expect(studentUpperTail(9, 160) / 3.147949083474286e-16).toBeCloseTo(1, 8);
  });

  it.each([
    [0.95, 1, 6.313751514675037],
    [0.95, 9, 1.833112932656237],
    [0.975, 9, 2.262157162798205],
    [0.95, 160, 1.6544329014573231],
    [0.95, 9999, 1.6450060333112988],
    [0.001, 4, -7.1731822197823085],
  ])('quantile at %d with %d degrees', (p, degrees, expected) => {
    expect(Math.abs(studentQuantile(p, degrees) - expected)).toBeLessThan(1e-9);
  });

  it('inverts its own distribution function', () => {
    const probability = fc.double({ min: 0.001, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(probability, fc.integer({ min: 1, max: 500 }), (p, degrees) => {
        expect(Math.abs(studentCdf(studentQuantile(p, degrees), degrees) - p)).toBeLessThan(1e-12);
      }),
    );
  });
});
