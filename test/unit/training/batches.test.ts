import { describe, expect, it } from 'vitest';
import { type BatchPlan, type MapPlan, makeBatch } from '../../../src/training/batches.js';

const image: MapPlan = { name: 'input', channels: 1, size: [4, 4], isImage: true };
const target: MapPlan = { name: 'target', channels: 2, size: [4, 4], isImage: false };
const RANGES = { flips: [true, true], rotation: 30, scale: 0.2, translation: 0.1, gamma: 0.2, gain: 0.2 };

const plan = (changes: Partial<BatchPlan>): BatchPlan => ({
  maps: [image],
  images: 10,
  batch: 4,
  seed: 0,
  ranges: null,
  ...changes,
});

/** Every pixel of image i is i. */
const number = (index: number, { channels, size }: MapPlan) =>
  new Float32Array(channels * size[0] * size[1]).fill(index);

async function imagesIn(step: number, changes: Partial<BatchPlan> = {}): Promise<number[]> {
  const batch = (await makeBatch(plan(changes), step, { augmented: 1, read: number })).get('input') as Float32Array;
  return Array.from({ length: batch.length / 16 }, (_, slot) => batch[slot * 16]);
}

async function places(steps: number, changes: Partial<BatchPlan> = {}): Promise<number[]> {
  return (await Promise.all(Array.from({ length: steps }, (_, step) => imagesIn(step, changes)))).flat();
}

/** Each pixel differs, so that every augmentation shows. */
const ramp = (index: number, { channels, size }: MapPlan) =>
  Float32Array.from({ length: channels * size[0] * size[1] }, (_, i) => 100 * index + i);

describe('batches', () => {
  it('show every image once before any again', async () => {
    const seen = await places(15);
    for (let pass = 0; pass < 6; pass++)
      expect(seen.slice(10 * pass, 10 * pass + 10).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(seen.slice(0, 10)).not.toEqual(seen.slice(10, 20));
  });

  it.each([1, 2, 3])('of more images than there are (%i) are filled with all of them', async (images) => {
    const seen = await places(3, { images });
    expect(seen).toHaveLength(12);
    const counts = Array.from({ length: images }, (_, i) => seen.filter((index) => index === i).length);
    expect(counts).toEqual(counts.map(() => 12 / images));
  });

  it('depend on the seed and the step alone', async () => {
    const changes = { maps: [image, target], ranges: RANGES, seed: 5 };
    const read = (step: number, more = {}) =>
      makeBatch(plan({ ...changes, ...more }), step, { augmented: 1, read: ramp });
    const seventh = await read(7);
    await read(3);
    expect(await read(7)).toEqual(seventh);
    expect(await read(8)).not.toEqual(seventh);
    expect(await read(7, { seed: 6 })).not.toEqual(seventh);
  });

  it('differ from step to step for seeds of any size', async () => {
    for (const seed of [0, 1, 2 ** 31, 1_234_567_890_123, Number.MAX_SAFE_INTEGER]) {
      const batches = await Promise.all(
        [0, 1, 2, 3].map((step) =>
          makeBatch(plan({ images: 1, batch: 1, seed, ranges: RANGES }), step, { augmented: 1, read: ramp }),
        ),
      );
      expect(new Set(batches.map((batch) => String(batch.get('input')))).size).toBe(4);
    }
  });

  it('augment the images and their maps alike, and the brightness of images alone', async () => {
    const changes = { images: 1, batch: 8, maps: [image, { ...target, channels: 1 }] };
    const geometric = { ...RANGES, gamma: 0, gain: 0 };
    const moved = await makeBatch(plan({ ...changes, ranges: geometric }), 0, { augmented: 1, read: ramp });
    expect(moved.get('target')).toEqual(moved.get('input'));
    const brighter = await makeBatch(plan({ ...changes, ranges: RANGES }), 0, { augmented: 1, read: ramp });
    expect(brighter.get('target')).toEqual(moved.get('target'));
    expect(brighter.get('input')).not.toEqual(moved.get('input'));
  });

  it('augment the share that is asked for', async () => {
    const changes = plan({ images: 1, batch: 400, ranges: RANGES });
    const batch = (await makeBatch(changes, 0, { augmented: 0.3, read: ramp })).get('input') as Float32Array;
    const original = String(ramp(0, image));
    const moved = Array.from({ length: 400 }, (_, slot) => String(batch.subarray(16 * slot, 16 * slot + 16))).filter(
      (values) => values !== original,
    );
    // 120 are expected, with a standard deviation of 9.
    expect(moved.length).toBeGreaterThan(80);
    expect(moved.length).toBeLessThan(160);
  });

  it('are the images themselves without augmentation', async () => {
    const batch = await makeBatch(plan({ images: 1, batch: 1, maps: [image, target] }), 0, {
      augmented: 1,
      read: ramp,
    });
    expect(batch.get('input')).toEqual(ramp(0, image));
    expect(batch.get('target')).toEqual(ramp(0, target));
  });
});
