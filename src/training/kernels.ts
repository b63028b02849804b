import { badGraph } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Attributes } from '../ir/graph.js';
import { elementCount, Tensor } from '../ir/tensor.js';
import type { DataType } from '../ir/types.js';
import type { Window } from '../ops/window.js';
import { adjointConvolution, adjointKernel } from './adjoint-convolution.js';
import { timesTransposed } from './fused-matmul.js';
import { plainTiles, plainWeightGradient } from './plain-convolutions.js';

/**
 * A tensor of the step graph. Where it lies there, and in which memory layout, is the affair of the kernels that made
 * it; `shape` is always the logical one, channels first.
 */
export interface Value {
  readonly shape: readonly number[];
  readonly dtype: DataType;
}

/** How a convolution slides, pads written out. */
export interface Convolution {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padsBegin: readonly number[];
  readonly padsEnd: readonly number[];
  readonly groups: number;
}

/** Cheap functions that a kernel can apply to its result in the same pass. `step` is 1 above zero, else 0. */
type Activation = 'relu' | 'step';

export interface AffineOptions {
  /** Added to the result before the activation; of the shape of `x`. */
  readonly sum?: Value;
  readonly activation?: Activation;
}

/** HardSigmoid(LARGE·x) is the unit step: no float32 of a network lies between 0 and 1 / LARGE. */
const LARGE = 1e30;

/**
 * What gradient rules and the step are written in. This class says everything in plain ONNX operators, channels first:
 * it is the portable form and the oracle of the others. A subclass may keep values in another layout and must only
 * override what it does better.
 */
export class Kernels {
  readonly #constants = new Map<string, Value>();
  readonly #names = new Map<Value, string>();
  /** Prefix of the names of new nodes; says in a profile where time goes. */
  scope = '';

  constructor(readonly builder: GraphBuilder) {}

  /** A value that the graph under construction has already; its shape must be all numbers. */
  wrap(name: string): Value {
    const { dtype, shape } = this.builder.type(name);
    if (!dtype || !shape?.every((dim) => typeof dim === 'number'))
      throw badGraph(`value '${name}' has no fixed shape; state the input's with --input-shape`);
    const value = { dtype, shape: shape as readonly number[] };
    this.#names.set(value, name);
    return value;
  }

  /** The name of the value in the graph, as a plain tensor of its logical shape. */
  nameOf(value: Value): string {
    const name = this.#names.get(value);
    if (name === undefined) throw new Error('the value belongs to other kernels');
    return name;
  }

  /** Any operator of the table, on plain tensors. */
  operators(op: string, inputs: readonly (Value | undefined)[], attributes: Attributes, count: number): Value[] {
    const names = inputs.map((input) => (input ? this.nameOf(input) : ''));
    while (names.at(-1) === '') names.pop();
    const base = `${this.scope}${op.toLowerCase()}`;
    const outputs: string[] = [];
    for (let i = 0; i < count; i++) outputs.push(this.builder.fresh(count > 1 ? `${base}/${i}` : base));
    this.builder.add({ op, name: outputs[0], inputs: names, outputs, attributes });
    return outputs.map((output) => this.wrap(output));
  }

  operator(op: string, inputs: readonly (Value | undefined)[], attributes: Attributes = {}): Value {
    return this.operators(op, inputs, attributes, 1)[0];
  }

  /** A constant; equal small ones are made once. */
  tensor(tensor: Tensor): Value {
    const make = () => this.wrap(this.builder.constant(this.builder.fresh('constant'), tensor));
    if (tensor.size > 64) return make();
    const key = `${tensor.dtype}[${tensor.shape}]${Array.from(tensor.toNumbers() as ArrayLike<number>)}`;
    const known = this.#constants.get(key) ?? make();
    this.#constants.set(key, known);
    return known;
  }

  number(value: number): Value {
    return this.tensor(Tensor.floats([value], []));
  }

  floats(values: ArrayLike<number>, shape: readonly number[] = [values.length]): Value {
    return this.tensor(Tensor.floats(values, shape));
  }

  integers(values: readonly number[]): Value {
    return this.tensor(Tensor.integers(values));
  }

  // --- arithmetic, with broadcasting ------------------------------------------------------------------------------

  add(a: Value, b: Value): Value {
    return this.operator('Add', [a, b]);
  }

  subtract(a: Value, b: Value): Value {
    return this.operator('Sub', [a, b]);
  }

  multiply(a: Value, b: Value): Value {
    return this.operator('Mul', [a, b]);
  }

  divide(a: Value, b: Value): Value {
    return this.operator('Div', [a, b]);
  }

  scale(a: Value, factor: number): Value {
    return this.multiply(a, this.number(factor));
  }

  offset(a: Value, summand: number): Value {
    return this.add(a, this.number(summand));
  }

  negate(a: Value): Value {
    return this.operator('Neg', [a]);
  }

  /** 1 where x > 0, else 0. */
  step(x: Value): Value {
    return this.operator('HardSigmoid', [x], { alpha: LARGE, beta: 0 });
  }

  // --- shapes -----------------------------------------------------------------------------------------------------

