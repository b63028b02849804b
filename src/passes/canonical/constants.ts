import type { Bytes } from '../../ir/bytes.js';
import { staticShape } from '../../ir/dims.js';
import type { Graph, Node, Reader } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import { bitsOf, byteLength, isFloat, isInteger, type ValueType } from '../../ir/types.js';
import { permutation } from './moves.js';
import type { Rule } from './rule.js';

/** Shape arithmetic over sizes that are numbers: its result is that constant. A symbol anywhere in it keeps it. */
export const knownValues: Rule = {
  action: 'computed, as its operands are known',
  ops: 'any',
  apply({ graph }, node) {
    if (graph.known.size === 0 || !knownNodes(graph).has(node)) return undefined;
    const constants = new Map(
      node.outputs.flatMap((output) => {
        const known = graph.known.get(output);
        const { dtype } = graph.type(output);
        return known && dtype ? [[output, Tensor.encode(dtype, known.shape, known.elements as number[])]] : [];
      }),
    );
    return { replace: new Map([[node, []]]), constants };
  },
};

const knownNodesOf = new WeakMap<Graph, ReadonlySet<Node>>();

/**
 * Nodes that give out known numbers. A size that goes on into arithmetic with symbols whose result is read in several
 * places stays computed: there it follows by itself when its axis is thinned, and a number could not.
 */
function knownNodes(graph: Graph): ReadonlySet<Node> {
  const found = knownNodesOf.get(graph);
  if (found) return found;
  const fromConstants = new Set(graph.constants.keys());
  for (const { inputs, outputs } of graph.nodes)
    if (inputs.every((input) => input === '' || fromConstants.has(input)))
      for (const output of outputs) fromConstants.add(output);
  const known = new Set<Node>();
  for (const node of graph.nodes.toReversed()) {
    const outputs = node.outputs.filter((output) => output !== '');
    const mayBecomeNumber = (output: string) =>
      fromConstants.has(output) ||
      graph.readers(output).every((reader) => known.has(reader.node) || hasOneEnd(graph, reader));
    if (outputs.every((output) => isKnown(graph, output) && mayBecomeNumber(output))) known.add(node);
  }
  knownNodesOf.set(graph, known);
  return known;
}

/** Operators in arithmetic on shapes that give out elements of their first operand. */
const MOVES = ['Cast', 'Gather', 'Identity', 'Reshape', 'Slice', 'Squeeze', 'Unsqueeze'];

/** Whether the elements that a node reads end up in one operand of one node. */
function hasOneEnd(graph: Graph, reader: Reader): boolean {
  while (passesOn(reader)) {
    const [output] = reader.node.outputs;
    if (reader.index < 0 || !graph.hasOneReader(output)) return false;
    [reader] = graph.readers(output);
  }
  return reader.index >= 0;
}

function passesOn({ node, index }: Reader): boolean {
  return node.op === 'Concat' || (index === 0 && MOVES.includes(node.op));
}

function isKnown(graph: Graph, value: string): boolean {
  const known = graph.known.get(value);
  const { dtype } = graph.type(value);
  if (!known || dtype === null || graph.outputs.includes(value)) return false;
  // Beyond 2⁵³ a number does not say which integer it was.
  if (isInteger(dtype) || dtype === 'bool') return known.elements.every((element) => Number.isSafeInteger(element));
  return isFloat(dtype) && known.elements.every((element) => typeof element === 'number');
}

/** Transpose, Reshape and their like on a weight: the same bytes, seen in another order or shape. */
export const rearrangedConstants: Rule = {
  action: 'done on the weight itself',
  ops: ['Transpose', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'],
  apply(scope, node) {
    const { graph } = scope;
    const [output] = node.outputs;
    const shape = staticShape(graph.type(output).shape);
    const tensor = scope.constant(node.inputs[0]);
    if (!tensor || !shape || tensor.dtype === 'string' || bitsOf(tensor.dtype) < 8 || graph.outputs.includes(output))
      return undefined;
    const perm = permutation(node, tensor.shape.length) ?? [];
    const moved = node.op === 'Transpose' ? tensor.permute(perm) : tensor.reshape(shape);
    return { replace: new Map([[node, []]]), constants: new Map([[output, moved]]) };
  },
};

/** Cast of a weight from half to single precision: every half is a single. */
export const widenedConstants: Rule = {
  action: 'done on the weight itself',
  ops: ['Cast', 'CastLike'],
  apply(scope, node) {
    const [output] = node.outputs;
    const tensor = scope.constant(node.inputs[0]);
    if (!tensor || !isWidened(tensor, scope.graph.type(output)) || scope.graph.outputs.includes(output))
      return undefined;
    const widened = Tensor.over('f32', tensor.shape, widenedBytes(tensor));
    return { replace: new Map([[node, []]]), constants: new Map([[output, widened]]) };
  },
};

function isWidened({ dtype }: Tensor, to: ValueType): boolean {
  return (dtype === 'f16' || dtype === 'bf16') && to.dtype === 'f32';
}

/** Converted piece by piece as it is read, so that a large weight never stands in memory. */
function widenedBytes(tensor: Tensor): Bytes {
  const flat = tensor.reshape([tensor.size]);
  const width = byteLength('f32', 1);
  const read = (offset: number, length: number) => {
    const first = Math.floor(offset / width);
    const values = flat.rows(first, Math.ceil((offset + length) / width)).toFloat32();
    return new Uint8Array(values.buffer, values.byteOffset + offset - first * width, length);
  };
  return {
    length: byteLength('f32', tensor.size),
    read,
    readInto: (target, offset) => target.set(read(offset, target.length)),
  };
}
