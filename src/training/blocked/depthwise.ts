import type { Convolution, Kernels, Value } from '../kernels.js';
import type { Forms } from './forms.js';
import type { BlockMemory } from './memory.js';
import { blockDepthwise, cutTo, repeatChannels } from './weights.js';

interface DepthwiseOptions {
  readonly how: Convolution;
  readonly shape: readonly number[];
  readonly bias?: Value;
  readonly sum?: Value;
}

/** Convolutions with one kernel a channel, [C, 1, kh, kw]; input and output have the same layout. */
export class DepthwiseConvolutions {
  readonly #k: Kernels;
  readonly #memory: BlockMemory;

  constructor(private readonly forms: Forms) {
    this.#memory = forms.memory;
    this.#k = forms.memory.kernels;
  }

  forward(x: Value, weight: Value, { how, shape, bias, sum }: DepthwiseOptions): Value {
    const input = this.forms.blocked(x);
    const groups = input.fold * input.channels;
    const data = this.#memory.convolve({
      x: input.data,
      weight: blockDepthwise(this.#k, repeatChannels(this.#k, weight, input), this.#memory.block),
      bias: bias && repeatChannels(this.#k, bias, input),
      sum: sum && this.forms.blocked(sum).data,
      how: { ...how, groups },
    });
    return this.forms.fromBlocked({ ...input, data }, shape);
  }

  /** dy itself is the kernel, and every channel of every image a group; strides and dilations change places. */
  weightGradient(x: Value, dy: Value, shape: readonly number[], how: Convolution): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const [input, gradient] = [this.forms.blocked(x), this.forms.blocked(dy)];
    const [batch, channels, ...space] = gradient.data.shape;
    const groups = batch * channels;
    const image = this.#memory.border(input.data, how);
    const full = this.#memory.convolve({
      x: k.reshape(image, [1, groups, ...image.shape.slice(2)]),
      weight: k.reshape(gradient.data, [groups, 1, ...space]),
      how: { strides: how.dilations, dilations: how.strides, groups },
    });
    const reached = full.shape.slice(2);
    const taps = reached[0] * reached[1];
    const summed = k.sum(k.reshape(full, [batch, channels / block, taps, block]), [0]);
    const byChannel = k.reshape(k.transpose(summed, [0, 2, 1]), [input.fold, input.channels, 1, ...reached]);
    const all = cutTo(k, k.sum(byChannel, [0]), [shape[0]]);
    // Rows that the stride never reaches give taps beyond the kernel.
    return k.slice(all, [2, 3], [0, 0], shape.slice(2));
  }

  /**
   * The adjoint in x where the kernel tiles the output, plus bias: each element of x times the whole kernel. As
   * positions repeat, the product is one of the repeated x with a repeated kernel.
   */
  up(x: Value, weight: Value, bias: Value | undefined, shape: readonly number[]): Value {
    const k = this.#k;
    const { block } = this.#memory;
    const input = this.forms.blocked(x);
    const [, channels, height, width] = input.data.shape;
    const [down, across] = weight.shape.slice(2);
    const kernel = k.reshape(repeatChannels(k, weight, input), [channels / block, block, down, across]);
    const byPixel = k.reshape(k.transpose(kernel, [0, 2, 3, 1]), [channels / block, 1, down, 1, across, block]);
    const pattern = k.expand(byPixel, [channels / block, height, down, width, across, block]);
    const factor = k.reshape(pattern, [1, channels, height * down, width * across]);
    const data = k.multiply(this.#memory.upsample(input.data, [down, across]), factor);
    const y = this.forms.fromBlocked({ ...input, data }, shape);
    if (!bias) return y;
    const ones = k.floats(new Float32Array(shape[1]).fill(1));
    return this.forms.fromBlocked(this.forms.affine(this.forms.blocked(y), ones, { shift: bias }), shape);
  }
}
