import type { Kernels, Value } from '../kernels.js';
import type { DenseConvolutions } from './dense.js';
import type { Forms } from './forms.js';
import { type Blocked, commonFold, type Layout } from './layout.js';
import type { BlockMemory } from './memory.js';
import { blockDense, cutTo, gather, padTo, repeatChannels, spread } from './weights.js';

interface Tiles {
  /** Fold in which both sides are handled. */
  readonly fold: number;
  readonly small: Layout;
  readonly large: Layout;
  readonly kernel: readonly number[];
}

/**
 * Dense convolutions whose kernel is as large as the stride and which have no pads, and their adjoints (the usual
 * up-convolution): 1x1 convolutions between the small side and the large one in the form [kh, kw, channels] at the
 * small size ("space to depth"). The weight is [channels of the small side, channels of the large, kh, kw].
 */
export class TiledConvolutions {
  readonly #k: Kernels;
  readonly #memory: BlockMemory;
  /** Values of the large side in the small size: forward and backward pass, or the two gradients, share one copy. */
  readonly #deep = new Map<string, Value>();

  constructor(
    private readonly forms: Forms,
    private readonly dense: DenseConvolutions,
  ) {
    this.#memory = forms.memory;
    this.#k = forms.memory.kernels;
  }

  fits(small: Value, large: Value): boolean {
    return this.forms.layoutOf(small) !== undefined && this.forms.layoutOf(large) !== undefined;
  }

  /** From the small side to the large one. */
  up(x: Value, weight: Value, bias: Value | undefined, shape: readonly number[]): Value {
    const k = this.#k;
    const tiles = this.#tiles(x, { shape, dtype: 'f32' }, weight.shape);
    const { fold, large, kernel } = tiles;
    const count = kernel[0] * kernel[1];
    const wide = this.#memory.convolve({
      x: this.#memory.refold(this.forms.blocked(x), fold).data,
      weight: blockDense(k, this.#matrix(weight, tiles), this.#memory.block, true),
      bias: bias && this.#repeat(repeatChannels(k, bias, { ...large, fold }), count),
      how: {},
    });
    const blocked = { ...large, fold, data: this.#toSpace(wide, tiles) };
    return this.forms.fromBlocked(this.#memory.refold(blocked, large.fold), shape);
  }

  /** From the large side to the small one. */
  down(y: Value, weight: Value, bias: Value | undefined, shape: readonly number[], sum: Value | undefined): Value {
    const k = this.#k;
    const tiles = this.#tiles({ shape, dtype: 'f32' }, y, weight.shape);
    const { fold, small } = tiles;
    const data = this.#memory.convolve({
      x: this.#toDepth(y, tiles),
      weight: blockDense(k, k.transpose(this.#matrix(weight, tiles), [1, 0, 2, 3]), this.#memory.block, true),
      bias: bias && repeatChannels(k, bias, { ...small, fold }),
      sum: sum && this.#memory.refold(this.forms.blocked(sum), fold).data,
      how: {},
    });
    return this.forms.fromBlocked(this.#memory.refold({ ...small, fold, data }, small.fold), shape);
  }

  weightGradient(small: Value, large: Value, shape: readonly number[]): Value {
    const k = this.#k;
    const tiles = this.#tiles(small, large, shape);
    const { fold, kernel } = tiles;
    const x = this.#memory.refold(this.forms.blocked(small), fold).data;
    const deep = this.#toDepth(large, tiles);
    const asImage = (data: Value): Value =>
      this.forms.fromBlocked({ fold: 1, channels: data.shape[1], data }, data.shape);
    const full = this.dense.pointwiseGradient(asImage(x), asImage(deep));
    const count = kernel[0] * kernel[1];
    const split = k.transpose(k.reshape(full, [count, deep.shape[1] / count, x.shape[1]]), [2, 1, 0]);
    return k.reshape(cutTo(k, gather(k, split, fold), shape.slice(0, 2)), shape);
  }

  #tiles(small: Value, large: Value, shape: readonly number[]): Tiles {
    const [a, b] = [small, large].map((value) => this.forms.layoutOf(value));
    if (!a || !b) throw new Error('a side of the convolution has no layout in blocks');
    return { fold: commonFold(a, b), small: a, large: b, kernel: shape.slice(2) };
  }

  /** The 1x1 kernel [kh·kw·fold·large, fold·small, 1, 1]. */
  #matrix(weight: Value, { fold, small, large, kernel }: Tiles): Value {
    const k = this.#k;
    const folded = spread(k, padTo(k, weight, [small.channels, large.channels]), fold);
    const [from, to] = folded.shape;
    return k.reshape(k.transpose(folded, [2, 3, 1, 0]), [kernel[0] * kernel[1] * to, from, 1, 1]);
  }

  #repeat(vector: Value, times: number): Value {
    return repeatChannels(this.#k, vector, { fold: times, channels: vector.shape[0] });
  }

  /** [M, kh·kw·C, H, W] -> [M, C, kh·H, kw·W], whole blocks at a time. */
  #toSpace(wide: Value, { kernel: [down, across] }: Tiles): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const [groups, all, height, width] = wide.shape;
    const channels = all / (down * across);
    const split = k.reshape(wide, [groups, down, across, channels / block, height, width, block]);
    return k.reshape(k.transpose(split, [0, 3, 4, 1, 5, 2, 6]), [groups, channels, height * down, width * across]);
  }

  #toDepth(value: Value, { fold, kernel: [down, across] }: Tiles): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const blocked: Blocked = this.forms.blocked(value);
    const key = [k.nameOf(blocked.data), fold, down, across].join();
    const known = this.#deep.get(key);
    if (known) return known;
    const { data } = this.#memory.refold(blocked, fold);
    const [groups, channels, height, width] = data.shape;
    const [rows, columns] = [height / down, width / across];
    const split = k.reshape(data, [groups, channels / block, rows, down, columns, across, block]);
    const deep = k.transpose(split, [0, 3, 5, 1, 2, 4, 6]);
    const result = k.reshape(deep, [groups, down * across * channels, rows, columns]);
    this.#deep.set(key, result);
    return result;
  }
}
