/** The 95th percentile of the Hausdorff distance between two masks, in two or three dimensions. */
import { quantile } from '../math/statistics.js';

/**
 * The larger of the two directed 95th percentiles (linear interpolation) of the distance from each boundary pixel of one
 * mask to the nearest boundary pixel of the other.
 * @param spacing length of a pixel along each axis; the result has its unit
 * @returns 0 where both masks are empty, null where one is: then there is no distance
 */
export function hausdorff95(
  a: Uint8Array,
  b: Uint8Array,
  shape: readonly number[],
  spacing: readonly number[],
): number | null {
  const box = boundingBox([a, b], shape);
  if (box === null) return 0;
  // Nothing outside the box that holds both masks takes part, and it is often much smaller than the image.
  const boundaries = [a, b].map((mask) => boundary(crop(mask, shape, box), box.size));
  const [ofA, ofB] = boundaries as [Uint8Array, Uint8Array];
  if (!ofA.includes(1) || !ofB.includes(1)) return null;
  return Math.max(directed95(ofA, ofB, box.size, spacing), directed95(ofB, ofA, box.size, spacing));
}

/**
 * The mask's pixels that have a neighbour along an axis (4 in two dimensions, 6 in three) outside the mask or outside the
 * image.
 */
export function boundary(mask: Uint8Array, shape: readonly number[]): Uint8Array {
  const result = new Uint8Array(mask.length);
  shape.forEach((length, axis) => {
    eachLine(shape, axis, (start, step) => {
      for (let i = 0, at = start; i < length; i++, at += step) {
        if (mask[at] === 0) continue;
        const inside = i > 0 && i < length - 1 && mask[at - step] !== 0 && mask[at + step] !== 0;
        if (!inside) result[at] = 1;
      }
    });
  });
  return result;
}

/**
 * The squared Euclidean distance from every pixel to the nearest non-zero one, exactly, in time proportional to the
 * number of pixels (Felzenszwalb & Huttenlocher 2012: the lower envelope of parabolas, one axis after the other).
 * Infinity everywhere where there is none.
 */
export function squaredDistances(
  sites: Uint8Array,
  shape: readonly number[],
  spacing: readonly number[],
): Float64Array {
  const distances = new Float64Array(sites.length);
  for (let i = 0; i < sites.length; i++) distances[i] = sites[i] === 0 ? Number.POSITIVE_INFINITY : 0;
  const longest = Math.max(...shape);
  const envelope = {
    line: new Float64Array(longest),
    vertex: new Int32Array(longest),
    from: new Float64Array(longest),
  };
  shape.forEach((length, axis) => {
    const weight = spacing[axis]! ** 2;
    eachLine(shape, axis, (start, step) => sweepLine(distances, start, step, length, weight, envelope));
  });
  return distances;
}

interface Envelope {
  line: Float64Array;
  /** Positions of the parabolas in the envelope, and where each begins to be the lowest. */
  vertex: Int32Array;
  from: Float64Array;
}

/** Replaces f(i) along a line by min over j of f(j) + weight (i - j)^2. */
function sweepLine(
  values: Float64Array,
  start: number,
  step: number,
  length: number,
  weight: number,
  { line, vertex, from }: Envelope,
): void {
  let last = -1;
  for (let i = 0; i < length; i++) {
    const height = values[start + i * step]!;
    line[i] = height;
    if (height === Number.POSITIVE_INFINITY) continue;
    let crossing = Number.NEGATIVE_INFINITY;
    for (; last >= 0; last--) {
      const j = vertex[last]!;
      crossing = ((height - line[j]!) / weight + i * i - j * j) / (2 * (i - j));
      if (crossing > from[last]!) break;
    }
    last++;
    vertex[last] = i;
    from[last] = last === 0 ? Number.NEGATIVE_INFINITY : crossing;
  }
  if (last < 0) return;
  for (let i = 0, lowest = 0; i < length; i++) {
    while (lowest < last && from[lowest + 1]! < i) lowest++;
    const j = vertex[lowest]!;
    values[start + i * step] = line[j]! + weight * (i - j) * (i - j);
  }
}

function directed95(
  fromSites: Uint8Array,
  toSites: Uint8Array,
  shape: readonly number[],
  spacing: readonly number[],
): number {
  const distances = squaredDistances(toSites, shape, spacing);
  const reached: number[] = [];
  for (let i = 0; i < distances.length; i++) {
    if (fromSites[i] !== 0) reached.push(Math.sqrt(distances[i]!));
  }
  return quantile(reached, 0.95);
}

/** Calls `visit` with the first position of every line along an axis, and the step between its positions. */
function eachLine(shape: readonly number[], axis: number, visit: (start: number, step: number) => void): void {
  const step = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const block = step * shape[axis]!;
  const total = shape.reduce((product, size) => product * size, 1);
  for (let outer = 0; outer < total; outer += block) {
    for (let inner = 0; inner < step; inner++) visit(outer + inner, step);
  }
}

interface Box {
  low: readonly number[];
  size: readonly number[];
}

/** The smallest box that holds every non-zero pixel of the masks; null where there is none. */
function boundingBox(masks: readonly Uint8Array[], shape: readonly number[]): Box | null {
  const low = shape.map(() => Number.POSITIVE_INFINITY);
  const high = shape.map(() => Number.NEGATIVE_INFINITY);
  const width = shape.at(-1)!;
  for (const mask of masks) {
    for (let row = 0; row < mask.length; row += width) {
      let first = row;
      while (first < row + width && mask[first] === 0) first++;
      if (first === row + width) continue;
      let last = row + width - 1;
      while (mask[last] === 0) last--;
      for (const position of [first, last]) extend(position, shape, low, high);
    }
  }
  if (low[0] === Number.POSITIVE_INFINITY) return null;
  return { low, size: high.map((value, axis) => value - low[axis]! + 1) };
}

function extend(position: number, shape: readonly number[], low: number[], high: number[]): void {
  let rest = position;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const index = rest % shape[axis]!;
    rest = (rest - index) / shape[axis]!;
    low[axis] = Math.min(low[axis]!, index);
    high[axis] = Math.max(high[axis]!, index);
  }
}

function crop(mask: Uint8Array, shape: readonly number[], { low, size }: Box): Uint8Array {
  const result = new Uint8Array(size.reduce((product, length) => product * length, 1));
  const width = size.at(-1)!;
  for (let target = 0; target < result.length; target += width) {
    let rest = target / width;
    let source = low.at(-1)!;
    let stride = shape.at(-1)!;
    for (let axis = size.length - 2; axis >= 0; axis--) {
      const index = rest % size[axis]!;
      rest = (rest - index) / size[axis]!;
      source += (low[axis]! + index) * stride;
      stride *= shape[axis]!;
    }
    result.set(mask.subarray(source, source + width), target);
  }
  return result;
}
