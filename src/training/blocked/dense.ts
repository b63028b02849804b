import type { Convolution, Kernels, Value } from '../kernels.js';
import type { Forms } from './forms.js';
import { type Blocked, commonFold, type Layout } from './layout.js';
import { type BlockMemory, fusedMatmul } from './memory.js';
import { adjointKernel, blockDense, cutTo, gather, padTo, repeatChannels, spread } from './weights.js';

/** Up to this many channels, a weight gradient is a convolution with the gradient as its kernel; above, a product a tap. */
const MOST_SWAPPED_CHANNELS = 64;

interface DenseOptions {
  readonly how: Convolution;
  readonly shape: readonly number[];
  readonly bias?: Value;
  readonly sum?: Value;
}

/** Convolutions in one group. A side with too few channels for blocks (an image, a map of scores) stays plain. */
export class DenseConvolutions {
  readonly #k: Kernels;
  readonly #memory: BlockMemory;

  constructor(private readonly forms: Forms) {
    this.#memory = forms.memory;
    this.#k = forms.memory.kernels;
  }

  /** Whether a convolution between two such values gains from blocks on either side. */
  fits(x: Value, y: Value): boolean {
    const [from, to] = [x, y].map((value) => this.forms.layoutOf(value));
    if (from) return true;
    return to !== undefined && to.fold * x.shape[1] < this.#memory.block;
  }

