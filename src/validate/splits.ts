/** Which images a choice may look at, and which only the final figures may. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { badDataset, cannotRead } from '../errors.js';
import { createRandom } from '../math/random.js';
import type { Dataset, Sample } from './dataset.js';

export interface SplitOptions {
  /** Share of the images to hold out. */
  fraction?: number;
  /** At least so many images, but never more than half of them. */
  min?: number;
  max?: number;
  seed?: number;
}

/**
 * Holds out whole groups, in seeded random order, until there are enough images; both parts keep the order of the data.
 * A group that would go beyond `max` is passed over.
 * @throws CompressError where there is only one group
 */
export function splitByGroup(
  dataset: Dataset,
  { fraction = 0.1, min = 8, max = 200, seed = 0 }: SplitOptions = {},
): { rest: Dataset; heldOut: Dataset } {
  const groups = groupSizes(dataset.samples);
  const total = dataset.samples.length;
  const wanted = Math.min(Math.max(Math.round(fraction * total), min), max, Math.floor(total / 2));
  const held = new Set<string>();
  let count = 0;
  for (const group of createRandom(seed).shuffle([...groups.keys()].sort())) {
    if (count >= wanted) break;
    const size = groups.get(group)!;
    if (count + size > max || count + size === total) continue;
    held.add(group);
    count += size;
  }
  if (count === 0) {
    throw badDataset(
      dataset.folder,
      'cannot be split into data and validation, because all images are of one group; give validation images with --val-data',
    );
  }
  const part = (inside: boolean): Dataset => ({
    ...dataset,
    samples: dataset.samples.filter((sample) => held.has(sample.group) === inside),
  });
  return { rest: part(false), heldOut: part(true) };
}

/**
 * Refuses data sets that share an image, compared byte for byte (by SHA-256) and whatever its name.
 * @throws CompressError that names both files
 */
export async function assertDisjoint(a: Dataset, b: Dataset): Promise<void> {
  const seen = new Map<string, string>();
  for (const { imageFile } of a.samples) seen.set(await digest(imageFile), imageFile);
  for (const { imageFile } of b.samples) {
    const twin = seen.get(await digest(imageFile));
    if (twin === undefined) continue;
    throw badDataset(
      b.folder,
      `${imageFile} is the same image as ${twin}; an image may be in one split only, remove one`,
    );
  }
}

function groupSizes(samples: readonly Sample[]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { group } of samples) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  return sizes;
}

async function digest(file: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(file), hash);
  } catch (error) {
    throw cannotRead(file, error);
  }
  return hash.digest('hex');
}
