import type { Graph, Node } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';

/** Where a trained constant lies in the packed vectors of the step. */
interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

/** Where the running statistics of a batch normalization lie: the means first, then as many variances. */
interface StatisticsPlace {
  readonly node: string;
  readonly mean: string;
  readonly variance: string;
  readonly offset: number;
  readonly channels: number;
}

export interface ParameterLayout {
  /** Kernels first: weight decay shrinks the first `decayed` elements only (algorithms: not on norms and biases). */
  readonly parameters: readonly Parameter[];
  readonly size: number;
  readonly decayed: number;
  readonly statistics: readonly StatisticsPlace[];
  /** Channels over all normalizations. */
  readonly channels: number;
}

/** Operands that hold what a network has learnt, by operator; the first of each is a kernel. */
const LEARNT: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Gemm: [1, 2],
  MatMul: [0, 1],
  BatchNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  GroupNormalization: [1, 2],
  LayerNormalization: [1, 2],
  PRelu: [1],
  Add: [0, 1],
  Mul: [0, 1],
};

/** Operators whose learnt operands are kernels, which weight decay may shrink; biases have one axis. */
const KERNELS = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

/** The constants of a graph that training changes, and their places in the packed vectors. */
export function parametersOf(graph: Graph): ParameterLayout {
  const decays = new Map<string, boolean>();
  for (const node of graph.nodes)
    for (const [name, isKernel] of learntBy(graph, node)) decays.set(name, (decays.get(name) ?? true) && isKernel);
  const ordered = [...decays.keys()].sort((a, b) => Number(decays.get(b)) - Number(decays.get(a)));
  let size = 0;
  const parameters = ordered.map((name): Parameter => {
    const { shape, size: count } = graph.constants.get(name) as Tensor;
    size += count;
    return { name, shape, offset: size - count, size: count };
  });
  const decayed = parameters.filter(({ name }) => decays.get(name)).reduce((sum, parameter) => sum + parameter.size, 0);
  return { parameters, size, decayed, ...statisticsOf(graph) };
}

function learntBy(graph: Graph, node: Node): [name: string, isKernel: boolean][] {
  return (LEARNT[node.op] ?? []).flatMap((index): [string, boolean][] => {
    const name = node.inputs[index];
    const tensor = name ? graph.constants.get(name) : undefined;
    // A single number is part of a formula (0.5 in a Gelu, 255 in a scaling), not something learnt.
    if (tensor?.dtype !== 'f32' || (tensor.size === 1 && (node.op === 'Add' || node.op === 'Mul'))) return [];
    return [[name, KERNELS.has(node.op) && tensor.shape.length > 1]];
  });
}

function statisticsOf(graph: Graph): Pick<ParameterLayout, 'statistics' | 'channels'> {
  let channels = 0;
  const statistics = graph.nodes.flatMap((node): StatisticsPlace[] => {
    const [, , , mean, variance] = node.inputs;
    const tensor = graph.constants.get(mean);
    if (node.op !== 'BatchNormalization' || !tensor || !graph.constants.has(variance)) return [];
    channels += tensor.size;
    return [{ node: node.name, mean, variance, offset: channels - tensor.size, channels: tensor.size }];
  });
  return { statistics, channels };
}

/** The packed parameters and running statistics of a graph. */
export function pack(graph: Graph, layout: ParameterLayout): { parameters: Float32Array; statistics: Float32Array } {
  const parameters = new Float32Array(layout.size);
  for (const { name, offset } of layout.parameters) parameters.set(constant(graph, name), offset);
  const statistics = new Float32Array(2 * layout.channels);
  for (const { mean, variance, offset } of layout.statistics) {
    statistics.set(constant(graph, mean), offset);
    statistics.set(constant(graph, variance), layout.channels + offset);
  }
  return { parameters, statistics };
}

/** The constants that packed vectors stand for, by name. */
export function unpack(layout: ParameterLayout, parameters: Float32Array, statistics: Float32Array) {
  const constants = new Map<string, Tensor>();
  for (const { name, shape, offset, size } of layout.parameters)
    constants.set(name, Tensor.from(shape, parameters.slice(offset, offset + size)));
  for (const { mean, variance, offset, channels } of layout.statistics) {
    constants.set(mean, Tensor.from([channels], statistics.slice(offset, offset + channels)));
    const at = layout.channels + offset;
    constants.set(variance, Tensor.from([channels], statistics.slice(at, at + channels)));
  }
  return constants;
}

function constant(graph: Graph, name: string): Float32Array {
  return (graph.constants.get(name) as Tensor).toFloat32();
}
