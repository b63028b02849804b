import type { Graph, Node } from '../ir/graph.js';
import { withConstants } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import { elementCount, Tensor } from '../ir/tensor.js';
import { createRandom, type Random } from '../math/random.js';
import { parametersOf } from './parameters.js';

/**
 * The graph with random weights: kernels as He et al. 2015 (equation 10) draw them for rectifiers, uniform with a
 * variance of 2 / fan-in, biases 0, normalizations at scale 1 with unit statistics. The same seed gives the same weights.
 */
export function randomWeights(graph: Graph, semantics: Semantics, seed: number): Graph {
  const random = createRandom(seed);
  const layout = parametersOf(graph);
  const constants = new Map<string, Tensor>();
  const arithmetic = beforeFirstKernel(graph);
  for (const { name, shape } of layout.parameters) {
    const [{ node, index }] = graph.readers(name);
    if (arithmetic.has(node)) continue;
    constants.set(name, initial(node, index, shape, random));
  }
  for (const { mean, variance, channels } of layout.statistics) {
    constants.set(mean, filled([channels], 0));
    constants.set(variance, filled([channels], 1));
  }
  return withConstants(graph, semantics, constants);
}

/** What scales and shifts the image was chosen, not learnt. */
function beforeFirstKernel(graph: Graph): ReadonlySet<Node> {
  const isKernel = ({ op }: Node) => op === 'Conv' || op === 'ConvTranspose' || op === 'Gemm' || op === 'MatMul';
  const behind = new Set<string>();
  const before = new Set<Node>();
  for (const node of graph.nodes) {
    if (isKernel(node) || node.inputs.some((input) => behind.has(input)))
      for (const output of node.outputs) behind.add(output);
    else before.add(node);
  }
  return before;
}

const NORMALIZATIONS = /Normalization$/;

function initial(node: Node, index: number, shape: readonly number[], random: Random): Tensor {
  const isScale = index === 1 && NORMALIZATIONS.test(node.op);
  if (isScale || node.op === 'Mul') return filled(shape, 1);
  if (node.op === 'PRelu') return filled(shape, 0.25);
  const fanIn = fanInOf(node, index, shape);
  if (fanIn === undefined) return filled(shape, 0);
  const bound = Math.sqrt(6 / fanIn);
  return Tensor.floats(
    Float32Array.from({ length: elementCount(shape) }, () => bound * (2 * random.next() - 1)),
    shape,
  );
}

/** How many inputs an output of the kernel sums; undefined for what is no kernel. */
function fanInOf({ op, attributes }: Node, index: number, shape: readonly number[]): number | undefined {
  switch (op) {
    case 'Conv':
      return index === 1 ? elementCount(shape.slice(1)) : undefined;
    case 'ConvTranspose': {
      const strides = (attributes.strides as readonly number[] | undefined) ?? [];
      // Each output position meets one in `strides` of the taps.
      const taps = elementCount(shape.slice(2)) / elementCount(strides);
      const perGroup = shape[0] / Number(attributes.group ?? 1);
      return index === 1 ? Math.max(1, perGroup * taps) : undefined;
    }
    case 'Gemm':
      return index === 1 ? shape[attributes.transB ? 1 : 0] : undefined;
    case 'MatMul':
      return index === 1 ? shape.at(-2) : shape.at(-1);
    default:
      return undefined;
  }
}

function filled(shape: readonly number[], value: number): Tensor {
  return Tensor.floats(new Float32Array(elementCount(shape)).fill(value), shape);
}
