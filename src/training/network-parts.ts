import { type Graph, type Node, OPAQUE } from '../ir/graph.js';

/** Operators by which one image is made of another with weights; MatMul and Gemm count as their 1x1 form. */
const LAYERS = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

/** Elementwise non-linearities that networks put behind layers. */
const ACTIVATIONS = new Set([
  'Relu',
  'LeakyRelu',
  'PRelu',
  'Elu',
  'Selu',
  'Celu',
  'ThresholdedRelu',
  'Sigmoid',
  'HardSigmoid',
  'HardSwish',
  'Gelu',
  'Tanh',
  'Softplus',
  'Softsign',
  'Mish',
  'Clip',
]);

const NORMALIZATIONS = new Set([
  'BatchNormalization',
  'InstanceNormalization',
  'GroupNormalization',
  'LayerNormalization',
]);

export function isConvolution(node: Node): boolean {
  return node.op === 'Conv' || node.op === 'ConvTranspose';
}

export function isLayer(node: Node): boolean {
  return LAYERS.has(node.op);
}

export function isNormalization(node: Node): boolean {
  return NORMALIZATIONS.has(node.op);
}

/** A known activation, or x · f(x) with a known one f, as exporters write SiLU. */
export function isActivation(graph: Graph, node: Node): boolean {
  return ACTIVATIONS.has(node.op) || gatedValue(graph, node) !== undefined;
}

/** The x of x · f(x); undefined for any other node. */
function gatedValue(graph: Graph, { op, inputs }: Node): string | undefined {
  if (op !== 'Mul') return undefined;
  return inputs.find((value, i) => {
    const gate = graph.producer(inputs[1 - i]);
    return gate !== undefined && ACTIVATIONS.has(gate.op) && gate.inputs[0] === value;
  });
}

/** Nodes whose result is a size, not an image: what they read does not reach an output as values. */
export function readsSizeOnly({ op }: Node): boolean {
  return op === 'Shape' || op === 'Size';
}

/**
 * The last layers: those from which an output of the graph can be reached without another layer between. A network
 * with deep supervision, or with several outputs, has several.
 */
export function headsOf(graph: Graph): ReadonlySet<Node> {
  const heads = new Set<Node>();
  const values = new Set(graph.outputs);
  // Values that are added on the way are walked over too.
  for (const value of values) {
    const node = graph.producer(value);
    if (!node || readsSizeOnly(node)) continue;
    if (isLayer(node)) heads.add(node);
    else for (const input of dataOf(node)) values.add(input);
  }
  return heads;
}

/** What a node reads, captures of nested graphs included. */
export function dataOf(node: Node): readonly string[] {
  const inputs = node.inputs.filter((input) => input !== '');
  return node.op === OPAQUE ? [...inputs, ...(node.captures ?? [])] : inputs;
}

/** Whether an image has been averaged to one position, as in squeeze-and-excitation. */
export function isSinglePosition(graph: Graph, value: string): boolean {
  return (
    graph
      .type(value)
      .shape?.slice(2)
      .every((dim) => dim === 1) ?? false
  );
}