  forward(x: Value, weight: Value, options: DenseOptions): Value {
    const { forms } = this;
    const target: Value = { shape: options.shape, dtype: 'f32' };
    const to = forms.layoutOf(target);
    if (to) return forms.fromBlocked(this.#convolve(x, weight, to, options), options.shape);
    if (isPointwise(weight, options.how)) return this.#scores(x, weight, options);
    const channels = Math.ceil(options.shape[1] / this.#memory.block) * this.#memory.block;
    const wide = this.#convolve(x, weight, { fold: 1, channels }, { ...options, sum: undefined });
    const y = this.#memory.toPlain(wide, options.shape);
    return options.sum ? this.#k.add(y, options.sum) : y;
  }

  /** The adjoint of `forward` in x, for stride 1. */
  inputGradient(dy: Value, weight: Value, options: DenseOptions): Value {
    return this.forward(dy, adjointKernel(this.#k, weight), { ...options, how: adjointOf(options.how, weight) });
  }

  #convolve(x: Value, weight: Value, to: Layout, { how, bias, sum }: DenseOptions): Blocked {
    const memory = this.#memory;
    const from = this.forms.layoutOf(x);
    const fold = from ? commonFold(from, to) : to.fold;
    const input = from ? memory.refold(this.forms.blocked(x), fold).data : folded(this.#k, this.forms.plain(x), fold);
    const padded = padTo(this.#k, weight, [to.channels, from?.channels ?? x.shape[1]]);
    const data = memory.convolve({
      x: input,
      weight: blockDense(this.#k, spread(this.#k, padded, fold), memory.block, from !== undefined),
      bias: bias && repeatChannels(this.#k, bias, { ...to, fold }),
      sum: sum && memory.refold(this.forms.blocked(sum), fold).data,
      how,
    });
    return memory.refold({ ...to, fold, data }, to.fold);
  }

  /** A few sums over the channels at each pixel, as plain memory: x is read once, and nothing wide is written. */
  #scores(x: Value, weight: Value, { shape, bias, sum }: DenseOptions): Value {
    const k = this.#k;
    const { fold, channels, data } = this.forms.blocked(x);
    const { block } = this.#memory;
    const [groups, width, height, length] = data.shape;
    const pixels = height * length;
    const out = fold * weight.shape[0];
    const matrix = spread(
      k,
      k.reshape(padTo(k, weight, [weight.shape[0], channels]), [weight.shape[0], channels]),
      fold,
    );
    const byBlock = k.transpose(k.reshape(matrix, [out, width / block, block]), [1, 2, 0]);
    const products = k.matmul(k.reshape(data, [groups, width / block, pixels, block]), byBlock);
    const sums = width === block ? k.reshape(products, [groups, pixels, out]) : k.sum(products, [1]);
    let y = k.reshape(k.transpose(sums, [0, 2, 1]), shape);
    if (bias) y = k.add(y, k.perChannel(bias, y));
    return sum ? k.add(y, sum) : y;
  }

  /** Undefined for the combinations that plain operators do as well. */
  weightGradient(x: Value, dy: Value, shape: readonly number[], how: Convolution): Value | undefined {
    const { forms } = this;
    const [from, to] = [forms.layoutOf(x), forms.layoutOf(dy)];
    if (!from && !to) return undefined;
    const isUnit = [...how.strides, ...how.dilations].every((step) => step === 1);
    if (isPointwise({ shape, dtype: 'f32' }, how)) return this.#k.reshape(this.pointwiseGradient(x, dy), shape);
    if (from && to) {
      const fold = commonFold(from, to);
      const isNarrow = fold * x.shape[1] <= MOST_SWAPPED_CHANNELS;
      if (isNarrow || !isUnit) return this.#swapped(x, dy, shape, how, fold);
      return this.#byTaps(x, dy, shape, how, fold);
    }
    if (!isUnit) return undefined;
    return to ? this.#imageGradient(x, dy, shape, how) : this.#scoresGradient(x, dy, shape, how);
  }

  /** [O, I] = Σ dy·xᵀ over batch and pixels. The side with fewer channels is made plain, as a product needs one. */
  pointwiseGradient(x: Value, dy: Value): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const [from, to] = [x, dy].map((value) => this.forms.layoutOf(value));
    if (from && to) {
      const [input, gradient] = this.#memory.meet(this.forms.blocked(x), this.forms.blocked(dy));
      const { fold } = input;
      if (input.data.shape[1] === block && gradient.data.shape[1] === block) {
        const rows = (data: Value) => k.reshape(data, [data.shape[0], data.shape[2] * data.shape[3], block]);
        const full = k.sum(fusedMatmul(k, rows(gradient.data), rows(input.data), { transA: 1 }), [0]);
        return cutTo(k, gather(k, full, fold), [dy.shape[1], x.shape[1]]);
      }
      return gradient.data.shape[1] < input.data.shape[1]
        ? this.#narrowGradient(dy, input, x.shape[1])
        : k.transpose(this.#narrowGradient(x, gradient, dy.shape[1]), [1, 0]);
    }
    return from
      ? this.#narrowGradient(dy, this.forms.blocked(x), x.shape[1])
      : k.transpose(this.#narrowGradient(x, this.forms.blocked(dy), dy.shape[1]), [1, 0]);
  }

  /** Σ narrow·wideᵀ over batch and pixels, [channels of narrow, channels of wide]. */
  #narrowGradient(narrow: Value, wide: Blocked, channels: number): Value {
    const k = this.#k;
    const { fold } = wide;
    const rows = folded(k, this.forms.plain(narrow), fold);
    const full = this.#product(rows, wide.data);
    return cutTo(k, gather(k, full, fold), [narrow.shape[1], channels]);
  }

  /** Plain [M, A, …] times the transpose of blocks [M, Q, …] over all but the channels: [A, Q]. */
  #product(rows: Value, wide: Value): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const [groups, width] = wide.shape;
    const pixels = wide.shape[2] * wide.shape[3];
    const left = k.reshape(rows, [groups, 1, rows.shape[1], pixels]);
    const products = k.matmul(left, k.reshape(wide, [groups, width / block, pixels, block]));
    return k.reshape(k.transpose(k.sum(products, [0]), [1, 0, 2]), [rows.shape[1], width]);
  }

  /** Few input channels: a column for every tap, and one product. */
  #imageGradient(x: Value, dy: Value, shape: readonly number[], how: Convolution): Value {
    const k = this.#k;
    const gradient = this.forms.blocked(dy);
    const columns = this.#columns(
      folded(k, this.forms.plain(x), gradient.fold),
      shape.slice(2),
      how,
      dy.shape.slice(2),
    );
    const taps = shape[2] * shape[3];
    const product = this.#product(columns, gradient.data);
    const full = k.reshape(product, [taps, gradient.fold * x.shape[1], gradient.data.shape[1]]);
    return this.#fromTaps(k.transpose(full, [2, 1, 0]), gradient.fold, shape);
  }

  /** Few output channels: as `imageGradient`, with the taps moving over dy instead of x. */
  #scoresGradient(x: Value, dy: Value, shape: readonly number[], how: Convolution): Value {
    const k = this.#k;
    const input = this.forms.blocked(x);
    const kernel = shape.slice(2);
    const moved = adjointOf(how, { shape, dtype: 'f32' });
    const columns = this.#columns(folded(k, this.forms.plain(dy), input.fold), kernel, moved, x.shape.slice(2));
    const full = this.#product(columns, input.data);
    const taps = kernel[0] * kernel[1];
    const byTap = k.reshape(full, [taps, input.fold * dy.shape[1], input.data.shape[1]]);
    const reversed = k.gather(
      byTap,
      Array.from({ length: taps }, (_, i) => taps - 1 - i),
      0,
    );
    return this.#fromTaps(k.transpose(reversed, [1, 2, 0]), input.fold, shape);
  }

  /** [fold·O, fold·I, taps], padded or not, to the shape of the weight. */
  #fromTaps(full: Value, fold: number, shape: readonly number[]): Value {
    const k = this.#k;
    return k.reshape(cutTo(k, gather(k, full, fold), shape.slice(0, 2)), shape);
  }

  #columns(x: Value, kernel: readonly number[], how: Convolution, space: readonly number[]): Value {
    const k = this.#k;
    const padded = k.pad(x, [0, 0, ...how.padsBegin], [0, 0, ...how.padsEnd]);
    const taps = tapsOf(kernel, how).map((at) => k.slice(padded, [2, 3], at, [at[0] + space[0], at[1] + space[1]]));
    return k.concat(taps, 1);
  }

