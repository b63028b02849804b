import type { Padding } from '../../src/exporters/lowering/operations.js';
import { at, fill, indices, type NdArray } from './nd-array.js';

/** What slides over the spatial axes of a value with channels last, by plain loops. */
export interface Sliding {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: Padding;
}

interface Place {
  readonly size: number;
  readonly begin: number;
}

/** TensorFlow's rule for the size of an output, and how many elements stand before the input. */
function place(input: number, kernel: number, { strides, dilations, padding }: Sliding, axis: number): Place {
  const reach = (kernel - 1) * dilations[axis] + 1;
  if (padding === 'same') {
    const size = Math.ceil(input / strides[axis]);
    return { size, begin: Math.max(0, (size - 1) * strides[axis] + reach - input) >> 1 };
  }
  const [before, after] = padding === 'valid' ? [0, 0] : [padding.before[axis], padding.after[axis]];
  return { size: Math.floor((input + before + after - reach) / strides[axis]) + 1, begin: before };
}

/** Calls `visit` with every tap of the window at an output place that lies inside of the input. */
function visitTaps(
  spatial: readonly number[],
  kernel: readonly number[],
  places: readonly Place[],
  { strides, dilations }: Sliding,
  output: readonly number[],
  visit: (tap: readonly number[], input: readonly number[]) => void,
): void {
  for (const tap of indices(kernel)) {
    const input = output.map((o, axis) => o * strides[axis] - places[axis].begin + tap[axis] * dilations[axis]);
    if (input.every((i, axis) => i >= 0 && i < spatial[axis])) visit(tap, input);
  }
}

/** `weight` gives the filter's number for a tap, an input channel and an output channel. */
export function convolve(
  x: NdArray,
  kernel: readonly number[],
  outputs: number,
  sliding: Sliding,
  weight: (tap: readonly number[], from: number, to: number) => number,
  bias?: NdArray,
): NdArray {
  const [batch, ...rest] = x.shape;
  const spatial = rest.slice(0, -1);
  const channels = rest[rest.length - 1];
  const places = spatial.map((size, axis) => place(size, kernel[axis], sliding, axis));
  return fill([batch, ...places.map(({ size }) => size), outputs], (n, ...index) => {
    const to = index[index.length - 1];
    let sum = bias?.data[to] ?? 0;
    visitTaps(spatial, kernel, places, sliding, index.slice(0, -1), (tap, input) => {
      for (let from = 0; from < channels; from++) sum += at(x, n, ...input, from) * weight(tap, from, to);
    });
    return sum;
  });
}

export function pool(x: NdArray, kernel: readonly number[], sliding: Sliding, kind: 'max' | 'average'): NdArray {
  const [batch, ...rest] = x.shape;
  const spatial = rest.slice(0, -1);
  const places = spatial.map((size, axis) => place(size, kernel[axis], sliding, axis));
  return fill([batch, ...places.map(({ size }) => size), rest[rest.length - 1]], (n, ...index) => {
    const seen: number[] = [];
    visitTaps(spatial, kernel, places, sliding, index.slice(0, -1), (_, input) => {
      seen.push(at(x, n, ...input, index[index.length - 1]));
    });
    return kind === 'max' ? Math.max(...seen) : seen.reduce((sum, value) => sum + value, 0) / seen.length;
  });
}

/** Every input element adds the filter, times itself, to the output; `same` keeps size·stride of that. Filter [O,h,w,C]. */
export function transposeConvolve(
  x: NdArray,
  filter: NdArray,
  strides: readonly number[],
  padding: 'same' | 'valid',
  bias?: NdArray,
): NdArray {
  const [batch, height, width, channels] = x.shape;
  const [outputs, ...kernel] = filter.shape.slice(0, 3);
  const sizes = [height, width].map((size, axis) =>
    padding === 'same' ? size * strides[axis] : (size - 1) * strides[axis] + kernel[axis],
  );
  const begins = kernel.map((size, axis) => (padding === 'same' ? Math.max(0, size - strides[axis]) >> 1 : 0));
  return fill([batch, ...sizes, outputs], (n, row, column, to) => {
    let sum = bias?.data[to] ?? 0;
    for (const [i, j] of indices(kernel)) {
      const [y, z] = [(row + begins[0] - i) / strides[0], (column + begins[1] - j) / strides[1]];
      if (!Number.isInteger(y) || !Number.isInteger(z) || y < 0 || z < 0 || y >= height || z >= width) continue;
      for (let from = 0; from < channels; from++) sum += at(x, n, y, z, from) * at(filter, to, i, j, from);
    }
    return sum;
  });
}

/** TensorFlow's rules for the coordinates of resizing. */
export interface ResizeRule {
  readonly method: 'nearest' | 'bilinear';
  readonly size: readonly number[];
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
}

export function resize(x: NdArray, { method, size, alignCorners, halfPixelCenters }: ResizeRule): NdArray {
  const [batch, height, width, channels] = x.shape;
  const inputs = [height, width];
  const shift = halfPixelCenters ? 0.5 : 0;
  const taps = (i: number, axis: number) => {
    const last = inputs[axis] - 1;
    const clamp = (place: number) => Math.min(last, Math.max(0, place));
    const scale = alignCorners && size[axis] > 1 ? last / (size[axis] - 1) : inputs[axis] / size[axis];
    if (method === 'nearest') {
      const place = clamp(Math.floor((i + shift) * scale + (alignCorners ? 0.5 : 0)));
      return { low: place, high: place, part: 0 };
    }
    const place = clamp((i + shift) * scale - shift);
    return { low: Math.floor(place), high: clamp(Math.floor(place) + 1), part: place - Math.floor(place) };
  };
  return fill([batch, size[0], size[1], channels], (n, row, column, c) => {
    const [y, z] = [taps(row, 0), taps(column, 1)];
    const across = (line: number) => at(x, n, line, z.low, c) * (1 - z.part) + at(x, n, line, z.high, c) * z.part;
    return across(y.low) * (1 - y.part) + across(y.high) * y.part;
  });
}
