import type { Tensor } from '../ir/tensor.js';
import { singularValues } from '../math/svd.js';
import { type Kernel, kernelOf, type Unfolding, unfold, unfoldedShape } from './unfolding.js';

/** Kernels of larger layers are judged by this many channels an axis, spread evenly. */
const SLICES = 64;
const ROWS = 256;
const MIXED_CHANNELS = 32;

/**
 * Singular values of a convolution's weight, each list divided by its largest entry (all zero for a zero weight).
 * A list that falls off steeply says that the kernel has a cheap separable approximation.
 */
export interface RankSpectrum {
  /**
   * Root mean square over the channels that get kernels of their own, of the j-th singular value of their kernels
   * (length min(K, rows)); null for kernels of one position.
   */
  readonly depthwise: readonly number[] | null;
  /** For a split into the first spatial axis and the others; null where there is nothing to split. */
  readonly spatial: readonly number[] | null;
  /** For a split into a convolution to few channels and a pointwise one. */
  readonly channel: readonly number[];
  /** True where the layer was too large and the values stem from evenly spaced channels. */
  readonly sampled: boolean;
}

/**
 * The spectrum of a weight as stored by Conv ([O, I/groups, k…]) or ConvTranspose ([I, O/groups, k…]). Depthwise means
 * a kernel for each coordinate of axis 1: input channels of Conv, output channels of ConvTranspose. The work is bounded
 * whatever the size; a grouped weight is judged by its first group in `spatial` and `channel`.
 */
export function rankSpectrum(weight: Tensor, groups: number): RankSpectrum {
  const kernel = kernelOf(weight, groups);
  const { spatial, positions } = kernel;
  const group = groups === 1 ? weight : weight.rows(0, kernel.outer);
  const slices = sample(groups === 1 ? group : weight, groups === 1 ? ROWS : Number.POSITIVE_INFINITY, SLICES);
  const mixed = sample(group, MIXED_CHANNELS, MIXED_CHANNELS);
  const splits = spatial[0] > 1 && positions > spatial[0];
  return {
    depthwise: positions > 1 ? spectrumOf(kernelOf(slices, groups), 'inner') : null,
    spatial: splits ? spectrumOf(kernelOf(mixed, 1), 'spatial') : null,
    channel: spectrumOf(kernelOf(mixed, 1), 'channel'),
    sampled: mixed.size < weight.size,
  };
}

/** At most so many evenly spaced coordinates of the two channel axes. */
function sample(weight: Tensor, rows: number, slices: number): Tensor {
  return [rows, slices].reduce(
    (tensor, most, axis) =>
      tensor.shape[axis] <= most ? tensor : tensor.take(axis, evenlySpaced(tensor.shape[axis], most)),
    weight,
  );
}

function evenlySpaced(size: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.floor((i * size) / count));
}

function spectrumOf(kernel: Kernel, by: Unfolding): number[] {
  const { rows, columns } = unfoldedShape(kernel, by);
  const energy = new Float64Array(Math.min(rows, columns));
  for (const matrix of unfold(kernel, by))
    for (const [j, value] of singularValues(matrix, rows, columns, energy.length).values.entries())
      energy[j] += value * value;
  return Array.from(energy, (value) => (energy[0] > 0 ? Math.sqrt(value / energy[0]) : 0));
}
