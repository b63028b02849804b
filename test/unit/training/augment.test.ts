import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/math/random.js';
import {
  type Augmentation,
  type AugmentationRanges,
  adjustIntensity,
  drawAugmentation,
  identityAugmentation,
  warp,
} from '../../../src/training/augment.js';

const RANGES: AugmentationRanges = {
  flips: [true, true, true],
  rotation: 35,
  scale: 0.2,
  translation: 0.1,
  gamma: 0.3,
  gain: 0.25,
};

const product = (size: readonly number[]): number => size.reduce((a, b) => a * b, 1);

const noise = (length: number, seed = 1): Float32Array => {
  const random = createRandom(seed);
  return Float32Array.from({ length }, () => random.next());
};

function warped(source: Float32Array, channels: number, size: readonly number[], by: Partial<Augmentation>) {
  const target = new Float32Array(channels * product(size));
  warp(source, channels, size, { ...identityAugmentation, ...by }, target, 0);
  return target;
}

/** Reverses the given axes, element by element. */
function reversed(source: Float32Array, channels: number, size: readonly number[], flips: readonly boolean[]) {
  const shape = [channels, ...size];
  return source.map((_, index) => {
    let from = 0;
    let stride = 1;
    let rest = index;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const place = rest % shape[axis];
      rest = Math.floor(rest / shape[axis]);
      from += stride * (axis > 0 && flips[axis - 1] ? shape[axis] - 1 - place : place);
      stride *= shape[axis];
    }
    return source[from];
  });
}

/** Means of blocks of `factor` by `factor`. */
function pooled(source: Float32Array, height: number, width: number, factor: number): Float32Array {
  const columns = width / factor;
  return Float32Array.from({ length: (height / factor) * columns }, (_, index) => {
    let sum = 0;
    for (let y = 0; y < factor; y++) {
      for (let x = 0; x < factor; x++) {
        sum += source[(Math.floor(index / columns) * factor + y) * width + (index % columns) * factor + x];
      }
    }
    return sum / factor ** 2;
  });
}

const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 3 });
const anyAugmentation = fc
  .record({ seed: fc.integer(), rank: fc.integer({ min: 1, max: 3 }) })
  .map(({ seed, rank }) =>
    drawAugmentation(createRandom(seed), { ...RANGES, rotation: 180, scale: 0.8, translation: 3 }, rank),
  );

describe('drawing', () => {
  it('gives the same draws for the same seed, other ones later, all in range', () => {
    const [one, two] = [createRandom(7), createRandom(7)];
    const seen: Augmentation[] = [];
    for (let i = 0; i < 500; i++) {
      const drawn = drawAugmentation(one, RANGES, 2);
      expect(drawAugmentation(two, RANGES, 2)).toEqual(drawn);
      seen.push(drawn);
    }
    const extent = (pick: (augmentation: Augmentation) => number) => {
      const values = seen.map(pick);
      return [Math.min(...values), Math.max(...values)];
    };
    for (const [pick, low, high] of [
      [(a: Augmentation) => a.rotation, -35, 35],
      [(a: Augmentation) => a.scale, 0.8, 1.25],
      [(a: Augmentation) => a.translation[0], -0.1, 0.1],
      [(a: Augmentation) => a.translation[1], -0.1, 0.1],
      [(a: Augmentation) => a.gamma, 0.7, 1 / 0.7],
      [(a: Augmentation) => a.gain, 0.75, 1 / 0.75],
    ] as const) {
      const [least, greatest] = extent(pick);
      const margin = (high - low) * 0.02;
      expect(least).toBeGreaterThanOrEqual(low - 1e-12);
      expect(least).toBeLessThan(low + margin);
      expect(greatest).toBeLessThanOrEqual(high + 1e-12);
      expect(greatest).toBeGreaterThan(high - margin);
    }
    const flipped = seen.filter(({ flips }) => flips[0]).length;
    expect(flipped).toBeGreaterThan(200);
    expect(flipped).toBeLessThan(300);
  });

  it('leaves the other draws as they were when a range becomes zero', () => {
    const whole = drawAugmentation(createRandom(3), RANGES, 2);
    const part = drawAugmentation(createRandom(3), { ...RANGES, flips: [], rotation: 0, gamma: 0 }, 2);
    expect(part).toEqual({ ...whole, flips: [false, false], rotation: 0, gamma: 1 });
  });

  it('does not turn what has one axis', () => {
    expect(drawAugmentation(createRandom(3), RANGES, 1)).toMatchObject({
      rotation: 0,
      translation: [0, expect.any(Number)],
    });
  });

  it('refuses a fraction of 1 and more', () => {
    expect(() => drawAugmentation(createRandom(1), { ...RANGES, scale: 1 }, 2)).toThrow(/range of 1 is not in/);
  });
});

