import { NOWHERE } from './along-axis.js';

/** What an output coordinate of an interpolation reads: input coordinates and their weights; none in extrapolation. */
export type Row = readonly Tap[];

interface Tap {
  readonly from: number;
  readonly weight: number;
}

/** How one axis is interpolated (the attributes of ONNX Resize). */
export interface AxisResize {
  readonly size: number;
  readonly out: number;
  readonly scale: number;
  readonly mode: 'nearest' | 'linear' | 'cubic';
  readonly coordinates: string;
  readonly rounding: string;
  readonly cubicCoefficient: number;
  readonly excludesOutside: boolean;
  /** Begin and end of the region of `tf_crop_and_resize`, in units of the axis. */
  readonly region: readonly [number, number];
}

const { fround } = Math;

/**
 * The rows of the interpolation's matrix [out, size]: formulas of ONNX Resize-19 in single precision, as ONNX Runtime
 * evaluates them, so that rounding at half-way points falls the same way.
 */
export function resizeRows(axis: AxisResize): Row[] {
  const { size, out, coordinates } = axis;
  return Array.from({ length: out }, (_, j) => {
    const at = coordinateOf(axis, j);
    if (coordinates === 'tf_crop_and_resize' && (at < 0 || at > size - 1)) return [];
    if (axis.mode === 'nearest') return [{ from: clamp(rounded(at, axis.rounding), size), weight: 1 }];
    return merged(axis.mode === 'linear' ? linear(at, size) : cubic(at, axis));
  });
}

/** The position in the input that output coordinate j stands for. */
function coordinateOf({ size, out, scale, coordinates, region }: AxisResize, j: number): number {
  switch (coordinates) {
    case 'asymmetric':
      return fround(j / scale);
    case 'align_corners':
      return out === 1 ? 0 : fround(fround(j * (size - 1)) / (out - 1));
    case 'pytorch_half_pixel':
      return out === 1 ? 0 : halfPixel(j, scale);
    case 'half_pixel_symmetric': {
      const adjustment = fround(out / fround(scale * size));
      return fround(fround((size / 2) * fround(1 - adjustment)) + halfPixel(j, scale));
    }
    case 'tf_crop_and_resize': {
      const [begin, end] = region.map(fround);
      if (out === 1) return fround(0.5 * fround(begin + end) * (size - 1));
      const along = fround(fround(fround(j * fround(end - begin)) * (size - 1)) / (out - 1));
      return fround(fround(begin * (size - 1)) + along);
    }
    default:
      return halfPixel(j, scale);
  }
}

function halfPixel(j: number, scale: number): number {
  return fround(fround((j + 0.5) / scale) - 0.5);
}

function rounded(at: number, rounding: string): number {
  const isHalfWay = at - Math.floor(at) === 0.5;
  switch (rounding) {
    case 'floor':
      return Math.floor(at);
    case 'ceil':
      return Math.ceil(at);
    case 'round_prefer_ceil':
      return isHalfWay ? Math.ceil(at) : Math.round(at);
    default:
      return isHalfWay ? Math.floor(at) : Math.round(at);
  }
}

/** Between the two neighbours, by distance; beyond the first and last coordinate those repeat. */
function linear(at: number, size: number): Tap[] {
  const inside = Math.max(0, Math.min(size - 1, at));
  const low = Math.floor(inside);
  const weight = inside - low;
  return [
    { from: low, weight: 1 - weight },
    { from: Math.min(low + 1, size - 1), weight },
  ];
}

/** Keys 1981 with coefficient a; taps beyond the axis repeat its ends, or are left out and the others made to sum to 1. */
function cubic(at: number, { size, cubicCoefficient: a, excludesOutside }: AxisResize): Tap[] {
  const low = Math.floor(at);
  const taps = [-1, 0, 1, 2].map((offset) => ({ from: low + offset, weight: keys(Math.abs(at - low - offset), a) }));
  if (!excludesOutside) return taps.map(({ from, weight }) => ({ from: clamp(from, size), weight }));
  const inside = taps.filter(({ from }) => from >= 0 && from < size);
  const total = inside.reduce((sum, { weight }) => sum + weight, 0);
  return inside.map(({ from, weight }) => ({ from, weight: weight / total }));
}

function keys(distance: number, a: number): number {
  if (distance <= 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  if (distance < 2) return ((distance - 5) * distance + 8) * distance * a - 4 * a;
  return 0;
}

/** One tap for each coordinate, without those of weight 0. */
function merged(taps: readonly Tap[]): Tap[] {
  const weights = new Map<number, number>();
  for (const { from, weight } of taps) weights.set(from, (weights.get(from) ?? 0) + weight);
  return [...weights].flatMap(([from, weight]) => (weight === 0 ? [] : [{ from, weight }]));
}

function clamp(at: number, size: number): number {
  return Math.max(0, Math.min(size - 1, at));
}

/** The coordinate that each row copies; undefined where one mixes several. */
export function pickedBy(rows: readonly Row[]): number[] | undefined {
  if (rows.some((row) => row.length > 1 || (row.length === 1 && row[0].weight !== 1))) return undefined;
  return rows.map((row) => row[0]?.from ?? NOWHERE);
}

/** The transposed matrix [size, out], row-major. */
export function transposedMatrix(rows: readonly Row[], size: number): Float32Array {
  const matrix = new Float32Array(size * rows.length);
  for (const [j, row] of rows.entries()) for (const { from, weight } of row) matrix[from * rows.length + j] += weight;
  return matrix;
}

/** A strided correlation with repeated borders: dx[i] = Σ kernel[t]·dy[clamp(stride·i − begin + t)]. */
export interface Correlation {
  readonly kernel: readonly number[];
  readonly stride: number;
  readonly begin: number;
}

/**
 * The correlation that the transposed rows are, if they are one: the kernel is the middle column, and must give all
 * others. Linear interpolation to a whole multiple with half-pixel coordinates is such a one.
 */
export function correlationOf(rows: readonly Row[], size: number): Correlation | undefined {
  const out = rows.length;
  const stride = out / size;
  if (!Number.isInteger(stride)) return undefined;
  const columns = transposedMatrix(rows, size);
  const middle = size >> 1;
  const weights = columns.subarray(middle * out, (middle + 1) * out);
  const first = weights.findIndex((weight) => weight !== 0);
  const last = weights.findLastIndex((weight) => weight !== 0);
  if (first < 0) return undefined;
  const kernel = Array.from(weights.subarray(first, last + 1));
  const begin = middle * stride - first;
  const rebuilt = new Float32Array(columns.length);
  for (let i = 0; i < size; i++)
    for (const [t, weight] of kernel.entries()) rebuilt[i * out + clamp(stride * i - begin + t, out)] += weight;
  // Positions are rounded to single precision, the more coarsely the longer the axis.
  const isSame = rebuilt.every((weight, k) => Math.abs(weight - columns[k]) < 1e-4);
  return isSame ? { kernel, stride, begin } : undefined;
}
