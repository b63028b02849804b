/** Where resized positions lie in the input, as ONNX and as TensorFlow say it, in single precision as runtimes compute it. */

/** How TensorFlow places samples; the first that reads the same is taken, and `asymmetric` is the cheapest. */
export const SAMPLINGS = ['asymmetric', 'half_pixel', 'align_corners'] as const;
export type Sampling = (typeof SAMPLINGS)[number];

/** One axis of ONNX Resize. */
export interface Coordinates {
  /** `coordinate_transformation_mode`. */
  readonly mode: string;
  readonly input: number;
  readonly size: number;
  /** Output over input; what the node states may differ from the quotient of the sizes. */
  readonly scale: number;
}

const { fround } = Math;

/** The coordinate in the input that a position of the output reads (ONNX Resize, coordinate_transformation_mode). */
function coordinate({ mode, input, size, scale }: Coordinates, position: number): number {
  switch (mode) {
    case 'align_corners':
      return size === 1 ? 0 : fround(fround(position * (input - 1)) / (size - 1));
    case 'asymmetric':
      return fround(position / fround(scale));
    case 'pytorch_half_pixel':
      if (size === 1) return 0;
      break;
    case 'half_pixel_symmetric': {
      // The part of the output that a fractional scale leaves is spread over both ends.
      const center = input / 2;
      const offset = center * (1 - size / (scale * input));
      return fround(offset + fround((position + 0.5) / fround(scale)) - 0.5);
    }
  }
  return fround(fround((position + 0.5) / fround(scale)) - 0.5);
}

/** Coordinates for linear interpolation, which reads nothing outside. */
export function clampedCoordinates(axis: Coordinates): number[] {
  return Array.from({ length: axis.size }, (_, i) => clamp(coordinate(axis, i), axis.input));
}

/** The element that each position reads (ONNX Resize, nearest_mode). */
export function nearestIndices(axis: Coordinates, rounding: string): number[] {
  return Array.from({ length: axis.size }, (_, i) => clamp(round(coordinate(axis, i), rounding), axis.input));
}

function round(value: number, rounding: string): number {
  switch (rounding) {
    case 'floor':
      return Math.floor(value);
    case 'ceil':
      return Math.ceil(value);
    case 'round_prefer_ceil':
      return Math.floor(value + 0.5);
    default:
      return Math.ceil(value - 0.5);
  }
}

/** TensorFlow's coordinates for bilinear interpolation (tensorflow/core/kernels/image, CalculateResizeScale). */
export function samplingCoordinates(sampling: Sampling, input: number, size: number): number[] {
  const scale = samplingScale(sampling, input, size);
  return Array.from({ length: size }, (_, i) =>
    clamp(sampling === 'half_pixel' ? fround(fround((i + 0.5) * scale) - 0.5) : fround(i * scale), input),
  );
}

/** TensorFlow's elements for the nearest neighbour. */
export function samplingIndices(sampling: Sampling, input: number, size: number): number[] {
  const scale = samplingScale(sampling, input, size);
  return Array.from({ length: size }, (_, i) => {
    if (sampling === 'half_pixel') return clamp(Math.floor(fround((i + 0.5) * scale)), input);
    const at = fround(i * scale);
    return clamp(sampling === 'align_corners' ? Math.floor(at + 0.5) : Math.floor(at), input);
  });
}

function samplingScale(sampling: Sampling, input: number, size: number): number {
  return sampling === 'align_corners' && size > 1 ? fround((input - 1) / (size - 1)) : fround(input / size);
}

function clamp(value: number, extent: number): number {
  return Math.min(Math.max(value, 0), extent - 1);
}