describe('warping', () => {
  it('copies under the identity and reverses exactly under flips, in 1 to 3 dimensions', () => {
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.boolean(), { maxLength: 3 }),
        (size, channels, flips) => {
          const source = noise(channels * product(size));
          expect(warped(source, channels, size, { flips })).toEqual(reversed(source, channels, size, flips));
        },
      ),
    );
  });

  it('reverses the first axis of a volume also where its slices are interpolated', () => {
    const size = [3, 4, 5];
    const source = noise(6 * 60);
    const turned = warped(source, 6, size, { rotation: 20 });
    const both = warped(source, 6, size, { rotation: 20, flips: [true] });
    expect(both).toEqual(reversed(turned, 6, size, [true]));
  });

  it('turns a square by 90 degrees as a permutation', () => {
    for (const n of [1, 2, 7, 8]) {
      const source = noise(n * n);
      const turned = warped(source, 1, [n, n], { rotation: 90 });
      for (let row = 0; row < n; row++) {
        for (let column = 0; column < n; column++) {
          expect(Math.abs(turned[row * n + column] - source[(n - 1 - column) * n + row])).toBeLessThan(1e-6);
        }
      }
    }
  });

  it('shifts by whole pixels, and continues as a mirror image', () => {
    const source = Float32Array.of(1, 2, 3, 4, 5);
    const shifted = (pixels: number) => [...warped(source, 1, [5], { translation: [0, pixels / 5] })];
    const near = (actual: number[], expected: number[]) =>
      actual.forEach((value, index) => void expect(value).toBeCloseTo(expected[index], 5));
    near(shifted(2), [2, 1, 1, 2, 3]);
    near(shifted(-2), [3, 4, 5, 5, 4]);
    near(shifted(7), [4, 5, 5, 4, 3]);
    near(shifted(20), [1, 2, 3, 4, 5]);
    near(shifted(0.5), [1, 1.5, 2.5, 3.5, 4.5]);
  });

  it('mirrors, turns, enlarges, then shifts', () => {
    const n = 9;
    const at = (image: Float32Array) => {
      const index = image.indexOf(Math.max(...image));
      return [Math.floor(index / n) - 4, (index % n) - 4];
    };
    const point = new Float32Array(n * n);
    point[(4 + 1) * n + (4 + 2)] = 1;
    expect(at(warped(point, 1, [n, n], { flips: [true, false] }))).toEqual([-1, 2]);
    expect(at(warped(point, 1, [n, n], { rotation: 90 }))).toEqual([2, -1]);
    expect(at(warped(point, 1, [n, n], { scale: 2 }))).toEqual([2, 4]);
    expect(at(warped(point, 1, [n, n], { flips: [true, false], rotation: 90 }))).toEqual([2, 1]);
    expect(at(warped(point, 1, [n, n], { rotation: 90, translation: [1 / 9, 2 / 9] }))).toEqual([3, 1]);
  });

  it('keeps an image and its pooled map aligned', () => {
    const [height, width, factor] = [96, 128, 8];
    const image = Float32Array.from({ length: height * width }, (_, index) => {
      const [y, x] = [Math.floor(index / width) / height, (index % width) / width];
      return Math.sin(2.5 * x + y) + Math.cos(2 * y - x / 2);
    });
    const map = pooled(image, height, width, factor);
    const random = createRandom(5);
    for (let i = 0; i < 20; i++) {
      const augmentation = drawAugmentation(random, RANGES, 2);
      const first = pooled(warped(image, 1, [height, width], augmentation), height, width, factor);
      const second = warped(map, 1, [height / factor, width / factor], augmentation);
      // Away from the border, where mirrored pixels meet the others in a kink that no pooling follows.
      let worst = 0;
      for (let y = 4; y < 8; y++) {
        for (let x = 5; x < 11; x++) worst = Math.max(worst, Math.abs(first[y * 16 + x] - second[y * 16 + x]));
      }
      expect(worst).toBeLessThan(0.01);
    }
  });

  it('never leaves the range of the source, reads nothing outside of it and treats channels alike', () => {
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 1, max: 6 }),
        anyAugmentation,
        fc.integer(),
        (size, channels, augmentation, seed) => {
          const length = channels * product(size);
          const source = noise(length, seed).map((value) => (value < 0.2 ? 0 : value > 0.8 ? 1 : value));
          const target = new Float32Array(length + 3).fill(-7);
          warp(source, channels, size, augmentation, target, 2);
          expect([target[0], target[1], target[length + 2]]).toEqual([-7, -7, -7]);
          const inside = target.subarray(2, length + 2);
          for (const value of inside) expect(value >= 0 && value <= 1).toBe(true);
          const each = length / channels;
          for (let channel = 0; channel < channels; channel++) {
            const alone = warped(source.slice(channel * each, (channel + 1) * each), 1, size, augmentation);
            expect(inside.slice(channel * each, (channel + 1) * each)).toEqual(alone);
          }
        },
      ),
    );
  });

  it('keeps a constant image', () => {
    const constant = new Float32Array(30).fill(0.3);
    fc.assert(
      fc.property(
        anyAugmentation,
        (augmentation) => void expect(warped(constant, 1, [5, 6], augmentation)).toEqual(constant),
      ),
    );
  });

  it('refuses arrays that are too short and shapes that are no image', () => {
    expect(() => warp(new Float32Array(8), 1, [3, 3], identityAugmentation, new Float32Array(9), 0)).toThrow(
      /do not fit/,
    );
    expect(() => warp(new Float32Array(9), 1, [3, 3], identityAugmentation, new Float32Array(9), 1)).toThrow(
      /do not fit/,
    );
    expect(() => warp(new Float32Array(1), 1, [], identityAugmentation, new Float32Array(1), 0)).toThrow(/0 spatial/);
    expect(() => warp(new Float32Array(1), 1, [1, 1, 1, 1], identityAugmentation, new Float32Array(1), 0)).toThrow(
      /4 spatial/,
    );
  });
});

