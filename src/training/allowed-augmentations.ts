import { Tensor } from '../ir/tensor.js';
import { type Augmentation, type AugmentationRanges, identityAugmentation, warp } from './augment.js';
import type { LoadedGraph } from './engine.js';
import type { OutputReading } from './losses.js';
import type { TrainingMaterial } from './material.js';

/** Ranges of what is varied (algorithms, F); each geometric one only where the original answers alike. */
const WIDEST: AugmentationRanges = {
  flips: [],
  rotation: 35,
  scale: 0.2,
  translation: 0.05,
  gamma: 0.25,
  gain: 0.25,
};

/** Images that the original is asked about. */
const MOST_IMAGES = 12;

/** Overlap of the original's answers before and after from which on it counts as used to such images. */
const LEAST_OVERLAP = 0.85;

/** Degrees of the rotation that is tried: half of the widest. */
const TRIED_ROTATION = WIDEST.rotation / 2;

/**
 * Which augmentations the data allow. The original's answer to a mirrored or turned image must overlap with its answer
 * to the image as it is, warped alike (soft Dice over all images, mean over channels; of classes without the one that
 * fills most of the images); where it does not, the network has learnt from images of one orientation, and others would
 * only teach what it never meets.
 */
export async function allowedAugmentations(
  material: TrainingMaterial,
  teacher: LoadedGraph,
  names: {
    readonly input: string;
    readonly target: string;
    readonly channels: number;
    readonly size: readonly number[];
    readonly reading: OutputReading;
  },
): Promise<AugmentationRanges> {
  const { shape, count } = material.images;
  const rank = shape.length - 1;
  const flip = (axis: number): Augmentation => ({
    ...identityAugmentation,
    flips: Array.from({ length: rank }, (_, at) => at === axis),
  });
  const tried: Augmentation[] = Array.from({ length: rank }, (_, axis) => flip(axis));
  if (rank > 1) tried.push({ ...identityAugmentation, rotation: TRIED_ROTATION });
  const overlaps = tried.map(() => new Overlap(names.channels));
  const images = Math.min(count, MOST_IMAGES);
  for (let index = 0; index < images; index++) {
    const { input } = await material.images.load(Math.floor((index * count) / images));
    const answer = async (image: Float32Array) => {
      const outputs = await teacher.run(new Map([[names.input, Tensor.floats(image, [1, ...shape])]]));
      return (outputs.get(names.target) as Tensor).toFloat32();
    };
    const straight = await answer(input);
    for (const [i, augmentation] of tried.entries()) {
      const moved = await answer(warped(input, shape[0], shape.slice(1), augmentation));
      const expected = warped(straight, names.channels, names.size, augmentation);
      overlaps[i].add(moved, expected);
    }
  }
  const isAllowed = overlaps.map((overlap) => overlap.mean(names.reading === 'classes') >= LEAST_OVERLAP);
  return { ...WIDEST, flips: isAllowed.slice(0, rank), rotation: isAllowed[rank] ? WIDEST.rotation : 0 };
}

function warped(source: Float32Array, channels: number, size: readonly number[], augmentation: Augmentation) {
  const target = new Float32Array(source.length);
  warp(source, channels, size, augmentation, target, 0);
  return target;
}

/** Share of a channel in the answers below which it was never found, so that its overlap is one of rounding. */
const NEGLIGIBLE = 1e-6;

/** 2 Σ ab / (Σ a² + Σ b²) by channel, 1 where both are zero. */
class Overlap {
  private readonly products: Float64Array;
  private readonly squares: Float64Array;

  constructor(channels: number) {
    this.products = new Float64Array(channels);
    this.squares = new Float64Array(channels);
  }

  add(a: Float32Array, b: Float32Array): void {
    const positions = a.length / this.products.length;
    for (let i = 0; i < a.length; i++) {
      const channel = Math.floor(i / positions);
      this.products[channel] += a[i] * b[i];
      this.squares[channel] += a[i] ** 2 + b[i] ** 2;
    }
  }

  /** The mean over channels, without the fullest one where that is the background of others. */
  mean(hasBackground: boolean): number {
    const background = hasBackground && this.squares.length > 1 ? this.squares.indexOf(Math.max(...this.squares)) : -1;
    const least = NEGLIGIBLE * this.squares.reduce((sum, squares) => sum + squares, 0);
    const overlaps = Array.from(this.squares, (squares, c) => (squares > least ? (2 * this.products[c]) / squares : 1));
    const counted = overlaps.filter((_, c) => c !== background);
    return counted.reduce((sum, overlap) => sum + overlap, 0) / counted.length;
  }
}
