import { GraphBuilder } from '../../ir/builder.js';
import type { Graph } from '../../ir/graph.js';
import type { Semantics } from '../../ir/semantics.js';
import { Tensor } from '../../ir/tensor.js';
import { createRandom } from '../../math/random.js';
import { replay } from '../differentiate.js';
import type { Kernels } from '../kernels.js';

/** Rounding differs by about 1e-5; a wrong layout by about 1. */
const TOLERANCE = 1e-3;

const BATCH = 4;
const SIZE = 6;

/**
 * Forward and backward pass of a tiny separable U-Net with seeded weights, whose operators are all that blocked kernels
 * replace, in the kernels of each of `makers`. No inputs; the outputs are, kernels by kernels, the result and the
 * gradients of all weights.
 */
export function selfCheckGraph(semantics: Semantics, makers: readonly ((builder: GraphBuilder) => Kernels)[]): Graph {
  const net = tinyNet(semantics);
  const builder = new GraphBuilder(semantics, { name: 'kernel-check' });
  return builder.build(makers.flatMap((create) => namesOfResults(net, create(builder))));
}

function namesOfResults(net: Graph, kernels: Kernels): string[] {
  const random = createRandom(2);
  const variables = [...net.constants].filter(([, tensor]) => tensor.dtype === 'f32').map(([name]) => name);
  const normal = (shape: readonly number[]) => kernels.tensor(normals(random, shape));
  const given = new Map(variables.map((name) => [name, kernels.tensor(net.constants.get(name) as Tensor)]));
  for (const name of net.inputs) given.set(name, normal(net.type(name).shape as number[]));
  const means = new Map(variables.filter((name) => name.endsWith('/mean')).map((name) => [name, given.get(name)!]));
  const tape = replay(net, kernels, given, { runningMeans: means });
  const [result] = net.outputs;
  const y = tape.values.get(result)!;
  const gradients = tape.backward(new Map([[result, normal(y.shape)]]), variables);
  return [y, ...gradients.values()].map((value) => kernels.nameOf(value));
}

/** Whether the two halves of the check's outputs are the same numbers up to rounding. */
export function halvesAgree(outputs: readonly Tensor[]): boolean {
  const count = outputs.length / 2;
  return outputs.slice(0, count).every((tensor, i) => {
    const [a, b] = [tensor.toFloat64(), outputs[count + i].toFloat64()];
    const scale = Math.max(...a.map(Math.abs), 1e-3);
    return a.length === b.length && a.every((value, k) => Math.abs(value - b[k]) <= TOLERANCE * scale);
  });
}

/** A separable U-Net of two levels with smooth activations, so that no decision hangs on rounding. */
export function tinyNet(semantics: Semantics): Graph {
  const builder = new GraphBuilder(semantics, { name: 'tiny' });
  const random = createRandom(1);
  builder.input('image', { dtype: 'f32', shape: [BATCH, 1, SIZE, SIZE] });
  const weight = (name: string, shape: readonly number[]) => builder.constant(name, normals(random, shape));
  const filled = (name: string, count: number, value: number) =>
    builder.constant(name, Tensor.floats(new Float32Array(count).fill(value)));
  const convolution = (x: string, name: string, shape: readonly number[], group = 1) => {
    const pads = shape.slice(2).flatMap((size) => [size >> 1, size >> 1]);
    return builder.apply('Conv', [x, weight(`${name}/weight`, shape)], { pads, group }, name);
  };
  const normalized = (x: string, name: string, count: number) => {
    const parameters = [
      filled(`${name}/scale`, count, 1),
      filled(`${name}/bias`, count, 0.1),
      filled(`${name}/mean`, count, 0),
      filled(`${name}/variance`, count, 1),
    ];
    return builder.apply('Tanh', [builder.apply('BatchNormalization', [x, ...parameters], {}, name)]);
  };
  const first = normalized(convolution('image', 'first', [8, 1, 3, 3]), 'first/norm', 8);
  const pooled = builder.apply('MaxPool', [first], { kernel_shape: [2, 2], strides: [2, 2] });
  const separable = convolution(convolution(pooled, 'depthwise', [8, 1, 3, 3], 8), 'pointwise', [16, 8, 1, 1]);
  const deep = normalized(separable, 'deep/norm', 16);
  const inputs = [deep, weight('up/weight', [16, 8, 2, 2]), weight('up/bias', [8])];
  const up = builder.apply('ConvTranspose', inputs, { strides: [2, 2] }, 'up');
  const joined = builder.apply('Concat', [first, up], { axis: 1 });
  const merged = normalized(convolution(joined, 'merge', [8, 16, 3, 3]), 'merge/norm', 8);
  return builder.build([convolution(merged, 'head', [1, 8, 1, 1])]);
}

/** Normally distributed numbers, scaled by the fan-in as weights are. */
function normals(random: { normal(): number }, shape: readonly number[]): Tensor {
  const [, ...rest] = shape;
  const size = shape.reduce((product, extent) => product * extent, 1);
  const fan = rest.reduce((product, extent) => product * extent, 1);
  const scale = rest.length === 3 ? 1 / Math.sqrt(fan) : 1;
  return Tensor.floats(
    Float32Array.from({ length: size }, () => scale * random.normal()),
    shape,
  );
}
