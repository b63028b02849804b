import { unequalWidths } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import { Tensor } from '../ir/tensor.js';
import { singularTriplets } from '../math/svd.js';
import type { MatchedPoint } from './feature-points.js';

/** Maps are averaged down to at most this many positions along an axis before they are compared. */
const MOST_POSITIONS = 32;

/** Principal components of a teacher's map that the student recreates, at most. */
const MOST_COMPONENTS = 32;

/** A point where the student's map, as it is or through an adapter, is to recreate the teacher's. */
export interface FeaturePlan extends MatchedPoint {
  /** Whether a trained adapter stands between; else the maps themselves are compared, channel by channel. */
  readonly isAdapted: boolean;
  /** Factors by which maps are averaged down, by spatial axis. */
  readonly pool: readonly number[];
  readonly pooledSize: readonly number[];
  /** Channels that are compared. */
  readonly components: number;
}

/**
 * How a matched point is compared. Maps are averaged down to blocks of whole positions (to divisors of their size, so
 * that blocks stay aligned with the image): the output's loss has the fine detail, and targets stay small on disk.
 */
export function planFeature(point: MatchedPoint): FeaturePlan {
  const pool = point.size.map((size) => {
    for (let factor = Math.ceil(size / MOST_POSITIONS); factor < size; factor++) if (size % factor === 0) return factor;
    return 1;
  });
  const pooledSize = point.size.map((size, axis) => size / pool[axis]);
  const components = Math.min(point.teacherChannels, MOST_COMPONENTS);
  return { ...point, isAdapted: true, pool, pooledSize, components };
}

/**
 * How the paper compares a matched point (Vaze, Xie and Namburete 2020, section III-C): position by position and
 * channel by channel.
 *
 * @throws CompressError where the widths differ
 */
export function planWholeFeature(point: MatchedPoint): FeaturePlan {
  const { value, size, teacherChannels, studentChannels } = point;
  if (teacherChannels !== studentChannels) throw unequalWidths(value, teacherChannels, studentChannels);
  const pool = size.map(() => 1);
  return { ...point, isAdapted: false, pool, pooledSize: size, components: teacherChannels };
}

/** The value averaged down as planned. */
export function pooled(builder: GraphBuilder, value: string, { pool }: FeaturePlan): string {
  if (pool.every((factor) => factor === 1)) return value;
  return builder.apply('AveragePool', [value], { kernel_shape: pool, strides: pool }, `pooled/${value}`);
}

/** A 1x1 convolution over channels: `weight` is row-major [outputs, inputs]. */
export function mixChannels(
  builder: GraphBuilder,
  value: string,
  { name, weight, bias, spatialRank }: { name: string; weight: Float32Array; bias: Float32Array; spatialRank: number },
): string {
  const shape = [bias.length, weight.length / bias.length, ...Array<number>(spatialRank).fill(1)];
  const kernel = builder.constant(builder.fresh(`${name}/weight`), Tensor.floats(weight, shape));
  const offset = builder.constant(builder.fresh(`${name}/bias`), Tensor.floats(bias));
  return builder.apply('Conv', [value, kernel, offset], {}, name);
}

/** Sums over positions of a map's channels and of their products. */
export interface Moments {
  count: number;
  readonly sums: Float64Array;
  /** Row-major [channels, channels]. */
  readonly products: Float64Array;
}

export interface Projection {
  /** Row-major [components, channels]. */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/**
 * The first principal components of a teacher's map, scaled as one so that their mean square is 1: the squared distance
 * to them is then the relative one, ‖A·f − P·g‖² / ‖P·g‖² (algorithms, F).
 */
export function principalComponents({ count, sums, products }: Moments, components: number): Projection {
  const channels = sums.length;
  const mean = sums.map((sum) => sum / count);
  const covariance = products.map(
    (product, at) => product / count - mean[Math.floor(at / channels)] * mean[at % channels],
  );
  const { values, right } = singularTriplets(covariance, channels, channels, components);
  const power = values.reduce((sum, value) => sum + value, 0) / components;
  // A map that never changes has nothing to recreate.
  const scale = power > 0 ? 1 / Math.sqrt(power) : 0;
  const weight = new Float32Array(components * channels);
  const bias = new Float32Array(components);
  for (let k = 0; k < Math.min(components, values.length); k++) {
    let centre = 0;
    for (let c = 0; c < channels; c++) {
      const factor = right[k * channels + c] * scale;
      weight[k * channels + c] = factor;
      centre += factor * mean[c];
    }
    bias[k] = -centre;
  }
  return { weight, bias };
}
