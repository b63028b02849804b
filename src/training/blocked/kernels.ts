import type { GraphBuilder } from '../../ir/builder.js';
import type { Attributes } from '../../ir/graph.js';
import { type Resolved, resolveAttributes } from '../../ops/attributes.js';
import { operators } from '../../ops/index.js';
import { readWindow, slide, type WINDOW_ATTRIBUTES, type Window } from '../../ops/window.js';
import { adjointConvolution, adjointKernel, isTiling } from '../adjoint-convolution.js';
import { type AffineOptions, type Convolution, Kernels, sizeOf, type Value } from '../kernels.js';
import { DenseConvolutions } from './dense.js';
import { DepthwiseConvolutions } from './depthwise.js';
import { BINARY, UNARY } from './elementwise.js';
import { Forms } from './forms.js';
import { BlockMemory, RELU, stepActivation } from './memory.js';
import { TiledConvolutions } from './tiled.js';
import { cutTo } from './weights.js';

/**
 * Kernels in the memory layout of the runtime's fastest convolutions: channels in blocks of the width of a vector
 * register. A value is put into blocks where a convolution reads it, and stays there through everything that works on
 * blocks; what does not gets a plain copy. Two-dimensional images only; all else is done as the plain kernels do it.
 */
export class BlockedKernels extends Kernels {
  readonly #memory: BlockMemory;
  readonly #forms: Forms;
  readonly #dense: DenseConvolutions;
  readonly #depthwise: DepthwiseConvolutions;
  readonly #tiled: TiledConvolutions;

  /** @param block channels in a block, as `blockProbe` finds it */
  constructor(builder: GraphBuilder, block: number) {
    super(builder);
    this.#memory = new BlockMemory(this, block);
    this.#forms = new Forms(this.#memory);
    this.#dense = new DenseConvolutions(this.#forms);
    this.#depthwise = new DepthwiseConvolutions(this.#forms);
    this.#tiled = new TiledConvolutions(this.#forms, this.#dense);
  }

