import type { Kernels, Value } from '../kernels.js';

/**
 * Weights from the plain layout into that of channel blocks, and gradients back: `fold` copies of a kernel lie side by
 * side on the diagonal of a larger one, one for each image that shares the channel axis.
 */

/** Zeros behind the elements of the first axes, up to these sizes. */
export function padTo(k: Kernels, weight: Value, sizes: readonly number[]): Value {
  const missing = weight.shape.map((size, axis) => (sizes[axis] ?? size) - size);
  return k.pad(
    weight,
    missing.map(() => 0),
    missing,
  );
}

/** The first elements of the first axes. */
export function cutTo(k: Kernels, weight: Value, sizes: readonly number[]): Value {
  const axes = sizes.map((_, axis) => axis);
  return k.slice(
    weight,
    axes,
    axes.map(() => 0),
    sizes,
  );
}

/** [A, B, …] -> [fold·A, fold·B, …], zero beside the diagonal. */
export function spread(k: Kernels, weight: Value, fold: number): Value {
  if (fold === 1) return weight;
  const [a, b, ...rest] = weight.shape;
  const copies = k.multiply(k.reshape(weight, [1, a, 1, b, ...rest]), diagonal(k, fold, rest.length));
  return k.reshape(copies, [fold * a, fold * b, ...rest]);
}

/** The adjoint of `spread`: the sum over the diagonal. */
export function gather(k: Kernels, weight: Value, fold: number): Value {
  if (fold === 1) return weight;
  const [a, b, ...rest] = weight.shape;
  const split = k.reshape(weight, [fold, a / fold, fold, b / fold, ...rest]);
  return k.sum(k.multiply(split, diagonal(k, fold, rest.length)), [0, 2]);
}

function diagonal(k: Kernels, fold: number, rest: number): Value {
  const ones = Array.from({ length: fold * fold }, (_, i) => (i % (fold + 1) === 0 ? 1 : 0));
  return k.floats(ones, [fold, 1, fold, 1, ...Array<number>(rest).fill(1)]);
}

/** [C, …] -> [fold·channels, …]: padded, then repeated. */
export function repeatChannels(
  k: Kernels,
  vector: Value,
  { fold, channels }: { readonly fold: number; readonly channels: number },
): Value {
  const padded = padTo(k, vector, [channels]);
  if (fold === 1) return padded;
  const rest = vector.shape.slice(1);
  const copies = k.expand(k.reshape(padded, [1, channels, ...rest]), [fold, channels, ...rest]);
  return k.reshape(copies, [fold * channels, ...rest]);
}

/** [O, I, kh, kw] -> memory [O/B, I/B, kh, kw, Bi, Bo], or [O/B, I, kh, kw, Bo] where the input is not in blocks. */
export function blockDense(k: Kernels, weight: Value, block: number, isInputBlocked: boolean): Value {
  const [out, input, height, width] = weight.shape;
  const taps = height * width;
  if (!isInputBlocked) {
    const split = k.reshape(weight, [out / block, block, input, taps]);
    return k.reshape(k.transpose(split, [0, 2, 3, 1]), weight.shape);
  }
  const split = k.reshape(weight, [out / block, block, input / block, block, taps]);
  return k.reshape(k.transpose(split, [0, 2, 4, 3, 1]), weight.shape);
}

/** [C, 1, kh, kw] -> memory [C/B, 1, kh, kw, B]. */
export function blockDepthwise(k: Kernels, weight: Value, block: number): Value {
  const [channels, , height, width] = weight.shape;
  if (height * width === 1) return weight;
  const split = k.reshape(weight, [channels / block, block, height * width]);
  return k.reshape(k.transpose(split, [0, 2, 1]), weight.shape);
}
