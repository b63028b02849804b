import { elementCount } from '../../ir/tensor.js';
import type { Kernels, Value } from '../kernels.js';

/** An output coordinate that reads no input coordinate, e.g. one in a zero padding. */
export const NOWHERE = -1;

/** With more runs than this, cutting and joining costs more than one gather or product. */
const MOST_RUNS = 8;

/** Consecutive output coordinates `at`, …, `at + count − 1` that read input coordinates `from`, `from + step`, …. */
interface Run {
  readonly at: number;
  readonly from: number;
  readonly step: number;
  readonly count: number;
}

/**
 * The adjoint of picking coordinates along an axis, y[j] = x[picked[j]] (0 where that is NOWHERE): each dx[i] sums the
 * dy[j] that have read it. `size` is the extent of the axis in x.
 */
export function unpick(kernels: Kernels, dy: Value, axis: number, picked: readonly number[], size: number): Value {
  if (picked.length === size && picked.every((from, j) => from === j)) return dy;
  const runs = runsOf(picked);
  if (runs.length <= MOST_RUNS) return joinRuns(kernels, dy, axis, runs, size);
  const places = picked.filter((from) => from !== NOWHERE);
  if (new Set(places).size === places.length) return gatherBack(kernels, dy, axis, picked, size);
  const matrix = new Float32Array(size * picked.length);
  for (const [j, from] of picked.entries()) if (from !== NOWHERE) matrix[from * picked.length + j] = 1;
  return multiplyAlong(kernels, kernels.floats(matrix, [size, picked.length]), dy, axis);
}

/** The matrix [out, in] applied along an axis of x. */
export function multiplyAlong(kernels: Kernels, matrix: Value, x: Value, axis: number): Value {
  const [out, size] = matrix.shape;
  const before = x.shape.slice(0, axis);
  const after = x.shape.slice(axis + 1);
  const [outer, inner] = [elementCount(before), elementCount(after)];
  // Along the last axis one large product serves all rows.
  const y =
    inner === 1
      ? kernels.matmul(kernels.reshape(x, [outer, size]), kernels.transpose(matrix, [1, 0]))
      : kernels.matmul(matrix, kernels.reshape(x, [outer, size, inner]));
  return kernels.reshape(y, [...before, out, ...after]);
}

/** Maximal stretches in which the coordinate that is read rises, falls or stays. */
function runsOf(picked: readonly number[]): Run[] {
  const runs: Run[] = [];
  for (let at = 0; at < picked.length; ) {
    const from = picked[at];
    const step = picked[at + 1] - from;
    let count = 1;
    if (from !== NOWHERE && Math.abs(step) <= 1)
      while (picked[at + count] === from + count * step && picked[at + count] !== NOWHERE) count++;
    if (from !== NOWHERE) runs.push({ at, from, step: count === 1 ? 1 : step, count });
    at += count;
  }
  return runs;
}

/** Between two neighbouring ends of runs, all of x has been read by the same runs: cuts dy there, adds and joins. */
function joinRuns(kernels: Kernels, dy: Value, axis: number, runs: readonly Run[], size: number): Value {
  const spans = runs.map((run) => ({ run, ...spanOf(run) }));
  const bounds = [...new Set([0, size, ...spans.flatMap(({ low, high }) => [low, high])])].sort((a, b) => a - b);
  const pieces = bounds.slice(1).map((high, i) => {
    const low = bounds[i];
    const parts = spans.filter((span) => span.low <= low && high <= span.high);
    const [first, ...others] = parts.map(({ run }) => partOf(kernels, dy, axis, run, { low, high }));
    return { low, high, sum: first && others.reduce((sum, part) => kernels.add(sum, part), first) };
  });
  const withSize = (extent: number) => dy.shape.map((dim, i) => (i === axis ? extent : dim));
  const first = pieces.findIndex(({ sum }) => sum);
  if (first < 0) return kernels.expand(kernels.number(0), withSize(size));
  const last = pieces.findLastIndex(({ sum }) => sum);
  const inner = pieces.slice(first, last + 1);
  const joined = kernels.concat(
    inner.map(({ low, high, sum }) => sum ?? kernels.expand(kernels.number(0), withSize(high - low))),
    axis,
  );
  const alongAxis = (count: number) => dy.shape.map((_, i) => (i === axis ? count : 0));
  return kernels.pad(joined, alongAxis(pieces[first].low), alongAxis(size - pieces[last].high));
}

/** Input coordinates, the last one excluded. */
interface Span {
  readonly low: number;
  readonly high: number;
}

function spanOf({ from, step, count }: Run): Span {
  const end = from + (count - 1) * step;
  return { low: Math.min(from, end), high: Math.max(from, end) + 1 };
}

/** What a run has read of the coordinates [low, high), all of which it covers. */
function partOf(kernels: Kernels, dy: Value, axis: number, { at, from, step, count }: Run, { low, high }: Span): Value {
  if (step === 1) return kernels.slice(dy, [axis], [at + low - from], [at + high - from]);
  if (step === 0) return kernels.sum(kernels.slice(dy, [axis], [at], [at + count]), [axis], true);
  const backwards = Array.from({ length: high - low }, (_, i) => at + from - low - i);
  return kernels.gather(dy, backwards, axis);
}

/** Where no coordinate is read twice: gathers dy in the order of x, with a zero appended for what nobody reads. */
function gatherBack(kernels: Kernels, dy: Value, axis: number, picked: readonly number[], size: number): Value {
  const place = new Map(picked.map((from, j) => [from, j]));
  const order = Array.from({ length: size }, (_, i) => place.get(i) ?? picked.length);
  const isComplete = !order.includes(picked.length);
  const none = dy.shape.map(() => 0);
  const extended = isComplete
    ? dy
    : kernels.pad(
        dy,
        none,
        none.map((_, i) => (i === axis ? 1 : 0)),
      );
  return kernels.gather(extended, order, axis);
}
