import type { Graph } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import { createRandom } from '../../math/random.js';
import type { KeptCoordinates } from '../thinning/apply.js';

/** First and second moments of a value's channels over sampled positions of the calibration images. */
export interface ChannelMoments {
  readonly channels: number;
  /** How many positions were sampled. */
  readonly count: number;
  /** Σ x, one a channel. */
  readonly sums: Float64Array;
  /** Σ x xᵀ, channels × channels. */
  readonly gram: Float64Array;
}

/** What a network did on the calibration images, before anything was removed from it. */
export interface Observation {
  readonly graph: Graph;
  readonly seed: number;
  /** By the name of a value that some layer reads. */
  readonly moments: ReadonlyMap<string, ChannelMoments>;
  /** By the name of a layer's output: the variance of each channel over its samples. */
  readonly variances: ReadonlyMap<string, Float64Array>;
  /** By the name of a layer's output: for each image its values [channels, samples] at `sampledPositions`. */
  readonly targets: ReadonlyMap<string, readonly Tensor[]>;
  /** Which coordinates of it have been kept since; all until thinning says otherwise. */
  kept?: KeptCoordinates;
}

/** Positions of an image at which a layer's output is sampled, for each phase of the layer's stride. */
export const SAMPLES = 200;

/**
 * Where to sample an image's positions: numbers in [0, 1), ascending, one in each of `count` equal parts, so that they
 * are spread out and differ as long as there are enough positions. The same for every value of the image.
 */
export function sampledFractions(seed: number, image: number, count: number): Float64Array {
  const random = createRandom(seed + (image + 1) * 2 ** 32 + count / 2 ** 20);
  return Float64Array.from({ length: count }, (_, i) => (i + random.next()) / count);
}

/** The positions among `available` that the fractions stand for. */
export function sampledPositions(fractions: Float64Array, available: number): Int32Array {
  return Int32Array.from(fractions, (fraction) => Math.floor(fraction * available));
}

/** Covariances, times the number of samples, between two lists of a value's channels; row-major. */
export function covarianceOf(
  { channels, count, sums, gram }: ChannelMoments,
  rows: readonly number[],
  columns: readonly number[],
): Float64Array {
  const out = new Float64Array(rows.length * columns.length);
  for (const [i, r] of rows.entries())
    for (const [j, c] of columns.entries())
      out[i * columns.length + j] = gram[r * channels + c] - (sums[r] * sums[c]) / count;
  return out;
}