describe('intensity', () => {
  const adjusted = (image: Float32Array, gain: number, gamma: number, offset = 0, length = image.length) => {
    const copy = image.slice();
    adjustIntensity(copy, offset, length, { ...identityAugmentation, gain, gamma });
    return copy;
  };

  it('follows its formula on the range of the image, whatever preprocessing made of it', () => {
    const grey = noise(500);
    grey[3] = 0;
    grey[4] = 1;
    for (const [mean, deviation] of [
      [0, 1],
      [0.5, 0.25],
      [-100, 0.01],
    ]) {
      const image = grey.map((value) => (value - mean) / deviation);
      for (const [gain, gamma] of [
        [1, 0.7],
        [1.3, 1],
        [0.7, 1.4],
        [1.3, 1.4],
      ]) {
        const result = adjusted(image, gain, gamma);
        result.forEach((value, index) => {
          const expected = Math.min(1, gain * grey[index] ** gamma);
          expect(Math.abs(value * deviation + mean - expected)).toBeLessThan(0.003);
        });
        expect(result[3]).toBe(image[3]);
        expect(result.every((value) => value >= image[3] && value <= image[4])).toBe(true);
      }
    }
  });

  it('changes nothing outside of its part, nothing without gain and gamma, nothing in a constant image', () => {
    const image = noise(20);
    const part = adjusted(image, 0.8, 1.2, 5, 10);
    expect(part.slice(0, 5)).toEqual(image.slice(0, 5));
    expect(part.slice(15)).toEqual(image.slice(15));
    expect(part.slice(5, 15)).toEqual(adjusted(image.slice(5, 15), 0.8, 1.2));
    expect(part.slice(5, 15)).not.toEqual(image.slice(5, 15));
    expect(adjusted(image, 1, 1)).toEqual(image);
    const constant = new Float32Array(4).fill(2.5);
    expect(adjusted(constant, 1.3, 0.7)).toEqual(constant);
  });

  it('leaves what is not a number as it is', () => {
    const result = adjusted(Float32Array.of(0, Number.NaN, 1, 0.5), 0.5, 1);
    expect([...result]).toEqual([0, Number.NaN, 0.5, 0.25]);
  });
});
