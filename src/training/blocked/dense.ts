import { tapOffsets } from '../adjoint-convolution.js';
import type { Convolution, Kernels, Value } from '../kernels.js';
import type { Forms } from './forms.js';
import { type Blocked, commonFold, type Layout } from './layout.js';
import type { BlockMemory } from './memory.js';
import { blockDense, cutTo, gather, padTo, repeatChannels, spread } from './weights.js';

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
  /** By the name of the memory. */
  readonly #exchanges = new Map<string, Value>();

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
    const [from, to] = [x, dy].map((value) => this.forms.layoutOf(value));
    if (from && to) {
      const [input, gradient] = this.#memory.meet(this.forms.blocked(x), this.forms.blocked(dy));
      const full = this.#blockGradient(input.data, gradient.data);
      if (full) return cutTo(k, gather(k, full, input.fold), [dy.shape[1], x.shape[1]]);
      return gradient.data.shape[1] < input.data.shape[1]
        ? this.#narrowGradient(dy, input, x.shape[1])
        : k.transpose(this.#narrowGradient(x, gradient, dy.shape[1]), [1, 0]);
    }
    return from
      ? this.#narrowGradient(dy, this.forms.blocked(x), x.shape[1])
      : k.transpose(this.#narrowGradient(x, this.forms.blocked(dy), dy.shape[1]), [1, 0]);
  }

  /**
   * As `pointwiseGradient`, on blocks, where one side is a single block wide: a 1x1 convolution whose input channels are
   * the pixels. The wide side as it lies in memory is its kernel; of the other side, channels and pixels are exchanged.
   */
  #blockGradient(input: Value, gradient: Value, isSwapped = false): Value | undefined {
    const k = this.#k;
    const { block } = this.#memory;
    const [groups, , height, width] = input.shape;
    const pixels = height * width;
    // The gradient rather than the input: one gradient meets several inputs where they are parts of a join.
    if (gradient.shape[1] === block && !isSwapped) {
      const swapped = this.#blockGradient(gradient, input, true);
      return swapped && k.transpose(swapped, [1, 0]);
    }
    if (input.shape[1] !== block || pixels % block !== 0) return undefined;
    const out = gradient.shape[1];
    const products = this.#memory.convolve({
      x: k.reshape(this.#exchanged(input), [1, groups * pixels, 1, block]),
      weight: k.reshape(gradient, [groups * out, pixels, 1, 1]),
      how: { groups },
    });
    const sums = k.sum(k.reshape(products, [groups, out / block, block, block]), [0]);
    return k.reshape(k.transpose(sums, [0, 2, 1]), [out, block]);
  }

  /** [M, B, H, W] as [M, H·W, 1, B]: pixels in blocks. */
  #exchanged(data: Value): Value {
    const k = this.#k;
    const name = k.nameOf(data);
    const known = this.#exchanges.get(name);
    if (known) return known;
    const [groups, channels, height, width] = data.shape;
    const rows = k.reshape(data, [groups, height * width, 1, channels]);
    const exchanged = this.#memory.toBlocks(rows, { fold: 1, channels: height * width }).data;
    this.#exchanges.set(name, exchanged);
    return exchanged;
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
    const opposite = (pads: readonly number[]) =>
      pads.map((pad, axis) => (kernel[axis] - 1) * how.dilations[axis] - pad);
    const moved = { ...how, padsBegin: opposite(how.padsBegin), padsEnd: opposite(how.padsEnd) };
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
    const taps = tapOffsets(kernel, how).map((at) => k.slice(padded, [2, 3], at, [at[0] + space[0], at[1] + space[1]]));
    return k.concat(taps, 1);
  }

  /** Batch and channels change places: dy itself is the kernel, in one group an image. */
  #swapped(x: Value, dy: Value, shape: readonly number[], how: Convolution, fold: number): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const gradient = this.#memory.refold(this.forms.blocked(dy), fold).data;
    const [groups, out, ...space] = gradient.shape;
    const input = this.#memory.refold(this.forms.blocked(x), fold).data;
    const full = this.#memory.convolve({
      x: this.#byChannel(this.#memory.border(input, how)),
      weight: k.reshape(gradient, [groups * out, 1, ...space]),
      how: { strides: how.dilations, dilations: how.strides, groups },
    });
    const [channels, , ...reached] = full.shape;
    // Sum over the groups of images first: what is left is small.
    const summed = k.sum(k.reshape(full, [channels, groups, out / block, ...reached, block]), [1]);
    const byTap = k.transpose(summed, [1, 4, 0, 2, 3]);
    const all = k.reshape(byTap, [out, channels, ...reached]);
    const taps = k.slice(all, [2, 3], [0, 0], shape.slice(2));
    return this.#fromTaps(k.reshape(taps, [out, channels, shape[2] * shape[3]]), fold, shape);
  }

  /** Blocks [M, C, H, W] as plain [C, M, H, W]. */
  #byChannel(data: Value): Value {
    const k = this.#k;
    const [groups, channels, height, width] = data.shape;
    const plain = (value: Value) =>
      this.#memory.toPlain({ fold: 1, channels: value.shape[1], data: value }, value.shape);
    if (channels !== this.#memory.block) return k.transpose(plain(data), [1, 0, 2, 3]);
    // A single block: the groups follow each other like rows of one image.
    const stacked = plain(k.reshape(data, [1, channels, groups * height, width]));
    return k.reshape(stacked, [channels, groups, height, width]);
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
    // The last taps reach a row beyond the border.
    const bordered = this.#memory.border(input, { padsBegin: how.padsBegin, padsEnd: [bottom + 1, right] });
    const flat = k.reshape(bordered, [groups, channels / block, (height + top + bottom + 1) * row, block]);
    const gradient = this.#memory.refold(this.forms.blocked(dy), fold).data;
    const padded = this.#memory.border(gradient, { padsBegin: [0, 0], padsEnd: [0, row - dy.shape[3]] });
    const out = padded.shape[1];
    const rows = this.#memory.toPlain({ fold: 1, channels: out, data: padded }, padded.shape);
    const factor = k.reshape(rows, [groups, 1, out, length]);
    const taps = tapOffsets(shape.slice(2), how).map(([y, x]) => {
      const from = y * row + x;
      const product = k.sum(k.matmul(factor, k.slice(flat, [2], [from], [from + length])), [0]);
      return k.reshape(k.transpose(product, [1, 0, 2]), [out, channels, 1]);
    });
    return this.#fromTaps(k.concat(taps, 2), fold, shape);
  }
}

function isPointwise({ shape }: Value, how: Convolution): boolean {
  const isUnit = how.strides.every((stride) => stride === 1);
  return (
    isUnit && shape.slice(2).every((size) => size === 1) && [...how.padsBegin, ...how.padsEnd].every((pad) => pad === 0)
  );
}

/** Plain [N, C, …] as [N / fold, fold·C, …]. */
function folded(k: Kernels, plain: Value, fold: number): Value {
  const [batch, channels, ...space] = plain.shape;
  return k.reshape(plain, [batch / fold, fold * channels, ...space]);
}
