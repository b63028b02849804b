/** An array in row order. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** An array of this shape from the number at each index. */
export function fill(shape: readonly number[], value: (...index: number[]) => number): NdArray {
  const index = shape.map(() => 0);
  const data = Float64Array.from({ length: elements(shape) }, () => {
    const number = value(...index);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
    return number;
  });
  return { shape, data };
}

export function at({ shape, data }: NdArray, ...index: number[]): number {
  return data[index.reduce((flat, i, axis) => flat * shape[axis] + i, 0)];
}

export function map(array: NdArray, change: (value: number) => number): NdArray {
  return { shape: array.shape, data: Float64Array.from(array.data, change) };
}

/** Two arrays of shapes that broadcast. */
export function zip(a: NdArray, b: NdArray, combine: (a: number, b: number) => number): NdArray {
  const rank = Math.max(a.shape.length, b.shape.length);
  const padded = ({ shape, data }: NdArray) => ({ shape: [...Array(rank - shape.length).fill(1), ...shape], data });
  const [x, y] = [padded(a), padded(b)];
  const pick = (array: NdArray, index: number[]) => at(array, ...index.map((i, axis) => i % array.shape[axis]));
  const shape = x.shape.map((size, axis) => Math.max(size, y.shape[axis]));
  return fill(shape, (...index) => combine(pick(x, index), pick(y, index)));
}

/** All indices of an array of this shape. */
export function* indices(shape: readonly number[]): Generator<number[]> {
  const count = elements(shape);
  for (let flat = 0; flat < count; flat++) {
    let rest = flat;
    const index = shape.map(() => 0);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = rest % shape[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    yield index;
  }
}
