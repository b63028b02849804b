import { describe, expect, it } from 'vitest';
import { brokenBecause, compareOutputs, outputRange } from '../../../src/validate/numeric.js';

describe('difference of two outputs', () => {
  it('by hand', () => {
    const result = compareOutputs([1, 2, 3, 4, 5, 9], [1, 2, 3, 4, 5, 6], [2, 3]);
    expect(result.maxAbsoluteError).toBe(3);
    expect(result.relativeL2).toBeCloseTo(3 / Math.sqrt(91), 14);
    expect(result.worst).toEqual([1, 2]);
  });

  it('is zero for equal outputs, all zero included', () => {
    expect(compareOutputs([0, 0], [0, 0], [2])).toEqual({ maxAbsoluteError: 0, relativeL2: 0, worst: [0] });
    expect(compareOutputs([Number.POSITIVE_INFINITY], [Number.POSITIVE_INFINITY], [1]).maxAbsoluteError).toBe(0);
  });

  it('is infinite where one side is no number', () => {
    for (const bad of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      expect(compareOutputs([1, bad], [1, 1], [2])).toEqual({
        maxAbsoluteError: Number.POSITIVE_INFINITY,
        relativeL2: Number.POSITIVE_INFINITY,
        worst: [1],
      });
      expect(compareOutputs([1, 1], [1, bad], [2]).relativeL2).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it('needs outputs of one length', () => {
    expect(() => compareOutputs([1], [1, 2], [2])).toThrow(RangeError);
  });
});

describe('broken outputs', () => {
  it('are constant or not finite', () => {
    expect(brokenBecause(outputRange([3, 3, 3]))).toBe('constant');
    expect(brokenBecause(outputRange([3, Number.NaN, 4]))).toBe('not finite');
    expect(brokenBecause(outputRange([3, Number.POSITIVE_INFINITY, 4]))).toBe('not finite');
    expect(brokenBecause(outputRange([3, 3.5]))).toBeNull();
  });

  it('are told over all images', () => {
    const first = outputRange([0, 0]);
    const both = outputRange([1, 1], first);
    expect(both).toEqual({ minimum: 0, maximum: 1, notFinite: 0 });
    expect(brokenBecause(both)).toBeNull();
  });
});
