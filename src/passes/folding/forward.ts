import type { Graph, Node } from '../../ir/graph.js';
import { type ChannelAffine, isZeroShift } from './affine.js';
import { foldIntoInput, isFoldable } from './linear.js';
import { concatenatedChannels, refusal } from './passing.js';
import { type FoldScope, nothingTaken, type Taken, takeLayer } from './scope.js';

/**
 * Moves an affine of `value` forward into all layers that read it, through what it commutes with, concatenations and
 * sums. All that read `value` itself read `input` then. Returns the reason where that is not exact.
 */
export function takeForward(scope: FoldScope, value: string, affine: ChannelAffine, input = value): Taken | string {
  const { graph } = scope;
  const taken = nothingTaken();
  const reached = new Map([[value, affine]]);
  const isReached = (operand: string) => reached.has(operand);
  for (const node of graph.nodes) {
    if (!node.inputs.some(isReached) && !node.captures?.some(isReached)) continue;
    const stop = isFoldable(graph, node)
      ? intoLayer(scope, taken, node, reached, value, input)
      : onward(graph, taken, node, reached, value, input);
    if (stop) return stop;
  }
  const output = graph.outputs.find((name) => reached.has(name));
  if (output !== undefined) return `'${output}' is an output of the model`;
  return taken.layers.length > 0 ? taken : `no layer reads '${value}'`;
}

type Reached = Map<string, ChannelAffine>;

function intoLayer(scope: FoldScope, taken: Taken, node: Node, reached: Reached, value: string, input: string) {
  const affine = reached.get(node.inputs[0]);
  const name = `${node.op} '${node.name}'`;
  if (!affine || node.inputs.slice(1).some((operand) => reached.has(operand))) return `${name} reads it as a weight`;
  if (!isZeroShift(affine.shift) && !seesEveryTap(scope.graph, node))
    return node.op === 'Conv' ? `the zero padding of ${name} must stay 0` : `${name} does not spread a shift evenly`;
  const folded = foldIntoInput(scope.graph, node, affine);
  if (!folded) return `the weights of ${name} would overflow`;
  takeLayer(scope, taken, node, folded, { input: node.inputs[0] === value ? input : node.inputs[0] });
  return undefined;
}

function onward(graph: Graph, taken: Taken, node: Node, reached: Reached, value: string, input: string) {
  const inputs = node.inputs.map((operand) => (operand === value ? input : operand));
  taken.replace.set(node, [node.inputs.includes(value) ? { ...node, inputs, origin: undefined } : node]);
  // The numbers change, their count does not.
  if (node.op === 'Shape') return undefined;
  const carried = carry(graph, node, reached);
  if (typeof carried === 'string') return carried;
  reached.set(node.outputs[0], carried);
  taken.through.add(node.op);
  return undefined;
}

/** The affine of a node's output that follows from those of its inputs; the reason where none does. */
function carry(graph: Graph, node: Node, reached: Reached): ChannelAffine | string {
  const channels = concatenatedChannels(graph, node);
  if (channels) return joined(channels.map((count, i) => reached.get(node.inputs[i]) ?? identity(count)));
  if (node.op === 'Add') return sum(graph, node, reached);
  const [first, ...others] = node.inputs;
  const affine = reached.get(first);
  const touchesOthers = [...others, ...(node.captures ?? [])].some((operand) => reached.has(operand));
  if (!affine || touchesOthers) return `${node.op} '${node.name}' does not let it pass`;
  return refusal(graph, node, affine) ?? affine;
}

/** (s·a + t) + (s·b + u) = s·(a + b) + (t + u), where both have the shape of the sum and the same scale. */
function sum(graph: Graph, node: Node, reached: Reached): ChannelAffine | string {
  const shape = graph.type(node.outputs[0]).shape;
  const channels = shape?.[1];
  const alike = node.inputs.every((operand) => graph.type(operand).shape?.join() === shape?.join());
  if (typeof channels !== 'number' || !alike) return `Add '${node.name}' does not let it pass`;
  const [a, b] = node.inputs.map((operand) => reached.get(operand) ?? identity(channels));
  if (a.scale.some((value, c) => value !== b.scale[c])) return `Add '${node.name}' lets no scale of one side pass`;
  return { scale: a.scale, shift: a.shift.map((value, c) => value + b.shift[c]) };
}

function identity(channels: number): ChannelAffine {
  return { scale: new Float64Array(channels).fill(1), shift: new Float64Array(channels) };
}

function joined(parts: readonly ChannelAffine[]): ChannelAffine {
  return {
    scale: Float64Array.from(parts.flatMap(({ scale }) => [...scale])),
    shift: Float64Array.from(parts.flatMap(({ shift }) => [...shift])),
  };
}

/** Whether each output of the layer sums over the same full set of taps: no padding, and no transposed stride. */
function seesEveryTap(graph: Graph, node: Node): boolean {
  if (node.op === 'Gemm') return true;
  if (node.op === 'ConvTranspose') return false;
  const { pads = [], auto_pad = 'NOTSET' } = node.attributes;
  const kernel = graph.type(node.inputs[1]).shape?.slice(2) ?? [];
  const unpadded = (pads as readonly number[]).every((pad) => pad === 0);
  const same = auto_pad === 'SAME_UPPER' || auto_pad === 'SAME_LOWER';
  return unpadded && (!same || kernel.every((size) => size === 1));
}
