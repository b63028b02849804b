import type { Random } from '../math/random.js';

/** How far an augmentation may go; zero (or false) switches a part of it off. */
export interface AugmentationRanges {
  /** Per spatial axis: whether it may be mirrored, which happens half of the time. */
  readonly flips: readonly boolean[];
  /** Degrees to either side, in the plane of the last two axes. */
  readonly rotation: number;
  /** Fraction below 1; the factor is log-uniform in [1 - scale, 1 / (1 - scale)]: 0.2 gives 0.8 to 1.25. */
  readonly scale: number;
  /** Fraction of the size to either side, along each of the last two axes. */
  readonly translation: number;
  /** Fraction below 1, as `scale`: range of the exponent of the grey values. */
  readonly gamma: number;
  /** Fraction below 1, as `scale`: range of the factor of the grey values. */
  readonly gain: number;
}

/**
 * One draw. The geometric part mirrors the image, then turns it by `rotation`, enlarges it by `scale` about its centre
 * and shifts it by `translation`.
 */
export interface Augmentation {
  /** Per spatial axis; axes beyond its length are not mirrored. */
  readonly flips: readonly boolean[];
  /** Degrees, from the axis before the last one towards the last one; 0 where there is only one axis. */
  readonly rotation: number;
  readonly scale: number;
  /** Fractions of the size, along the axis before the last one and along the last one. */
  readonly translation: readonly [number, number];
  readonly gamma: number;
  readonly gain: number;
}

export const identityAugmentation: Augmentation = {
  flips: [],
  rotation: 0,
  scale: 1,
  translation: [0, 0],
  gamma: 1,
  gain: 1,
};

/**
 * Draws `spatialRank` + 6 numbers, always in the same order and whatever the ranges are, so that changing one range
 * leaves the rest of a seeded run as it was.
 */
export function drawAugmentation(random: Random, ranges: AugmentationRanges, spatialRank: number): Augmentation {
  const flips = Array.from({ length: spatialRank }, (_, axis) => random.next() < 0.5 && ranges.flips[axis] === true);
  const rotation = symmetric(random, ranges.rotation);
  const scale = factor(random, ranges.scale);
  const rows = symmetric(random, ranges.translation);
  const columns = symmetric(random, ranges.translation);
  const gamma = factor(random, ranges.gamma);
  const gain = factor(random, ranges.gain);
  const inPlane = spatialRank > 1;
  return { flips, rotation: inPlane ? rotation : 0, scale, translation: [inPlane ? rows : 0, columns], gamma, gain };
}

/** Uniform in [-range, range). */
function symmetric(random: Random, range: number): number {
  const drawn = random.next() * 2 - 1;
  return range === 0 ? 0 : drawn * range;
}

/** Log-uniform in [1 - fraction, 1 / (1 - fraction)]. */
function factor(random: Random, fraction: number): number {
  if (!(fraction >= 0 && fraction < 1)) throw new RangeError(`a range of ${fraction} is not in [0, 1)`);
  return (1 - fraction) ** (random.next() * 2 - 1);
}

/**
 * Applies the geometric part of an augmentation to a channels-first array: bilinear in the last two spatial axes
 * (linear along an only one), every slice of a 3-D volume alike, its first axis mirrored where asked. Beyond its borders the
 * image continues as its mirror image, so texture and probabilities keep their statistics and their range.
 *
 * Positions are counted from the centre, in pixels whose centres lie at (i + 0.5) / n. An image and maps that were
 * pooled from it by one factor along both axes therefore stay aligned under the same augmentation. Mirroring alone is exact.
 *
 * @param source `channels` times `size`, channels first
 * @param size the 1 to 3 spatial sizes
 * @param target takes as many values from `offset` on; must not overlap `source`
 */
export function warp(
  source: Float32Array,
  channels: number,
  size: readonly number[],
  augmentation: Augmentation,
  target: Float32Array,
  offset: number,
): void {
  const width = size.at(-1)!;
  const height = size.at(-2) ?? 1;
  const depth = size.at(-3) ?? 1;
  const plane = height * width;
  const length = channels * depth * plane;
  if (size.length < 1 || size.length > 3) throw new RangeError(`${size.length} spatial axes cannot be warped`);
  if (source.length < length || target.length < offset + length) {
    throw new RangeError(`${length} values do not fit ${source.length} at 0 and ${target.length} at ${offset}`);
  }
  const { rotation, scale, translation } = augmentation;
  const still = rotation === 0 && scale === 1 && translation[0] === 0 && translation[1] === 0;
  const mirrored = size.map((_, axis) => augmentation.flips[axis] === true);
  if (still && !mirrored.includes(true)) {
    target.set(source.subarray(0, length), offset);
    return;
  }
  const planes = planeMap(channels, depth, size.length === 3 && mirrored[0]!, plane, offset);
  if (still) mirrorPlanes(source, target, planes, height, width, mirrored);
  else interpolatePlanes(source, target, planes, sampleTable(height, width, augmentation, mirrored));
}