  reshape(a: Value, shape: readonly number[]): Value {
    return shape.join() === a.shape.join() ? a : this.operator('Reshape', [a, this.integers(shape)]);
  }

  transpose(a: Value, perm: readonly number[]): Value {
    return perm.every((axis, i) => axis === i) ? a : this.operator('Transpose', [a], { perm });
  }

  /** The half-open range [from, to) of each of `axes`. */
  slice(a: Value, axes: readonly number[], from: readonly number[], to: readonly number[]): Value {
    if (axes.every((axis, i) => from[i] === 0 && to[i] === a.shape[axis])) return a;
    return this.operator('Slice', [a, this.integers(from), this.integers(to), this.integers(axes)]);
  }

  concat(parts: readonly Value[], axis: number): Value {
    return parts.length === 1 ? parts[0] : this.operator('Concat', parts, { axis });
  }

  /** Pieces of these sizes along the axis. */
  split(a: Value, sizes: readonly number[], axis: number): Value[] {
    return sizes.length === 1 ? [a] : this.operators('Split', [a, this.integers(sizes)], { axis }, sizes.length);
  }

  /** Zeros around; `begin` and `end` for every axis. */
  pad(a: Value, begin: readonly number[], end: readonly number[]): Value {
    if ([...begin, ...end].every((size) => size === 0)) return a;
    return this.operator('Pad', [a, this.integers([...begin, ...end])]);
  }

  expand(a: Value, shape: readonly number[]): Value {
    return shape.join() === a.shape.join() ? a : this.operator('Expand', [a, this.integers(shape)]);
  }

  gather(a: Value, indices: readonly number[], axis: number): Value {
    return this.operator('Gather', [a, this.integers(indices)], { axis });
  }

  // --- sums -------------------------------------------------------------------------------------------------------

  sum(a: Value, axes: readonly number[], keepDims = false): Value {
    if (axes.length === 0) return a;
    return this.operator('ReduceSum', [a, this.integers(axes)], { keepdims: keepDims ? 1 : 0 });
  }

  mean(a: Value, axes: readonly number[], keepDims = false): Value {
    return this.operator('ReduceMean', [a, this.integers(axes)], { keepdims: keepDims ? 1 : 0 });
  }

  /** The sum of all elements, as a scalar. */
  total(a: Value): Value {
    return this.sum(a, allAxes(a));
  }

  /** The adjoint of broadcasting to the shape of `a`: sums down to `shape`. */
  sumTo(a: Value, shape: readonly number[]): Value {
    const lead = a.shape.length - shape.length;
    const axes = a.shape.flatMap((size, axis) => {
      const target = axis < lead ? undefined : shape[axis - lead];
      return target === undefined || (target === 1 && size !== 1) ? [axis] : [];
    });
    return this.reshape(this.sum(a, axes, true), shape);
  }

  matmul(a: Value, b: Value): Value {
    return this.operator('MatMul', [a, b]);
  }

  // --- per channel (axis 1) ---------------------------------------------------------------------------------------

  /** activation(scale·x + shift + sum); `scale` and `shift` hold one number a channel. */
  channelAffine(x: Value, scale: Value, shift: Value | undefined, { sum, activation }: AffineOptions = {}): Value {
    let y = shift ? this.#normalized(x, scale, shift) : this.multiply(x, this.perChannel(scale, x));
    if (sum) y = this.add(y, sum);
    if (activation === 'relu') return this.operator('Relu', [y]);
    return activation === 'step' ? this.step(y) : y;
  }

