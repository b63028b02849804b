import type { Bytes } from './bytes.js';

/** How one axis of a view walks through the elements of its source: a stride, or the offset of each coordinate. */
export type AxisWalk = { readonly stride: number } | { readonly offsets: Float64Array };

/** Small enough to stay in the processor's cache between reading and copying. */
const WINDOW = 1 << 18;
const scratch = new Uint8Array(WINDOW);

/** An axis that is walked element by element, and how far the axes from here on reach from a position. */
interface WalkedAxis {
  /** Where in the source each coordinate lies. */
  readonly offsets: Float64Array;
  /** How far apart coordinates lie in the result. */
  readonly step: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Copies the elements of a view, row-major, into `out`; each is `width` bytes. Reads the source in windows that hold
 * whole stretches of a view, in the order of the source, so that a transposed view does not read element by element;
 * runs of neighbours are copied at once.
 */
export function gather(
  source: Bytes,
  width: number,
  start: number,
  shape: readonly number[],
  walks: readonly AxisWalk[],
  out: Uint8Array,
): void {
  const { outer, run } = trailingRun(shape, walks);
  const axes = walkedAxes(shape.slice(0, outer), walks, run);
  const reach = { low: axes[0]?.low ?? 0, high: axes[0]?.high ?? run - 1 };
  copyStretch({ source, width, axes, run, out }, 0, start, 0, reach);
}

/** How many of the last axes are walked without gaps, and how many elements these runs have. */
function trailingRun(shape: readonly number[], walks: readonly AxisWalk[]): { outer: number; run: number } {
  let outer = shape.length;
  let run = 1;
  for (; outer > 0; outer--) {
    const walk = walks[outer - 1];
    if (!('stride' in walk) || (walk.stride !== run && shape[outer - 1] !== 1)) break;
    run *= shape[outer - 1];
  }
  return { outer, run };
}

/** The axes before the runs, those with the longest steps through the source first. */
function walkedAxes(shape: readonly number[], walks: readonly AxisWalk[], run: number): WalkedAxis[] {
  let step = run;
  const inOrder = shape.map((size, axis) => {
    const walk = walks[axis];
    const offsets = 'offsets' in walk ? walk.offsets : Float64Array.from({ length: size }, (_, i) => i * walk.stride);
    return { offsets, step: 0, low: minimum(offsets), high: maximum(offsets) };
  });
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    inOrder[axis].step = step;
    step *= shape[axis];
  }
  const sorted = inOrder.sort((a, b) => pace(b) - pace(a));
  let [low, high] = [0, run - 1];
  for (const axis of sorted.toReversed()) {
    low = axis.low += low;
    high = axis.high += high;
  }
  return sorted;
}

/** The mean distance of neighbours in the source. */
function pace({ offsets, low, high }: { offsets: Float64Array; low: number; high: number }): number {
  return (high - low) / Math.max(1, offsets.length - 1);
}

function minimum(offsets: Float64Array): number {
  return offsets.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
}

function maximum(offsets: Float64Array): number {
  return offsets.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
}

interface Copy {
  readonly source: Bytes;
  readonly width: number;
  readonly axes: readonly WalkedAxis[];
  readonly run: number;
  readonly out: Uint8Array;
}

/** Copies everything from `axis` on that lies at `base`, to the position in `out`, both in elements. */
function copyStretch(
  copy: Copy,
  axis: number,
  base: number,
  position: number,
  { low, high }: { low: number; high: number },
): void {
  const { source, width, axes, run } = copy;
  const bytes = (high - low + 1) * width;
  if (axis === axes.length && bytes > WINDOW) {
    source.readInto(copy.out.subarray(position * width, (position + run) * width), base * width);
    return;
  }
  if (bytes <= WINDOW) {
    const window = source.read((base + low) * width, bytes, scratch);
    copyRuns(lanesOf(window, copy), copy, axis, -low, position);
    return;
  }
  const inner = axes[axis + 1] ?? { low: 0, high: run - 1 };
  const { offsets, step } = axes[axis];
  for (let i = 0; i < offsets.length; i++) copyStretch(copy, axis + 1, base + offsets[i], position + i * step, inner);
}

/** The same bytes as whole elements where they are aligned, which copies four times as fast as byte by byte. */
interface Lanes {
  readonly from: Uint8Array | Uint32Array;
  readonly to: Uint8Array | Uint32Array;
  /** Lanes of one element. */
  readonly each: number;
}

function lanesOf(window: Uint8Array, { out, width }: Copy): Lanes {
  if (width % 4 || window.byteOffset % 4 || out.byteOffset % 4) return { from: window, to: out, each: width };
  const words = (bytes: Uint8Array) => new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  return { from: words(window), to: words(out), each: width / 4 };
}

function copyRuns(lanes: Lanes, copy: Copy, axis: number, base: number, position: number): void {
  if (axis < copy.axes.length) {
    const { offsets, step } = copy.axes[axis];
    for (let i = 0; i < offsets.length; i++) copyRuns(lanes, copy, axis + 1, base + offsets[i], position + i * step);
    return;
  }
  const { from, to, each } = lanes;
  let source = base * each;
  const end = (position + copy.run) * each;
  for (let target = position * each; target < end; ) to[target++] = from[source++];
}
