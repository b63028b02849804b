import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundary, hausdorff95, squaredDistances } from '../../../src/validate/surface-distance.js';

/** A mask from rows of text, # inside. */
const mask = (...rows: string[]) => Uint8Array.from(rows.join(''), (c) => (c === '#' ? 1 : 0));

function square(top: number, left: number, side: number, size = 40): Uint8Array {
  const result = new Uint8Array(size * size);
  for (let y = top; y < top + side; y++) result.fill(1, y * size + left, y * size + left + side);
  return result;
}

/** Every pair of pixels, by the definition. */
function bruteForce(sites: Uint8Array, shape: readonly number[], spacing: readonly number[]): number[] {
  const place = (position: number) => {
    const at: number[] = [];
    for (let axis = shape.length - 1, rest = position; axis >= 0; axis--) {
      at[axis] = (rest % shape[axis]!) * spacing[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    return at;
  };
  return Array.from(sites, (_, i) => {
    let best = Number.POSITIVE_INFINITY;
    sites.forEach((site, j) => {
      if (site === 0) return;
      best = Math.min(
        best,
        place(i).reduce((sum, x, axis) => sum + (x - place(j)[axis]!) ** 2, 0),
      );
    });
    return best;
  });
}

const shapes = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
  fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
);
const scene = shapes.chain((shape) => {
  const count = (shape as number[]).reduce((a, b) => a * b, 1);
  const pixels = fc.array(fc.constantFrom(0, 0, 0, 1), { minLength: count, maxLength: count });
  const lengths = fc.array(fc.constantFrom(0.19, 0.5, 1, 2), { minLength: shape.length, maxLength: shape.length });
  return fc.record({ shape: fc.constant<readonly number[]>(shape), a: pixels, b: pixels, spacing: lengths });
});

describe('distance transform', () => {
  it('equals the nearest of all pixels', () => {
    fc.assert(
      fc.property(scene, ({ shape, a, spacing }) => {
        const sites = Uint8Array.from(a);
        const expected = bruteForce(sites, shape, spacing);
        squaredDistances(sites, shape, spacing).forEach((distance, i) => {
          if (expected[i] === Number.POSITIVE_INFINITY) expect(distance).toBe(expected[i]);
          else expect(distance).toBeCloseTo(expected[i]!, 9);
        });
      }),
    );
  });
});

describe('boundary', () => {
  it('is the mask without its 4-neighbour erosion, and the image edge counts', () => {
    const filled = mask('#####', '#####', '#####', '#####');
    expect(boundary(filled, [4, 5])).toEqual(mask('#####', '#...#', '#...#', '#####'));
    const notched = mask('.....', '.###.', '.###.', '.###.', '...#.');
    expect(boundary(notched, [5, 5])).toEqual(mask('.....', '.###.', '.#.#.', '.###.', '...#.'));
  });

  it('has 26 of the 27 voxels of a 3-cube', () => {
    expect(boundary(new Uint8Array(27).fill(1), [3, 3, 3]).filter((value) => value === 0)).toHaveLength(1);
  });
});

describe('hausdorff95', () => {
  it('is the shift of a square along an axis, in millimetres', () => {
    const [a, b] = [square(5, 5, 20), square(5, 8, 20)];
    expect(hausdorff95(a, b, [40, 40], [1, 1])).toBe(3);
    expect(hausdorff95(a, b, [40, 40], [0.5, 0.25])).toBe(0.75);
    expect(hausdorff95(square(5, 5, 20), square(9, 5, 20), [40, 40], [0.5, 0.25])).toBe(2);
  });

  it('is 0 for equal and for empty masks, and nothing where one is empty', () => {
    const empty = new Uint8Array(1600);
    expect(hausdorff95(square(5, 5, 9), square(5, 5, 9), [40, 40], [1, 1])).toBe(0);
    expect(hausdorff95(empty, empty, [40, 40], [1, 1])).toBe(0);
    expect(hausdorff95(empty, square(5, 5, 9), [40, 40], [1, 1])).toBeNull();
    expect(hausdorff95(square(5, 5, 9), empty, [40, 40], [1, 1])).toBeNull();
  });

  it('takes the 95th percentile by linear interpolation, of the worse direction', () => {
    // From 21 pixels at 0 to 20 to the single pixel 0: distances 0 to 20, the 95th percentile is 19.
    const line = new Uint8Array(21).fill(1);
    const point = new Uint8Array(21);
    point[0] = 1;
    expect(hausdorff95(line, point, [1, 21], [1, 1])).toBe(19);
    expect(hausdorff95(point, line, [1, 21], [1, 1])).toBe(19);
    // 11 pixels: position 9.5 lies halfway between 9 and 10.
    expect(hausdorff95(line.subarray(0, 11), point.subarray(0, 11), [1, 11], [1, 1])).toBe(9.5);
  });

  it('ignores one stray pixel in a long boundary', () => {
    const stray = square(5, 5, 20);
    stray[39 * 40 + 39] = 1;
    expect(hausdorff95(stray, square(5, 5, 20), [40, 40], [1, 1])).toBe(0);
  });

  it('is symmetric and equals the definition', () => {
    fc.assert(
      fc.property(scene, ({ shape, a, b, spacing }) => {
        const [first, second] = [Uint8Array.from(a), Uint8Array.from(b)];
        const result = hausdorff95(first, second, shape, spacing);
        expect(hausdorff95(second, first, shape, spacing)).toBe(result);
        if (!first.includes(1) || !second.includes(1)) return;
        const edges = [boundary(first, shape), boundary(second, shape)] as const;
        const directed = (from: Uint8Array, to: Uint8Array) => {
          const all = bruteForce(to, shape, spacing);
          const sorted = all
            .filter((_, i) => from[i] === 1)
            .map(Math.sqrt)
            .sort((x, y) => x - y);
          const position = 0.95 * (sorted.length - 1);
          const low = Math.floor(position);
          return sorted[low]! + (position - low) * ((sorted[low + 1] ?? sorted[low]!) - sorted[low]!);
        };
        expect(result).toBeCloseTo(Math.max(directed(edges[0], edges[1]), directed(edges[1], edges[0])), 9);
      }),
    );
  });
});
