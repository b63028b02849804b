import { badInputShape } from '../errors.js';
import type { Graph, Node } from '../ir/graph.js';
import { rewrite } from '../ir/rewrite.js';
import { isFloat, type ValueType } from '../ir/types.js';
import { resolveAttributes } from '../ops/attributes.js';
import { operators, semantics } from '../ops/index.js';
import { tieCall } from './channels.js';

/** Size of a spatial dimension that the model leaves open and the user does not state. */
const DEFAULT_SIZE = 256;

interface NodeCost {
  readonly node: Node;
  readonly parameters: number;
  readonly macs: number;
}

export interface Cost {
  /** Stored values of floating-point constants and of quantized weights. */
  readonly parameters: number;
  /** Bytes of those values as they are stored. */
  readonly parameterBytes: number;
  /** Multiply–accumulates of one run; null where a shape is not known. */
  readonly macs: number | null;
  readonly nodes: readonly NodeCost[];
}

/** Counts of a graph whose dimensions are bound (see `bindShapes`); symbolic ones make `macs` null. */
export function costOf(graph: Graph): Cost {
  const nodes = graph.nodes.map((node) => ({ node, parameters: parametersOf(graph, node), macs: macsOf(graph, node) }));
  const weights = [...graph.constants.values()].filter((tensor) => isFloat(tensor.dtype));
  const quantized = [...graph.constants].filter(([name]) => isQuantizedWeight(graph, name)).map(([, tensor]) => tensor);
  const counted = [...weights, ...quantized];
  return {
    parameters: counted.reduce((sum, tensor) => sum + tensor.size, 0),
    parameterBytes: counted.reduce((sum, tensor) => sum + tensor.byteLength, 0),
    macs: nodes.some(({ macs }) => Number.isNaN(macs)) ? null : nodes.reduce((sum, { macs }) => sum + macs, 0),
    nodes,
  };
}

function isQuantizedWeight(graph: Graph, name: string): boolean {
  if (isFloat(graph.type(name).dtype)) return false;
  return graph.readers(name).some(({ node, index }) => node.op === 'DequantizeLinear' && index === 0);
}

function parametersOf(graph: Graph, node: Node): number {
  return node.inputs.reduce((sum, input) => {
    const tensor = graph.constants.get(input);
    return sum + (tensor && isFloat(tensor.dtype) ? tensor.size : 0);
  }, 0);
}

function macsOf(graph: Graph, node: Node): number {
  const definition = operators.get(node.op);
  if (!definition?.macs) return 0;
  const types = node.outputs.map((output) => graph.type(output));
  const call = { ...tieCall(graph, node, () => true), attributes: node.attributes, outputCount: types.length };
  const operandsKnown = call.inputs.every(
    (operand) => operand?.type.shape?.every((dim) => typeof dim === 'number') ?? true,
  );
  const known = operandsKnown && types[0].shape?.every((dim) => typeof dim === 'number');
  return known ? definition.macs(call, types, resolveAttributes(definition.attributes, node.attributes)) : Number.NaN;
}

/**
 * The graph with its interface's symbolic dimensions set to numbers, for counting and for formats with fixed shapes:
 * passes never see it. `shapes` gives an input's whole shape; else batch dimensions become 1 and other open ones
 * `openSize`, or stay open where that is null.
 */
export function bindShapes(
  graph: Graph,
  shapes: ReadonlyMap<string, readonly number[]> = new Map(),
  openSize: number | null = DEFAULT_SIZE,
): Graph {
  for (const name of shapes.keys())
    if (!graph.inputs.includes(name)) throw badInputShape(`the model has no input '${name}'`, graph.inputs);
  const types = new Map(graph.types);
  for (const input of graph.inputs) types.set(input, bindInput(input, graph.type(input), shapes.get(input), openSize));
  return rewrite(graph.with({ types }), semantics, () => false);
}

function bindInput(
  name: string,
  type: ValueType,
  given: readonly number[] | undefined,
  openSize: number | null,
): ValueType {
  if (!given)
    return {
      ...type,
      shape:
        type.shape?.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : (openSize ?? dim))) ?? null,
    };
  const fits =
    type.shape === null ||
    (type.shape.length === given.length && type.shape.every((dim, i) => typeof dim !== 'number' || dim === given[i]));
  if (!fits) throw badInputShape(`input '${name}' has shape [${type.shape}], which [${given}] does not fit`);
  return { ...type, shape: given };
}
