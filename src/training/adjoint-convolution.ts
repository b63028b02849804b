import type { Convolution, Kernels, Value } from './kernels.js';

/**
 * The adjoint of a convolution with stride 1 is a convolution again: with the taps in reverse order, input and output
 * exchanged within each group, and pads that make up the size. Undefined for other strides, and where that would need
 * negative pads.
 */
export function adjointConvolution(how: Convolution, kernel: readonly number[]): Convolution | undefined {
  const opposite = (pads: readonly number[]) => pads.map((pad, axis) => (kernel[axis] - 1) * how.dilations[axis] - pad);
  const [padsBegin, padsEnd] = [opposite(how.padsBegin), opposite(how.padsEnd)];
  if (how.strides.some((stride) => stride !== 1) || [...padsBegin, ...padsEnd].some((pad) => pad < 0)) return undefined;
  return { ...how, padsBegin, padsEnd };
}

/** [O, I / groups, k…] -> [I, O / groups, k…] of the adjoint. */
export function adjointKernel(k: Kernels, weight: Value, groups: number): Value {
  const [out, perGroup, ...kernel] = weight.shape;
  const reversed = reverseTaps(k, weight);
  if (perGroup === 1 && groups === out) return reversed;
  const taps = kernel.reduce((product, size) => product * size, 1);
  const byGroup = k.reshape(reversed, [groups, out / groups, perGroup, taps]);
  return k.reshape(k.transpose(byGroup, [0, 2, 1, 3]), [groups * perGroup, out / groups, ...kernel]);
}

function reverseTaps(k: Kernels, weight: Value): Value {
  const [out, input, ...kernel] = weight.shape;
  const taps = kernel.reduce((product, size) => product * size, 1);
  if (taps === 1) return weight;
  const order = Array.from({ length: taps }, (_, i) => taps - 1 - i);
  return k.reshape(k.gather(k.reshape(weight, [out, input, taps]), order, 2), weight.shape);
}

/** Whether the kernel's positions tile the input without a gap or a rest. */
export function isTiling(how: Convolution, kernel: readonly number[], input: readonly number[]): boolean {
  return (
    kernel.some((size) => size > 1) &&
    kernel.every((size, axis) => size === how.strides[axis] && input[axis] % size === 0) &&
    how.dilations.every((dilation) => dilation === 1) &&
    [...how.padsBegin, ...how.padsEnd].every((pad) => pad === 0)
  );
}

/** Offsets of the taps in the padded input, the last axis fastest. */
export function tapOffsets(kernel: readonly number[], { dilations }: Convolution): number[][] {
  return kernel.reduce<number[][]>(
    (offsets, size, axis) =>
      offsets.flatMap((offset) => Array.from({ length: size }, (_, i) => [...offset, i * dilations[axis]])),
    [[]],
  );
}