/** Where each plane of a channels-first array is read and written. */
interface PlaneMap {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

function planeMap(channels: number, depth: number, mirrorSlices: boolean, plane: number, offset: number): PlaneMap {
  const indices = Array.from({ length: channels * depth }, (_, index) => index);
  const slices = mirrorSlices ? indices.map((index) => index - (index % depth) + depth - 1 - (index % depth)) : indices;
  return { from: slices.map((index) => index * plane), to: indices.map((index) => offset + index * plane) };
}

function mirrorPlanes(
  source: Float32Array,
  target: Float32Array,
  { from, to }: PlaneMap,
  height: number,
  width: number,
  mirrored: readonly boolean[],
): void {
  const mirrorRows = mirrored.at(-2) === true;
  const mirrorColumns = mirrored.at(-1) === true;
  for (const [plane, start] of from.entries()) {
    for (let row = 0; row < height; row++) {
      const first = start + (mirrorRows ? height - 1 - row : row) * width;
      const copy = to[plane]! + row * width;
      target.set(source.subarray(first, first + width), copy);
      if (mirrorColumns) target.subarray(copy, copy + width).reverse();
    }
  }
}

/** Where each pixel of a plane comes from: the first of its four neighbours and the weights of the later ones. */
interface SampleTable {
  readonly first: Int32Array;
  /** Weight of the neighbour one column on. */
  readonly alongRow: Float32Array;
  /** Weight of the neighbour one row on. */
  readonly alongColumn: Float32Array;
  /** Distance to the next column and row; 0 where there is only one. */
  readonly columnStep: number;
  readonly rowStep: number;
}

/** Image, target and feature maps of one size share a table; it lives as long as its augmentation. */
const tables = new WeakMap<Augmentation, Map<string, SampleTable>>();

function sampleTable(
  height: number,
  width: number,
  augmentation: Augmentation,
  mirrored: readonly boolean[],
): SampleTable {
  const known = tables.get(augmentation) ?? new Map<string, SampleTable>();
  tables.set(augmentation, known);
  const key = `${mirrored.length}:${height}x${width}`;
  const table = known.get(key) ?? buildTable(height, width, augmentation, mirrored);
  known.set(key, table);
  return table;
}

function buildTable(
  height: number,
  width: number,
  { rotation, scale, translation }: Augmentation,
  mirrored: readonly boolean[],
): SampleTable {
  const first = new Int32Array(height * width);
  const alongRow = new Float32Array(height * width);
  const alongColumn = new Float32Array(height * width);
  const cosine = Math.cos((rotation * Math.PI) / 180) / scale;
  const sine = Math.sin((rotation * Math.PI) / 180) / scale;
  const ySign = mirrored.at(-2) === true ? -1 : 1;
  const xSign = mirrored.at(-1) === true ? -1 : 1;
  const yCentre = (height - 1) / 2;
  const xCentre = (width - 1) / 2;
  const lastRow = Math.max(height - 2, 0);
  const lastColumn = Math.max(width - 2, 0);
  const left = -xCentre - translation[1] * width;
  for (let row = 0, pixel = 0; row < height; row++) {
    // The inverse of mirror, turn, enlarge, shift: shift back, shrink, turn back, mirror.
    const y = row - yCentre - translation[0] * height;
    const yStart = ySign * (cosine * y - sine * left) + yCentre;
    const xStart = xSign * (sine * y + cosine * left) + xCentre;
    for (let column = 0; column < width; column++, pixel++) {
      const yFrom = reflect(yStart - ySign * sine * column, height);
      const xFrom = reflect(xStart + xSign * cosine * column, width);
      const rowFrom = Math.min(yFrom | 0, lastRow);
      const columnFrom = Math.min(xFrom | 0, lastColumn);
      first[pixel] = Math.imul(rowFrom, width) + columnFrom;
      alongRow[pixel] = xFrom - columnFrom;
      alongColumn[pixel] = yFrom - rowFrom;
    }
  }
  return { first, alongRow, alongColumn, columnStep: width > 1 ? 1 : 0, rowStep: height > 1 ? width : 0 };
}

/**
 * A position outside of the pixels 0 to n - 1, mirrored at the outer edges -1/2 and n - 1/2 until it lies inside. The
 * half pixel between an edge and the nearest centre has that pixel's value on both of its sides, hence the clamp.
 */
function reflect(position: number, n: number): number {
  const once = position < -0.5 ? -1 - position : position > n - 0.5 ? 2 * n - 1 - position : position;
  const inside = once < -0.5 || once > n - 0.5 ? reflectOften(position, n) : once;
  return Math.max(0, Math.min(inside, n - 1));
}

/** The general case apart: a remainder costs more than all the rest of a pixel, and few pixels need one. */
function reflectOften(position: number, n: number): number {
  const fromEdge = Math.abs(position + 0.5) % (2 * n);
  return Math.min(fromEdge, 2 * n - fromEdge) - 0.5;
}

/** Planes go four at a time where there are as many: that reads the table once for four, which halves the time. */
function interpolatePlanes(
  source: Float32Array,
  target: Float32Array,
  { from, to }: PlaneMap,
  table: SampleTable,
): void {
  const fours = from.length - (from.length % 4);
  for (let plane = 0; plane < fours; plane += 4) interpolateFour(source, target, from, to, plane, table);
  for (let plane = fours; plane < from.length; plane++) interpolateOne(source, target, from[plane]!, to[plane]!, table);
}

function interpolateOne(
  source: Float32Array,
  target: Float32Array,
  from: number,
  to: number,
  table: SampleTable,
): void {
  const { first, alongRow, alongColumn, columnStep, rowStep } = table;
  for (let pixel = 0; pixel < first.length; pixel++) {
    const near = from + first[pixel]!;
    target[to + pixel] = bilinear(source, near, columnStep, rowStep, alongRow[pixel]!, alongColumn[pixel]!);
  }
}

function interpolateFour(
  source: Float32Array,
  target: Float32Array,
  from: readonly number[],
  to: readonly number[],
  plane: number,
  table: SampleTable,
): void {
  const { first, alongRow, alongColumn, columnStep, rowStep } = table;
  const [from0, from1, from2, from3] = [from[plane]!, from[plane + 1]!, from[plane + 2]!, from[plane + 3]!];
  const [to0, to1, to2, to3] = [to[plane]!, to[plane + 1]!, to[plane + 2]!, to[plane + 3]!];
  for (let pixel = 0; pixel < first.length; pixel++) {
    const near = first[pixel]!;
    const right = alongRow[pixel]!;
    const down = alongColumn[pixel]!;
    target[to0 + pixel] = bilinear(source, from0 + near, columnStep, rowStep, right, down);
    target[to1 + pixel] = bilinear(source, from1 + near, columnStep, rowStep, right, down);
    target[to2 + pixel] = bilinear(source, from2 + near, columnStep, rowStep, right, down);
    target[to3 + pixel] = bilinear(source, from3 + near, columnStep, rowStep, right, down);
  }
}

/** Between four neighbours; rounded to single precision it never leaves their range. */
function bilinear(
  source: Float32Array,
  near: number,
  columnStep: number,
  rowStep: number,
  right: number,
  down: number,
): number {
  const far = near + rowStep;
  const nearValue = source[near]! + (source[near + columnStep]! - source[near]!) * right;
  const farValue = source[far]! + (source[far + columnStep]! - source[far]!) * right;
  return nearValue + (farValue - nearValue) * down;
}

/** Nodes of the power curve: within 0.003 of the exact one, as a fraction of the range, for exponents in [0.6, 1.7]. */
const CURVE_STEPS = 1024;

/**
 * Applies gain and gamma in place to `length` values from `offset` on. With low and high their own least and greatest
 * value and t = (x - low) / (high - low), x becomes low + (high - low) min(1, gain t^gamma): the image keeps its black level
 * and saturates at its own white level, whatever mean and deviation preprocessing gave it. The power is interpolated
 * in a table of 1,024 steps. Constant images stay as they are.
 */
export function adjustIntensity(
  image: Float32Array,
  offset: number,
  length: number,
  { gain, gamma }: Augmentation,
): void {
  if (gain === 1 && gamma === 1) return;
  const end = offset + length;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let index = offset; index < end; index++) {
    const value = image[index]!;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const range = high - low;
  if (!(range > 0 && Number.isFinite(range))) return;
  // One node more than the steps: rounding may put the greatest value a little beyond the last step.
  const curve = new Float64Array(CURVE_STEPS + 2);
  for (let step = 0; step < curve.length; step++) curve[step] = gain * (step / CURVE_STEPS) ** gamma;
  const steps = CURVE_STEPS / range;
  for (let index = offset; index < end; index++) {
    const position = (image[index]! - low) * steps;
    const step = position | 0;
    const value = curve[step]! + (curve[step + 1]! - curve[step]!) * (position - step);
    image[index] = value > 1 ? high : low + range * value;
  }
}
