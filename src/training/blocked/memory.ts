import { type Attributes, foreignNode } from '../../ir/graph.js';
import type { Convolution, Kernels, Value } from '../kernels.js';
import { type Blocked, commonFold, type Layout, layoutOf, memoryShape } from './layout.js';

/** The runtime's own operators on channel blocks. They come without any promise: see `chooseKernels`. */
const DOMAIN = 'com.microsoft.nchwc';

export interface BlockedConvolution {
  /** Memory in blocks, or plain where it has fewer channels than a block. */
  readonly x: Value;
  /** In block order. */
  readonly weight: Value;
  readonly bias?: Value;
  readonly sum?: Value;
  readonly how: Partial<Convolution>;
  readonly activation?: Attributes;
}

export const RELU: Attributes = { activation: 'Relu' };

/** min(1, max(0, 1e30·x + offset)): for offset 0 the unit step, for 1 whether x, never above zero, is zero. */
export function stepActivation(offset = 0): Attributes {
  return { activation: 'HardSigmoid', activation_params: [1e30, offset] };
}

/** Everything on memory in blocks that is one operator, and the way from and to plain memory. */
export class BlockMemory {
  constructor(
    readonly kernels: Kernels,
    readonly block: number,
  ) {}

  layoutOf(value: Value): Layout | undefined {
    return layoutOf(value, this.block);
  }

  convolve({ x, weight, bias, sum, how, activation = {} }: BlockedConvolution): Value {
    const { strides = [1, 1], dilations = [1, 1], padsBegin = [0, 0], padsEnd = [0, 0], groups = 1 } = how;
    const kernel = weight.shape.slice(2);
    const space = kernel.map((size, axis) => {
      const reach = (size - 1) * dilations[axis] + 1;
      return Math.floor((x.shape[axis + 2] + padsBegin[axis] + padsEnd[axis] - reach) / strides[axis]) + 1;
    });
    const pads = [...padsBegin, ...padsEnd];
    const attributes = { kernel_shape: kernel, strides, dilations, pads, group: groups, ...activation };
    return this.#add('Conv', [x, weight, bias, sum], [x.shape[0], weight.shape[0], ...space], attributes);
  }

  /** Zeros around. A 1x1 convolution runs on all threads, which Pad does not. */
  border(x: Value, { padsBegin, padsEnd }: Pick<Convolution, 'padsBegin' | 'padsEnd'>): Value {
    if ([...padsBegin, ...padsEnd].every((pad) => pad === 0)) return x;
    const groups = x.shape[1];
    const weight = this.kernels.floats(new Float32Array(groups).fill(1), [groups, 1, 1, 1]);
    return this.convolve({ x, weight, how: { padsBegin, padsEnd, groups } });
  }

  pool(op: string, x: Value, attributes: Attributes, space: readonly number[]): Value {
    return this.#add(op, [x], [...x.shape.slice(0, 2), ...space], attributes);
  }

  upsample(x: Value, factors: readonly number[]): Value {
    const [batch, channels, height, width] = x.shape;
    const shape = [batch, channels, height * factors[0], width * factors[1]];
    return this.#add('Upsample', [x], shape, { scales: [1, 1, ...factors] });
  }

  /** Means over space, by image and channel: a plain [N, C, 1, 1]. */
  means(x: Value): Value {
    return this.#add('GlobalAveragePool', [x], [...x.shape.slice(0, 2), 1, 1], {});
  }

  /** Plain memory to blocks; channels are padded with zeros. */
  toBlocks(value: Value, layout: Layout): Blocked {
    const { kernels } = this;
    const [batch, channels, ...space] = value.shape;
    const folded = kernels.reshape(value, [batch / layout.fold, layout.fold * channels, ...space]);
    // The operator pads by itself, but only numbers of channels that four divides.
    const padded = folded.shape[1] % 4 === 0 ? folded : this.#padChannels(folded, layout.channels * layout.fold);
    return { ...layout, data: this.#add('ReorderInput', [padded], memoryShape(value.shape, layout), {}) };
  }

  #padChannels(x: Value, channels: number): Value {
    return this.kernels.pad(x, [0, 0, 0, 0], [0, channels - x.shape[1], 0, 0]);
  }

  /** Blocks to plain memory of this shape. */
  toPlain({ data, fold }: Blocked, shape: readonly number[]): Value {
    const [batch, channels, ...space] = shape;
    const folded = [batch / fold, fold * channels, ...space];
    return this.kernels.reshape(this.#add('ReorderOutput', [data], folded, { channels: fold * channels }), shape);
  }

  /** The same memory, seen with another fold; whole blocks of one image never mix with those of another. */
  refold(blocked: Blocked, fold: number): Blocked {
    if (blocked.fold === fold) return blocked;
    const [groups, , ...space] = blocked.data.shape;
    const shape = [(groups * blocked.fold) / fold, fold * blocked.channels, ...space];
    return { ...blocked, fold, data: this.kernels.reshape(blocked.data, shape) };
  }

  /** Two values with one fold. */
  meet(a: Blocked, b: Blocked): [Blocked, Blocked] {
    const fold = commonFold(a, b);
    return [this.refold(a, fold), this.refold(b, fold)];
  }

  #add(op: string, inputs: readonly (Value | undefined)[], shape: readonly number[], attributes: Attributes): Value {
    const { kernels } = this;
    const names = inputs.map((input) => (input ? kernels.nameOf(input) : ''));
    while (names.at(-1) === '') names.pop();
    const output = kernels.builder.fresh(`${kernels.scope}${op.toLowerCase()}`);
    const floats = ['activation_params'];
    const node = foreignNode({ op, domain: DOMAIN, version: 1, inputs: names, outputs: [output], attributes, floats });
    kernels.builder.add(node, [{ dtype: 'f32', shape }]);
    return kernels.wrap(output);
  }
}