  override nameOf(value: Value): string {
    return super.nameOf(this.#forms.plain(value));
  }

  override operators(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Attributes,
    count: number,
  ): Value[] {
    const done = count === 1 ? this.#onBlocks(op, inputs, attributes) : undefined;
    return done ? [done] : super.operators(op, inputs, attributes, count);
  }

  #onBlocks(op: string, inputs: readonly (Value | undefined)[], attributes: Attributes): Value | undefined {
    const [x] = inputs;
    if (!x || !inputs.some((input) => input && this.#forms.isBlocked(input))) return undefined;
    if (UNARY.has(op) || BINARY.has(op)) return this.#elementwise(op, inputs, attributes);
    if ((op !== 'MaxPool' && op !== 'AveragePool') || attributes.ceil_mode || !this.#forms.layoutOf(x))
      return undefined;
    const given = resolveAttributes(operators.get(op)?.attributes ?? {}, attributes);
    const window = readWindow(given as Resolved<typeof WINDOW_ATTRIBUTES>, 2);
    if (window.autoPad !== 'NOTSET') return undefined;
    if (op === 'MaxPool') return this.maxPool(x, window);
    if (window.dilations.some((dilation) => dilation !== 1)) return undefined;
    return this.#pool(op, x, window, { count_include_pad: Number(given.count_include_pad) });
  }

  /** Element by element the layout does not matter, as long as it is the same; numbers go with any. */
  #elementwise(op: string, inputs: readonly (Value | undefined)[], attributes: Attributes): Value | undefined {
    const images = inputs.filter((input) => input !== undefined && sizeOf(input) !== 1) as Value[];
    const [first] = images;
    if (images.some(({ shape }) => shape.join() !== first.shape.join())) return undefined;
    const parts = this.#partsOfAny(images);
    if (parts) {
      const pieces = inputs.map((input) => (input && sizeOf(input) !== 1 ? this.#partsLike(input, parts) : input));
      const at = (i: number) => pieces.map((piece) => (Array.isArray(piece) ? (piece[i] as Value) : (piece as Value)));
      return this.#forms.fromParts(parts.map((_, i) => this.operator(op, at(i), attributes)));
    }
    const layout = this.#forms.layoutOf(first);
    // What lies in padded channels must stay finite, and a quotient of zeros is not.
    if (!layout || (op === 'Div' && layout.channels !== first.shape[1])) return undefined;
    const data = inputs.map((input) => (input && sizeOf(input) !== 1 ? this.#forms.blocked(input).data : input));
    const [result] = super.operators(op, data, attributes, 1);
    return this.#forms.fromBlocked({ ...layout, data: result }, first.shape);
  }

  #partsOfAny(values: readonly Value[]): readonly Value[] | undefined {
    return values.map((value) => this.#forms.partsOf(value)).find((parts) => parts);
  }

  /** The value in parts with as many channels each as `like`. */
  #partsLike(value: Value, like: readonly Value[]): Value[] {
    return this.split(
      value,
      like.map(({ shape }) => shape[1]),
      1,
    );
  }

  override step(x: Value): Value {
    if (!this.#forms.isBlocked(x)) return super.step(x);
    return this.channelAffine(x, this.#repeated(1, x.shape[1]), undefined, { activation: 'step' });
  }

  #repeated(value: number, count: number): Value {
    return this.floats(new Float32Array(count).fill(value));
  }

  // --- shapes -----------------------------------------------------------------------------------------------------

  override concat(parts: readonly Value[], axis: number): Value {
    if (axis !== 1 || !parts.some((part) => this.#forms.isBlocked(part))) return super.concat(parts, axis);
    return this.#forms.fromParts(parts.flatMap((part) => this.#forms.partsOf(part) ?? [part]));
  }

  override split(a: Value, sizes: readonly number[], axis: number): Value[] {
    if (axis !== 1 || sizes.length === 1 || !this.#forms.isBlocked(a)) return super.split(a, sizes, axis);
    const parts = this.#forms.partsOf(a);
    if (parts?.map(({ shape }) => shape[1]).join() === sizes.join()) return [...parts];
    const layout = this.#forms.layoutOf(a);
    const areWholeBlocks = sizes.every((size) => size % this.#memory.block === 0);
    if (parts || layout?.fold !== 1 || !areWholeBlocks) return super.split(a, sizes, axis);
    const [batch, , ...space] = a.shape;
    return super
      .split(this.#forms.blocked(a).data, sizes, 1)
      .map((data, i) => this.#forms.fromBlocked({ fold: 1, channels: sizes[i], data }, [batch, sizes[i], ...space]));
  }

  // --- sums and factors by channel --------------------------------------------------------------------------------

  override total(a: Value): Value {
    return this.#forms.isBlocked(a) ? this.sum(this.channelSums(a), [0]) : super.total(a);
  }

  override channelAffine(
    x: Value,
    scale: Value,
    shift: Value | undefined,
    { sum, activation }: AffineOptions = {},
  ): Value {
    const images = sum ? [x, sum] : [x];
    if (!images.some((image) => this.#forms.isBlocked(image)))
      return super.channelAffine(x, scale, shift, { sum, activation });
    const parts = this.#partsOfAny(images);
    if (parts) {
      const sizes = parts.map(({ shape }) => shape[1]);
      const [xs, sums] = [x, sum].map((image) => image && this.#partsLike(image, parts));
      const [scales, shifts] = [scale, shift].map((vector) => vector && this.split(vector, sizes, 0));
      return this.#forms.fromParts(
        sizes.map((_, i) => this.channelAffine(xs![i], scales![i], shifts?.[i], { sum: sums?.[i], activation })),
      );
    }
    if (!this.#forms.layoutOf(x)) return super.channelAffine(x, scale, shift, { sum, activation });
    const last = activation === 'relu' ? RELU : activation === 'step' ? stepActivation() : undefined;
    const blocked = this.#forms.affine(this.#forms.blocked(x), scale, {
      shift,
      sum: sum && this.#forms.blocked(sum).data,
      activation: last,
    });
    return this.#forms.fromBlocked(blocked, x.shape);
  }

  override scaleChannels(x: Value, by: Value): Value {
    return this.#forms.isBlocked(x) ? this.#forms.fromScaled(x, by) : super.scaleChannels(x, by);
  }

  override channelSums(x: Value): Value {
    const scaled = this.#forms.scaledOf(x);
    if (scaled) return this.multiply(this.channelSums(scaled.of), scaled.by);
    const parts = this.#forms.partsOf(x);
    if (parts)
      return this.concat(
        parts.map((part) => this.channelSums(part)),
        0,
      );
    if (!this.#forms.isBlocked(x)) return super.channelSums(x);
    const { data, channels } = this.#forms.blocked(x);
    const [batch, , height, width] = x.shape;
    const means = this.sum(this.reshape(this.#memory.means(data), [batch, channels]), [0]);
    return cutTo(this, this.scale(means, height * width), [x.shape[1]]);
  }

  /** A convolution of one with the other as its kernel, every channel of every image a group. */
  override channelDots(a: Value, b: Value): Value {
    const parts = this.#partsOfAny([a, b]);
    if (parts) {
      const [as, bs] = [a, b].map((value) => this.#partsLike(value, parts));
      return this.concat(
        parts.map((_, i) => this.channelDots(as[i], bs[i])),
        0,
      );
    }
    const isBlocked = this.#forms.isBlocked(a) || this.#forms.isBlocked(b);
    if (!isBlocked || !this.#forms.layoutOf(a)) return super.channelDots(a, b);
    const { data, channels } = this.#forms.blocked(a);
    const [batch, memoryChannels, height, width] = data.shape;
    const groups = batch * memoryChannels;
    const dots = this.#memory.convolve({
      x: this.reshape(data, [1, groups, height, width]),
      weight: this.reshape(this.#forms.blocked(b).data, [groups, 1, height, width]),
      how: { groups },
    });
    return cutTo(this, this.sum(this.reshape(dots, [a.shape[0], channels]), [0]), [a.shape[1]]);
  }

  // --- convolutions -----------------------------------------------------------------------------------------------

  override convolution(x: Value, weight: Value, bias: Value | undefined, how: Convolution, sum?: Value): Value {
    const kind = kindOf(how, weight.shape, x);
    const plain = () => super.convolution(x, weight, bias, how, sum);
    if (!kind) return plain();
    const scaled = this.#forms.scaledOf(x);
    if (scaled) {
      const by = kind === 'dense' ? [1, -1, 1, 1] : [-1, 1, 1, 1];
      return this.convolution(scaled.of, this.multiply(weight, this.reshape(scaled.by, by)), bias, how, sum);
    }
    const shape = [x.shape[0], weight.shape[0], ...convolvedSpace(x, weight, how)];
    const parts = this.#forms.partsOf(x);
    if (parts) return this.#convolveParts(kind, parts, weight, bias, { how, sum });
    if (kind === 'depthwise')
      return this.#forms.layoutOf(x) ? this.#depthwise.forward(x, weight, { how, shape, bias, sum }) : plain();
    const y: Value = { shape, dtype: 'f32' };
    if (isTiling(how, weight.shape.slice(2), x.shape.slice(2)) && this.#tiled.fits(y, x))
      return this.#tiled.down(x, weight, bias, shape, sum);
    return this.#dense.fits(x, y) ? this.#dense.forward(x, weight, { how, shape, bias, sum }) : plain();
  }

  /** Dense: each part has its stretch of the weight, and adds to what the parts before it gave. */
  #convolveParts(
    kind: Kind,
    parts: readonly Value[],
    weight: Value,
    bias: Value | undefined,
    { how, sum }: { how: Convolution; sum: Value | undefined },
  ): Value {
    const sizes = parts.map(({ shape }) => shape[1]);
    const weights = this.split(weight, sizes, kind === 'dense' ? 1 : 0);
    if (kind === 'dense')
      return parts.reduce<Value | undefined>(
        (before, part, i) => this.convolution(part, weights[i], i === 0 ? bias : undefined, how, before),
        sum,
      ) as Value;
    const biases = bias && this.split(bias, sizes, 0);
    const sums = sum && this.#partsLike(sum, parts);
    const partHow = (i: number) => ({ ...how, groups: sizes[i] });
    return this.#forms.fromParts(
      parts.map((part, i) => this.convolution(part, weights[i], biases?.[i], partHow(i), sums?.[i])),
    );
  }

  override transposedConvolution(
    x: Value,
    weight: Value,
    bias: Value | undefined,
    how: Convolution,
    shape: readonly number[],
  ): Value {
    const y: Value = { shape, dtype: x.dtype };
    return this.#adjoint(x, weight, bias, { like: y, how }) ?? super.transposedConvolution(x, weight, bias, how, shape);
  }

  override convolutionInputGradient(dy: Value, weight: Value, like: Value, how: Convolution, sum?: Value): Value {
    return (
      this.#adjoint(dy, weight, undefined, { like, how, sum }) ??
      super.convolutionInputGradient(dy, weight, like, how, sum)
    );
  }

  #adjoint(
    dy: Value,
    weight: Value,
    bias: Value | undefined,
    { like, how, sum }: { like: Value; how: Convolution; sum?: Value },
  ): Value | undefined {
    const kind = kindOf(how, weight.shape, like);
    if (!kind) return undefined;
    const scaled = this.#forms.scaledOf(dy);
    if (scaled) {
      const factor = this.reshape(scaled.by, [-1, 1, 1, 1]);
      return this.#adjoint(scaled.of, this.multiply(weight, factor), bias, { like, how, sum });
    }
    const parts = this.#forms.partsOf(like);
    if (parts && !bias) return this.#adjointParts(kind, dy, weight, parts, { how, sum });
    const { shape } = like;
    if (kind === 'depthwise' && !this.#forms.layoutOf(dy)) return undefined;
    const adjoint = adjointConvolution(how, weight.shape.slice(2));
    if (adjoint) {
      if (kind === 'dense' && !this.#dense.fits(dy, like)) return undefined;
      const to = kind === 'dense' ? this.#dense : this.#depthwise;
      return to.forward(dy, adjointKernel(this, weight, how.groups), { how: adjoint, shape, bias, sum });
    }
    if (!isTiling(how, weight.shape.slice(2), shape.slice(2))) return undefined;
    const tiled = kind === 'depthwise' ? this.#depthwise : this.#tiled.fits(dy, like) ? this.#tiled : undefined;
    const dx = tiled?.up(dy, weight, bias, shape);
    return dx && sum ? this.add(dx, sum) : dx;
  }

  #adjointParts(
    kind: Kind,
    dy: Value,
    weight: Value,
    parts: readonly Value[],
    { how, sum }: { how: Convolution; sum: Value | undefined },
  ): Value {
    const sizes = parts.map(({ shape }) => shape[1]);
    const weights = this.split(weight, sizes, kind === 'dense' ? 1 : 0);
    const sums = sum && this.#partsLike(sum, parts);
    const gradients = kind === 'dense' ? parts.map(() => dy) : this.#partsLike(dy, parts);
    return this.#forms.fromParts(
      parts.map((part, i) => {
        const partHow = kind === 'dense' ? how : { ...how, groups: sizes[i] };
        return this.convolutionInputGradient(gradients[i], weights[i], part, partHow, sums?.[i]);
      }),
    );
  }

  override convolutionWeightGradient(x: Value, dy: Value, shape: readonly number[], how: Convolution): Value {
    const kind = kindOf(how, shape, x);
    const plain = () => super.convolutionWeightGradient(x, dy, shape, how);
    if (!kind) return plain();
    const scaled = this.#forms.scaledOf(dy);
    if (scaled) {
      const gradient = this.convolutionWeightGradient(x, scaled.of, shape, how);
      return this.multiply(gradient, this.reshape(scaled.by, [-1, 1, 1, 1]));
    }
    const parts = this.#forms.partsOf(x);
    if (parts) {
      const gradients = kind === 'dense' ? parts.map(() => dy) : this.#partsLike(dy, parts);
      const pieces = parts.map((part, i) => {
        const channels = part.shape[1];
        const [partShape, partHow] =
          kind === 'dense'
            ? [[shape[0], channels, ...shape.slice(2)], how]
            : [[channels, ...shape.slice(1)], { ...how, groups: channels }];
        return this.convolutionWeightGradient(part, gradients[i], partShape, partHow);
      });
      return this.concat(pieces, kind === 'dense' ? 1 : 0);
    }
    if (kind === 'depthwise')
      return this.#forms.layoutOf(x) ? this.#depthwise.weightGradient(x, dy, shape, how) : plain();
    if (isTiling(how, shape.slice(2), x.shape.slice(2)) && this.#tiled.fits(dy, x))
      return this.#tiled.weightGradient(dy, x, shape);
    return this.#dense.weightGradient(x, dy, shape, how) ?? plain();
  }

  // --- resampling -------------------------------------------------------------------------------------------------

  override maxPool(x: Value, window: Window): Value {
    if (!this.#forms.isBlocked(x) || !this.#forms.layoutOf(x)) return super.maxPool(x, window);
    return this.#pool('MaxPool', x, window);
  }

  #pool(op: string, x: Value, window: Window, more: Attributes = {}): Value {
    const { kernel, strides, dilations, padsBegin, padsEnd } = window;
    const space = slide(window, x.shape.slice(2)) as number[];
    const attributes = { kernel_shape: kernel, strides, dilations, pads: [...padsBegin, ...padsEnd], ...more };
    const blocked = this.#forms.blocked(x);
    const data = this.#memory.pool(op, blocked.data, attributes, space);
    return this.#forms.fromBlocked({ ...blocked, data }, [...x.shape.slice(0, 2), ...space]);
  }

  override repeat(x: Value, factors: readonly number[]): Value {
    const isImage = this.#forms.isBlocked(x) && this.#forms.layoutOf(x);
    if (!isImage || factors.every((factor) => factor === 1)) return super.repeat(x, factors);
    const blocked = this.#forms.blocked(x);
    const data = this.#memory.upsample(blocked.data, factors);
    const space = x.shape.slice(2).map((size, axis) => size * factors[axis]);
    return this.#forms.fromBlocked({ ...blocked, data }, [...x.shape.slice(0, 2), ...space]);
  }

  override tiledMaxPoolGradient(x: Value, y: Value, dy: Value, factors: readonly number[]): Value {
    if (!this.#forms.isBlocked(x) || !this.#forms.layoutOf(x)) return super.tiledMaxPoolGradient(x, y, dy, factors);
    const maxima = this.#memory.upsample(this.#forms.blocked(y).data, factors);
    const input = this.#forms.blocked(x);
    const isMaximum = this.#forms.affine({ ...input, data: maxima }, this.#repeated(-1, x.shape[1]), {
      sum: input.data,
      activation: stepActivation(1),
    });
    const data = this.multiply(isMaximum.data, this.#memory.upsample(this.#forms.blocked(dy).data, factors));
    return this.#forms.fromBlocked({ ...input, data }, x.shape);
  }
}

type Kind = 'dense' | 'depthwise';

/** Undefined for other ranks, groups of several channels, and pads that cut off. */
function kindOf({ groups, padsBegin, padsEnd }: Convolution, weight: readonly number[], x: Value): Kind | undefined {
  if (weight.length !== 4 || x.dtype !== 'f32' || [...padsBegin, ...padsEnd].some((pad) => pad < 0)) return undefined;
  if (groups === 1) return 'dense';
  return groups === x.shape[1] && groups === weight[0] ? 'depthwise' : undefined;
}

function convolvedSpace(x: Value, weight: Value, how: Convolution): number[] {
  return weight.shape.slice(2).map((size, axis) => {
    const reach = (size - 1) * how.dilations[axis] + 1;
    const padded = x.shape[axis + 2] + how.padsBegin[axis] + how.padsEnd[axis];
    return Math.floor((padded - reach) / how.strides[axis]) + 1;
  });
}
