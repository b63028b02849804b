import { GraphBuilder } from '../../src/ir/builder.js';
import type { Attributes, Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { Dim } from '../../src/ir/types.js';
import { createRandom, type Random } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';

export interface LayerOptions {
  readonly kernel?: number;
  readonly stride?: number;
  /** Zero padding on every side; by default what keeps the size at stride 1. */
  readonly padding?: number;
  readonly group?: number;
  readonly bias?: boolean;
  readonly outputPadding?: number;
  /** Name of a weight that another layer has too. */
  readonly weight?: string;
}

/** Writes small networks with seeded weights in the terms that people draw them in. */
export class Net {
  readonly builder: GraphBuilder;
  private readonly random: Random;
  private readonly names = new Map<string, number>();

  constructor(name: string, seed = 1) {
    this.builder = new GraphBuilder(semantics, { name });
    this.random = createRandom(seed);
  }

  input(shape: readonly Dim[], name = 'x'): string {
    return this.builder.input(name, { dtype: 'f32', shape });
  }

  build(...outputs: string[]): Graph {
    return this.builder.build(outputs);
  }

  shape(x: string): readonly Dim[] {
    return this.builder.type(x).shape ?? [];
  }

  channels(x: string): number {
    return Number(this.shape(x)[1]);
  }

  /** A name that has not been given yet. */
  name(base: string): string {
    const count = (this.names.get(base) ?? 0) + 1;
    this.names.set(base, count);
    return `${base}${count}`;
  }

  op(op: string, inputs: readonly string[], attributes: Attributes = {}, name = this.name(op.toLowerCase())): string {
    return this.builder.add({ op, name, inputs, outputs: [name], attributes })[0];
  }

  constant(name: string, tensor: Tensor): string {
    return this.builder.has(name) ? name : this.builder.constant(name, tensor);
  }

  integers(values: readonly number[], name = this.name('integers')): string {
    return this.constant(name, Tensor.integers(values));
  }

  normals(name: string, shape: readonly number[], deviation = 1, mean = 0): string {
    const size = shape.reduce((product, extent) => product * extent, 1);
    const values = Float32Array.from({ length: size }, () => mean + deviation * this.random.normal());
    return this.constant(name, Tensor.from(shape, values));
  }

  /** Between 0.5 and 2; every third one negative if asked for. */
  scales(name: string, count: number, sign: 'positive' | 'mixed' = 'positive'): string {
    const value = (i: number) => (sign === 'mixed' && i % 3 === 1 ? -1 : 1) * (0.5 + 1.5 * this.random.next());
    return this.constant(name, Tensor.floats(Array.from({ length: count }, (_, i) => value(i))));
  }

  conv(x: string, out: number, options: LayerOptions = {}): string {
    const { kernel = 3, stride = 1, padding = (kernel - 1) / 2, group = 1, bias = false } = options;
    const name = this.name('conv');
    const rank = this.shape(x).length - 2;
    const into = this.channels(x) / group;
    const shape = [out, into, ...Array<number>(rank).fill(kernel)];
    const weight = this.normals(options.weight ?? `${name}.weight`, shape, 1 / Math.sqrt(into * kernel ** rank));
    const attributes = {
      pads: Array<number>(2 * rank).fill(padding),
      ...(stride === 1 ? {} : { strides: Array<number>(rank).fill(stride) }),
      ...(group === 1 ? {} : { group }),
    };
    const inputs = bias ? [x, weight, this.normals(`${name}.bias`, [out])] : [x, weight];
    return this.op('Conv', inputs, attributes, name);
  }

  /** By default 2 to the power of the rank, at stride 2, as U-Nets have it. */
  up(x: string, out: number, options: LayerOptions = {}): string {
    const { kernel = 2, stride = 2, padding = 0, outputPadding = 0, group = 1, bias = true } = options;
    const name = this.name('up');
    const rank = this.shape(x).length - 2;
    const shape = [this.channels(x), out / group, ...Array<number>(rank).fill(kernel)];
    const weight = this.normals(`${name}.weight`, shape, 1 / Math.sqrt(this.channels(x) / group));
    const attributes = {
      strides: Array<number>(rank).fill(stride),
      pads: Array<number>(2 * rank).fill(padding),
      ...(outputPadding ? { output_padding: Array<number>(rank).fill(outputPadding) } : {}),
      ...(group === 1 ? {} : { group }),
    };
    const inputs = bias ? [x, weight, this.normals(`${name}.bias`, [out])] : [x, weight];
    return this.op('ConvTranspose', inputs, attributes, name);
  }

  /** A BatchNormalization whose statistics are far from 0 and 1. */
  bn(x: string, sign: 'positive' | 'mixed' = 'mixed'): string {
    const name = this.name('bn');
    const count = this.channels(x);
    const inputs = [
      x,
      this.scales(`${name}.weight`, count, sign),
      this.normals(`${name}.bias`, [count], 1, 0.5),
      this.normals(`${name}.running_mean`, [count], 2, -1),
      this.scales(`${name}.running_var`, count),
    ];
    return this.op('BatchNormalization', inputs, { epsilon: 1e-3 }, name);
  }

  instanceNorm(x: string): string {
    const name = this.name('in');
    const count = this.channels(x);
    const inputs = [x, this.scales(`${name}.weight`, count, 'mixed'), this.normals(`${name}.bias`, [count])];
    return this.op('InstanceNormalization', inputs, {}, name);
  }

  relu(x: string): string {
    return this.op('Relu', [x]);
  }

  sigmoid(x: string): string {
    return this.op('Sigmoid', [x]);
  }

  maxPool(x: string): string {
    const rank = this.shape(x).length - 2;
    const twice = Array<number>(rank).fill(2);
    return this.op('MaxPool', [x], { kernel_shape: twice, strides: twice });
  }

  concat(...values: string[]): string {
    return this.op('Concat', values, { axis: 1 });
  }

  add(a: string, b: string): string {
    return this.op('Add', [a, b]);
  }

  /** One number a channel that broadcasts over spatial axes. */
  perChannel(x: string, base: string, deviation = 1, mean = 0): string {
    const ones = Array<number>(this.shape(x).length - 2).fill(1);
    return this.normals(this.name(base), [this.channels(x), ...ones], deviation, mean);
  }

  /** Conv → BatchNormalization → ReLU. */
  block(x: string, out: number, options: LayerOptions = {}): string {
    return this.relu(this.bn(this.conv(x, out, options)));
  }

  /** Resize by 2 with constant scales. */
  scaleUp(x: string, mode: 'nearest' | 'linear' = 'nearest'): string {
    const scales = [1, 1, ...Array<number>(this.shape(x).length - 2).fill(2)];
    const attributes: Attributes =
      mode === 'nearest' ? { mode, coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' } : { mode };
    return this.op('Resize', [x, '', this.constant(this.name('scales'), Tensor.floats(scales))], attributes);
  }

  /** Resize to the spatial size of another value, computed as PyTorch exports it: Shape → Slice → Concat. */
  resizeLike(x: string, like: string, mode: 'nearest' | 'linear' = 'nearest'): string {
    const first = this.slice(this.op('Shape', [x]), 0, 2, 0);
    const last = this.slice(this.op('Shape', [like]), 2, this.shape(like).length, 0);
    const sizes = this.op('Concat', [first, last], { axis: 0 });
    const attributes = { mode, coordinate_transformation_mode: mode === 'nearest' ? 'asymmetric' : 'half_pixel' };
    return this.op('Resize', [x, '', '', sizes], attributes);
  }

  slice(x: string, start: number, end: number, axis: number, step = 1): string {
    const operands = [[start], [end], [axis], [step]].map((values) => this.integers(values));
    return this.op('Slice', [x, ...operands]);
  }

  /** The size of one axis as a vector of one number. */
  sizeOf(x: string, axis: number): string {
    return this.op('Gather', [this.op('Shape', [x]), this.integers([axis])], { axis: 0 });
  }

  linear(x: string, out: number): string {
    const name = this.name('linear');
    const into = this.channels(x);
    const inputs = [
      x,
      this.normals(`${name}.weight`, [out, into], 1 / Math.sqrt(into)),
      this.normals(`${name}.bias`, [out]),
    ];
    return this.op('Gemm', inputs, { transB: 1 }, name);
  }
}