  /** scale·x + shift in one pass: the operator that normalizes, with mean 0 and a variance that makes 1 with its ε. */
  #normalized(x: Value, scale: Value, shift: Value): Value {
    const constant = (value: number) => this.floats(new Float32Array(scale.shape[0]).fill(value));
    const epsilon = 2 ** -17;
    return this.operator('BatchNormalization', [x, scale, shift, constant(0), constant(1 - epsilon)], { epsilon });
  }

  /** x with each channel multiplied by its number of `by`; subclasses may leave that to the readers. */
  scaleChannels(x: Value, by: Value): Value {
    return this.multiply(x, this.perChannel(by, x));
  }

  /** Sums over batch and space: [C]. */
  channelSums(x: Value): Value {
    return this.sum(x, axesBesideChannels(x));
  }

  /** Sums of a·b over batch and space: [C]. */
  channelDots(a: Value, b: Value): Value {
    const [batch, channels, ...space] = a.shape;
    const pixels = elementCount(space);
    const rows = (value: Value) => this.reshape(value, [batch, channels, 1, pixels]);
    const dots = timesTransposed(this, rows(a), rows(b));
    return this.sum(this.reshape(dots, [batch, channels]), [0]);
  }

  /** A vector of one number a channel in the shape that broadcasts over `like`. */
  perChannel(vector: Value, like: Value): Value {
    return this.reshape(vector, [vector.shape[0], ...like.shape.slice(2).map(() => 1)]);
  }

  // --- convolutions -----------------------------------------------------------------------------------------------

  /** Conv of ONNX, plus `sum`. */
  convolution(x: Value, weight: Value, bias: Value | undefined, how: Convolution, sum?: Value): Value {
    const y = this.operator('Conv', [x, weight, bias], convolutionAttributes(how, weight));
    return sum ? this.add(y, sum) : y;
  }

  /** The adjoint of `convolution` in its input, plus `sum`: dy -> dx, of the shape of `like`. */
  convolutionInputGradient(dy: Value, weight: Value, like: Value, how: Convolution, sum?: Value): Value {
    const adjoint = adjointConvolution(how, weight.shape.slice(2));
    const dx = adjoint
      ? this.convolution(dy, adjointKernel(this, weight, how.groups), undefined, adjoint)
      : this.transposedConvolution(dy, weight, undefined, how, like.shape);
    return sum ? this.add(dx, sum) : dx;
  }

  /** ConvTranspose of ONNX, to a result of `shape`; `how` is that of the convolution that it is the adjoint of. */
  transposedConvolution(
    x: Value,
    weight: Value,
    bias: Value | undefined,
    how: Convolution,
    shape: readonly number[],
  ): Value {
    const tiles = plainTiles(this, { x, weight, bias, how, space: shape.slice(2) });
    if (tiles) return tiles;
    // End pads below zero are rows beyond the last window, which the operator knows as output padding.
    const padsEnd = how.padsEnd.map((pad) => Math.max(0, pad));
    const extra = shape.slice(2).map((size, axis) => {
      const reach = (weight.shape[axis + 2] - 1) * how.dilations[axis] + 1;
      const back = (x.shape[axis + 2] - 1) * how.strides[axis] + reach - how.padsBegin[axis] - padsEnd[axis];
      return size - back;
    });
    const attributes = { ...convolutionAttributes({ ...how, padsEnd }, weight), output_padding: extra };
    return this.operator('ConvTranspose', [x, weight, bias], attributes);
  }

  /** The adjoint of `convolution` in its weight, of `shape` [O, I / groups, k…]. */
  convolutionWeightGradient(x: Value, dy: Value, shape: readonly number[], how: Convolution): Value {
    return plainWeightGradient(this, { x, dy, shape, how }) ?? this.#swappedConvolution(x, dy, shape, how);
  }

  /** The weight gradient as a convolution of x with dy: batch and channels, strides and dilations change places. */
  #swappedConvolution(x: Value, dy: Value, shape: readonly number[], how: Convolution): Value {
    const { groups } = how;
    const [out, perGroup, ...kernel] = shape;
    const [batch, , ...space] = x.shape;
    const rest = space.map((_, axis) => axis + 3);
    // [N, G·I, …] -> [I, G·N, …] and [N, O, …] -> [O, N, …]
    const byGroup = this.transpose(this.reshape(x, [batch, groups, perGroup, ...space]), [2, 1, 0, ...rest]);
    const image = this.reshape(byGroup, [perGroup, groups * batch, ...space]);
    const filter = this.transpose(dy, [1, 0, ...space.map((_, axis) => axis + 2)]);
    const swapped = { ...how, strides: how.dilations, dilations: how.strides };
    const full = this.operator('Conv', [image, filter], convolutionAttributes(swapped, filter));
    // Rows that the stride never reaches give taps beyond the kernel.
    const axes = kernel.map((_, axis) => axis + 2);
    const taps = this.slice(
      full,
      axes,
      axes.map(() => 0),
      kernel,
    );
    return this.reshape(this.transpose(taps, [1, 0, ...axes]), [out, perGroup, ...kernel]);
  }

  // --- resampling -------------------------------------------------------------------------------------------------

  maxPool(x: Value, window: Window): Value {
    return this.operator('MaxPool', [x], windowAttributes(window));
  }

  /** Repeats every element `factors` times along the spatial axes. */
  repeat(x: Value, factors: readonly number[]): Value {
    if (factors.every((factor) => factor === 1)) return x;
    const scales = this.floats([1, 1, ...factors]);
    const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
    return this.operator('Resize', [x, undefined, scales], attributes);
  }

  /** The gradient of a max pool whose windows do not overlap and cover the input: every maximum gets it. */
  tiledMaxPoolGradient(x: Value, y: Value, dy: Value, factors: readonly number[]): Value {
    const below = this.subtract(x, this.repeat(y, factors));
    const isMaximum = this.operator('HardSigmoid', [below], { alpha: LARGE, beta: 1 });
    return this.multiply(isMaximum, this.repeat(dy, factors));
  }
}

export function allAxes(a: Value): number[] {
  return a.shape.map((_, axis) => axis);
}

function axesBesideChannels(a: Value): number[] {
  return allAxes(a).filter((axis) => axis !== 1);
}

export function sizeOf(a: Value): number {
  return elementCount(a.shape);
}

function convolutionAttributes({ strides, dilations, padsBegin, padsEnd, groups }: Convolution, weight: Value) {
  return { kernel_shape: weight.shape.slice(2), strides, dilations, pads: [...padsBegin, ...padsEnd], group: groups };
}

function windowAttributes({ kernel, strides, dilations, padsBegin, padsEnd }: Window): Attributes {
  return { kernel_shape: kernel, strides, dilations, pads: [...padsBegin, ...padsEnd] };
}