  /** Batch and channels change places: dy itself is the kernel, in one group an image. */
  #swapped(x: Value, dy: Value, shape: readonly number[], how: Convolution, fold: number): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const gradient = this.#memory.refold(this.forms.blocked(dy), fold).data;
    const [groups, out, ...space] = gradient.shape;
    const image = k.transpose(folded(k, this.forms.plain(x), fold), [1, 0, 2, 3]);
    const bordered = k.pad(image, [0, 0, ...how.padsBegin], [0, 0, ...how.padsEnd]);
    const full = this.#memory.convolve({
      x: bordered,
      weight: k.reshape(gradient, [groups * out, 1, ...space]),
      how: { strides: how.dilations, dilations: how.strides, groups },
    });
    const [input, , ...reached] = full.shape;
    // Sum over the groups of images first: what is left is small.
    const summed = k.sum(k.reshape(full, [input, groups, out / block, ...reached, block]), [1]);
    const byTap = k.transpose(summed, [1, 4, 0, 2, 3]);
    const all = k.reshape(byTap, [out, input, ...reached]);
    const taps = k.slice(all, [2, 3], [0, 0], shape.slice(2));
    return this.#fromTaps(k.reshape(taps, [out, input, shape[2] * shape[3]]), fold, shape);
  }

  /** One product a tap. Rows are padded so far that a tap is one contiguous range of the flattened image. */
  #byTaps(x: Value, dy: Value, shape: readonly number[], how: Convolution, fold: number): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const input = this.#memory.refold(this.forms.blocked(x), fold).data;
    const [groups, channels, height, width] = input.shape;
    const [top, left] = how.padsBegin;
    const [bottom, right] = how.padsEnd;
    const row = width + left + right;
    const length = dy.shape[2] * row;
    const blocks = k.reshape(input, [(groups * channels) / block, height, width, block]);
    // The last taps reach a row beyond the border.
    const bordered = k.pad(blocks, [0, top, left, 0], [0, bottom + 1, right, 0]);
    const flat = k.reshape(bordered, [groups, channels / block, (height + top + bottom + 1) * row, block]);
    const gradient = folded(k, this.forms.plain(dy), fold);
    const rows = k.pad(gradient, [0, 0, 0, 0], [0, 0, 0, row - dy.shape[3]]);
    const out = rows.shape[1];
    const factor = k.reshape(rows, [groups, 1, out, length]);
    const taps = tapsOf(shape.slice(2), how).map(([y, x]) => {
      const from = y * row + x;
      const product = k.sum(k.matmul(factor, k.slice(flat, [2], [from], [from + length])), [0]);
      return k.reshape(k.transpose(product, [1, 0, 2]), [out, channels, 1]);
    });
    return this.#fromTaps(k.concat(taps, 2), fold, shape);
  }
}

export function isPointwise({ shape }: Value, how: Convolution): boolean {
  const isUnit = how.strides.every((stride) => stride === 1);
  return (
    isUnit && shape.slice(2).every((size) => size === 1) && [...how.padsBegin, ...how.padsEnd].every((pad) => pad === 0)
  );
}

/** How the adjoint slides, for stride 1. */
export function adjointOf(how: Convolution, { shape }: Value): Convolution {
  const opposite = (pads: readonly number[]) =>
    pads.map((pad, axis) => (shape[axis + 2] - 1) * how.dilations[axis] - pad);
  return { ...how, padsBegin: opposite(how.padsBegin), padsEnd: opposite(how.padsEnd) };
}

/** Offsets of the taps in the padded image, row by row. */
function tapsOf([height, width]: readonly number[], { dilations }: Convolution): [number, number][] {
  return Array.from({ length: height * width }, (_, tap) => [
    Math.floor(tap / width) * dilations[0],
    (tap % width) * dilations[1],
  ]);
}

/** Plain [N, C, …] as [N / fold, fold·C, …]. */
function folded(k: Kernels, plain: Value, fold: number): Value {
  const [batch, channels, ...space] = plain.shape;
  return k.reshape(plain, [batch / fold, fold * channels, ...space]);
}
