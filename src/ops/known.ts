import type { Operand } from '../ir/semantics.js';
import { elementCount } from '../ir/tensor.js';
import { type Dim, isInteger, type KnownValue } from '../ir/types.js';

/** Results of shape arithmetic beyond this size are not followed; no real model has them. */
const MOST_ELEMENTS = 1024;

/** Longest index table that is read: channel shuffles and relative positions stay far below. */
const LONGEST_TABLE = 1 << 16;

/** All elements of an integer operand; undefined unless each of them is a number. */
export function integersOf(operand: Operand | undefined): readonly number[] | undefined {
  const known = operand?.known();
  if (known)
    return known.elements.every((element) => typeof element === 'number')
      ? (known.elements as readonly number[])
      : undefined;
  const constant = operand?.constant;
  if (!constant || !isInteger(constant.dtype) || constant.size > LONGEST_TABLE) return undefined;
  return Array.from(constant.toNumbers() as ArrayLike<number>);
}

/** A 1-D operand element by element; unknown elements are undefined. Null where not even their number is known. */
export function vectorOf(operand: Operand): readonly (Dim | undefined)[] | null {
  const known = operand.known();
  if (known) return known.elements;
  const length = operand.type.shape?.[0];
  return typeof length === 'number' && length <= MOST_ELEMENTS ? Array<undefined>(length).fill(undefined) : null;
}

/** The name of a size that depends on data: equal names are equal sizes, as values have one maker. */
export function unknownSize(rule: string, operands: readonly (Operand | undefined)[], axis: number): string {
  return `${rule}(${[...operands.map((operand) => operand?.name ?? ''), axis].join()})`;
}

/** Builds a known value from elements; undefined where there are too many to follow. */
export function knownValue(shape: readonly number[], element: (index: number) => Dim): KnownValue | undefined {
  const count = elementCount(shape);
  return count > MOST_ELEMENTS ? undefined : { shape, elements: Array.from({ length: count }, (_, i) => element(i)) };
}

/** A known value whose element at each coordinate is the element of `value` at `source(coordinate)`. */
export function rearranged(
  value: KnownValue,
  shape: readonly number[],
  source: (coordinate: readonly number[]) => readonly number[],
): KnownValue | undefined {
  return knownValue(shape, (index) => value.elements[indexAt(source(coordinateAt(index, shape)), value.shape)]);
}

function coordinateAt(index: number, shape: readonly number[]): number[] {
  const coordinate: number[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    coordinate[axis] = index % shape[axis];
    index = Math.floor(index / shape[axis]);
  }
  return coordinate;
}

/** Row-major index of a coordinate. */
export function indexAt(coordinate: readonly number[], shape: readonly number[]): number {
  return coordinate.reduce((index, c, axis) => index * shape[axis] + c, 0);
}
