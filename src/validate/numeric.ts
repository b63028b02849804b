/** Two raw outputs as numbers, before any threshold. */

export interface NumericDifference {
  maxAbsoluteError: number;
  /** ‖a − b‖ / ‖b‖; 0 where both are 0. */
  relativeL2: number;
  /** Where the largest error is, one index an axis. */
  worst: number[];
}

/**
 * Compares an output with the reference in double precision. Equal infinities agree; a NaN, or an infinity on one side
 * only, is an infinite error.
 * @throws RangeError where the lengths differ
 */
export function compareOutputs(
  actual: ArrayLike<number>,
  reference: ArrayLike<number>,
  shape: readonly number[],
): NumericDifference {
  if (actual.length !== reference.length) {
    throw new RangeError(`outputs of ${actual.length} and ${reference.length} values cannot be compared`);
  }
  let [largest, position, squares, norm] = [0, 0, 0, 0];
  for (let i = 0; i < actual.length; i++) {
    const error = absoluteError(actual[i]!, reference[i]!);
    if (error > largest) [largest, position] = [error, i];
    squares += error * error;
    norm += reference[i]! * reference[i]!;
  }
  const relativeL2 = squares === 0 ? 0 : largest === Number.POSITIVE_INFINITY ? largest : Math.sqrt(squares / norm);
  return { maxAbsoluteError: largest, relativeL2, worst: unravel(position, shape) };
}

/** What a model's outputs were, over all images that it has seen. */
export interface OutputRange {
  minimum: number;
  maximum: number;
  /** Values that are NaN or infinite; they do not count for minimum and maximum. */
  notFinite: number;
}

/** The range of an output, together with what was seen before. */
export function outputRange(output: ArrayLike<number>, before?: OutputRange): OutputRange {
  let { minimum, maximum, notFinite } = before ?? {
    minimum: Number.POSITIVE_INFINITY,
    maximum: Number.NEGATIVE_INFINITY,
    notFinite: 0,
  };
  for (let i = 0; i < output.length; i++) {
    const value = output[i]!;
    if (!Number.isFinite(value)) notFinite++;
    else {
      if (value < minimum) minimum = value;
      if (value > maximum) maximum = value;
    }
  }
  return { minimum, maximum, notFinite };
}

/**
 * Why outputs of this range cannot come from a working model: a value that is not finite, or the same value everywhere.
 * Null where nothing is wrong. Class numbers may be the same everywhere in one image, so look at several.
 */
export function brokenBecause({ minimum, maximum, notFinite }: OutputRange): 'not finite' | 'constant' | null {
  if (notFinite > 0) return 'not finite';
  return minimum < maximum ? null : 'constant';
}

function absoluteError(actual: number, reference: number): number {
  if (actual === reference) return 0;
  const error = Math.abs(actual - reference);
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}

function unravel(position: number, shape: readonly number[]): number[] {
  let rest = position;
  return shape
    .map((_, i) => shape[shape.length - 1 - i]!)
    .map((size) => {
      const index = rest % size;
      rest = (rest - index) / size;
      return index;
    })
    .reverse();
}
