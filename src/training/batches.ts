import { createRandom } from '../math/random.js';
import {
  type Augmentation,
  type AugmentationRanges,
  adjustIntensity,
  drawAugmentation,
  identityAugmentation,
  warp,
} from './augment.js';

/** A map over space that goes into a batch: the input, a target, or a feature of the teacher. */
export interface MapPlan {
  readonly name: string;
  readonly channels: number;
  readonly size: readonly number[];
  /** The image itself, whose brightness is varied. */
  readonly isImage: boolean;
}

export interface BatchPlan {
  readonly maps: readonly MapPlan[];
  readonly images: number;
  readonly batch: number;
  readonly seed: number;
  /** Null: the images stay as they are. */
  readonly ranges: AugmentationRanges | null;
}

/** Reads a map of one image, channels first. */
export type ReadMap = (image: number, map: MapPlan) => Promise<Float32Array> | Float32Array;

/**
 * The batch of a step: which images, and how each is augmented, depend on the seed and the step alone, so that a run
 * that was interrupted goes on with the same batches. Every image is seen once before any is seen again.
 *
 * @param options.augmented share of the images that are augmented, from 0 to 1
 */
export async function makeBatch(
  plan: BatchPlan,
  step: number,
  { augmented, read }: { augmented: number; read: ReadMap },
): Promise<Map<string, Float32Array>> {
  const { maps, batch } = plan;
  const arrays = new Map(maps.map((map) => [map.name, new Float32Array(batch * sizeOf(map))]));
  const images = imagesOf(plan, step);
  for (const [slot, image] of images.entries()) {
    const augmentation = augmentationOf(plan, step, slot, augmented);
    for (const map of maps) {
      const target = arrays.get(map.name)!;
      const offset = slot * sizeOf(map);
      warp(await read(image, map), map.channels, map.size, augmentation, target, offset);
      if (map.isImage) adjustIntensity(target, offset, sizeOf(map), augmentation);
    }
  }
  return arrays;
}

/** Places in an endless sequence of shuffled passes over the images. */
function imagesOf({ images, batch, seed }: BatchPlan, step: number): number[] {
  const order = new Map<number, number[]>();
  return Array.from({ length: batch }, (_, slot) => {
    const place = step * batch + slot;
    const pass = Math.floor(place / images);
    const shuffled = order.get(pass) ?? shuffledPass(images, seed, pass);
    order.set(pass, shuffled);
    return shuffled[place % images];
  });
}

function shuffledPass(images: number, seed: number, pass: number): number[] {
  return createRandom(mix(seed, pass, 0)).shuffle(Array.from({ length: images }, (_, i) => i));
}

function augmentationOf(
  { ranges, seed, batch, maps }: BatchPlan,
  step: number,
  slot: number,
  augmented: number,
): Augmentation {
  if (!ranges) return identityAugmentation;
  const random = createRandom(mix(seed, step * batch + slot, 1));
  const drawn = drawAugmentation(random, ranges, maps[0].size.length);
  return random.next() < augmented ? drawn : identityAugmentation;
}

/** One seed from three numbers; `purpose` is 0 or 1. The seed becomes a fraction, so that none is too large to add to. */
function mix(seed: number, index: number, purpose: number): number {
  return createRandom(seed).next() + 2 * index + purpose;
}

function sizeOf({ channels, size }: MapPlan): number {
  return size.reduce((product, n) => product * n, channels);
}
