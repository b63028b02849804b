import type { Layer } from '../../analysis/layers.js';
import type { Graph, Node } from '../../ir/graph.js';
import { resolveAttributes } from '../../ops/attributes.js';
import { operators } from '../../ops/index.js';
import { affineOf } from '../folding/affine.js';
import { concatenatedChannels } from '../folding/passing.js';
import { groupsOf, type ZeroSlices } from './zero-slices.js';

/** What each channel (axis 1) of a value is at every place of every image; not a number where that varies. */
export type ChannelConstants = ReadonlyMap<string, Float64Array>;

/** Follows channels that are the same for all inputs forward through the graph. */
export function constantChannels(graph: Graph, layers: ReadonlyMap<Node, { layer: Layer; zero: ZeroSlices }>) {
  const found = new Map<string, Float64Array>();
  for (const node of graph.nodes) {
    const output = node.outputs[0];
    const channels = channelsOf(graph, output);
    if (channels === undefined) continue;
    const entry = layers.get(node);
    const computed = entry
      ? ofLayer(graph, entry.layer, entry.zero, found)
      : (RULES[node.op] ?? zeroPreserving)({ graph, found, channels }, node);
    const constants = computed?.map((value) => (Number.isFinite(value) ? value : Number.NaN));
    if (constants?.length === channels && constants.some((value) => !Number.isNaN(value))) found.set(output, constants);
  }
  return found;
}

interface Scope {
  readonly graph: Graph;
  readonly found: ChannelConstants;
  /** Of the node's output. */
  readonly channels: number;
}

type ConstantRule = (scope: Scope, node: Node) => Float64Array | undefined;

function channelsOf(graph: Graph, value: string): number | undefined {
  const channels = graph.type(value).shape?.[1];
  return typeof channels === 'number' ? channels : undefined;
}

/** An output channel without weights is its bias; a depthwise one follows a constant input where no border is padded. */
function ofLayer(graph: Graph, layer: Layer, { made }: ZeroSlices, found: ChannelConstants): Float64Array | undefined {
  const { node, weight } = layer;
  const input = groupsOf(node) === channelsOf(graph, node.inputs[0]) ? found.get(node.inputs[0]) : undefined;
  if (layer.channels.axis !== 1 || (!input && !made.includes(1))) return undefined;
  const bias = biasOf(graph, node, made.length);
  if (!bias) return undefined;
  if (node.op !== 'Conv' || !input) return bias.map((value, o) => (made[o] ? value : Number.NaN));
  const spreads = isUnpadded(graph, node);
  return bias.map((value, o) => {
    const constant = input[Math.floor((o * input.length) / made.length)];
    if (made[o] || constant === 0) return value;
    if (!spreads || Number.isNaN(constant)) return Number.NaN;
    const taps = weight.tensor.rows(o, o + 1).toFloat64();
    return value + constant * taps.reduce((sum, tap) => sum + tap, 0);
  });
}

/** A layer's bias for each output channel, zeros where it has none; undefined where it is computed or scaled. */
export function biasOf(graph: Graph, { op, inputs, attributes }: Node, channels: number): Float64Array | undefined {
  const name = (op === 'MatMul' ? '' : inputs[2]) ?? '';
  if (name === '') return new Float64Array(channels);
  const bias = graph.constants.get(name);
  if (!bias || (attributes.beta ?? 1) !== 1 || bias.shape.length > 1) return undefined;
  const values = bias.toFloat64();
  return values.length === channels ? values : new Float64Array(channels).fill(values[0]);
}

/** Whether each output of a convolution sums over all taps. */
export function isUnpadded(graph: Graph, { inputs, attributes: { pads = [], auto_pad = 'NOTSET' } }: Node): boolean {
  if (auto_pad === 'SAME_UPPER' || auto_pad === 'SAME_LOWER')
    return (
      graph
        .type(inputs[1])
        .shape?.slice(2)
        .every((size) => size === 1) ?? false
    );
  return auto_pad === 'VALID' || (pads as readonly number[]).every((pad) => pad === 0);
}

/** y = f(x). */
const curve =
  (f: (x: number, attributes: Readonly<Record<string, number>>) => number): ConstantRule =>
  ({ found }, node) => {
    const attributes = resolveAttributes(operators.get(node.op)?.attributes ?? {}, node.attributes);
    return found.get(node.inputs[0])?.map((x) => f(x, attributes as Readonly<Record<string, number>>));
  };

const unchanged = curve((x) => x);

/** f(0) = 0 of any other operator that works element by element. */
const zeroPreserving: ConstantRule = ({ found }, node) => {
  const facts = operators.get(node.op)?.facts ?? [];
  if (!facts.includes('elementwise') || !facts.includes('zero-preserving')) return undefined;
  return onlyZeros(found.get(node.inputs[0]));
};

function onlyZeros(constants: Float64Array | undefined): Float64Array | undefined {
  return constants?.map((x) => (x === 0 ? 0 : Number.NaN));
}

/** Of two operands; one of a single channel counts for all. */
const elementwise =
  (f: (a: number, b: number) => number): ConstantRule =>
  (scope, node) => {
    const affine = affineOf(scope.graph, node);
    if (affine) return ofAffine(scope, affine);
    const [a, b] = node.inputs.map((input) => operand(scope, node, input));
    return a && b && Float64Array.from({ length: scope.channels }, (_, c) => f(a(c), b(c)));
  };

function operand({ graph, found, channels }: Scope, node: Node, input: string): ((c: number) => number) | undefined {
  const rank = graph.type(node.outputs[0]).shape?.length;
  const constants = found.get(input);
  const own = channelsOf(graph, input);
  if (graph.type(input).shape?.length !== rank || (own !== channels && own !== 1)) return undefined;
  return (c) => constants?.[own === 1 ? 0 : c] ?? Number.NaN;
}

/** s·x + t, whatever x is where s = 0. */
function ofAffine({ found }: Scope, affine: { input: string; scale: Float64Array; shift: Float64Array }) {
  const input = found.get(affine.input);
  return affine.shift.map((shift, c) =>
    affine.scale[c] === 0 ? shift : affine.scale[c] * (input?.[c] ?? Number.NaN) + shift,
  );
}

const batchNormalization: ConstantRule = (scope, node) => {
  const [input, gamma] = node.inputs;
  if (!scope.found.has(input) && !scope.graph.constants.get(gamma)?.toFloat32().includes(0)) return undefined;
  const affine = affineOf(scope.graph, node);
  return affine && ofAffine(scope, affine);
};

/** A channel of zeros has mean and deviation 0; then, as where γ = 0, only β is left. */
const instanceNormalization: ConstantRule = ({ graph, found }, node) => {
  const [gamma, beta] = node.inputs.slice(1).map((name) => graph.constants.get(name)?.toFloat64());
  const input = found.get(node.inputs[0]);
  return gamma && beta?.map((shift, c) => (gamma[c] === 0 || input?.[c] === 0 ? shift : Number.NaN));
};

const clip: ConstantRule = ({ graph, found }, { inputs: [data, low = '', high = ''] }) => {
  const bound = (name: string, none: number) => (name === '' ? none : graph.constants.get(name)?.toFloat64()[0]);
  const [least, most] = [bound(low, Number.NEGATIVE_INFINITY), bound(high, Number.POSITIVE_INFINITY)];
  if (least === undefined || most === undefined) return undefined;
  return found.get(data)?.map((x) => Math.min(most, Math.max(least, x)));
};

const concat: ConstantRule = ({ graph, found }, node) => {
  const counts = concatenatedChannels(graph, node);
  return (
    counts &&
    Float64Array.from(
      node.inputs.flatMap((input, i) => [...(found.get(input) ?? new Float64Array(counts[i]).fill(Number.NaN))]),
    )
  );
};

/** Means and interpolations whose weights sum to 1; of others only zeros stay zeros. */
const mean: ConstantRule = (scope, node) =>
  node.attributes.count_include_pad ? onlyZeros(scope.found.get(node.inputs[0])) : unchanged(scope, node);

const resize: ConstantRule = (scope, node) => {
  const { mode, coordinate_transformation_mode: transformation } = node.attributes;
  if (transformation === 'tf_crop_and_resize') return undefined;
  return mode === 'cubic' ? onlyZeros(scope.found.get(node.inputs[0])) : unchanged(scope, node);
};

/** Padding along other axes than the channels, with what is there already. */
const pad: ConstantRule = ({ graph, found }, node) => {
  const [data, pads, value = '', axes = ''] = node.inputs;
  const rank = graph.type(data).shape?.length ?? 0;
  const elements = graph.known.get(pads)?.elements ?? graph.constants.get(pads)?.toFloat64();
  const keepsChannels = axes === '' && elements?.[1] === 0 && elements[1 + rank] === 0;
  if (!keepsChannels) return undefined;
  const { mode = 'constant' } = node.attributes;
  const filler = value === '' ? 0 : graph.constants.get(value)?.toFloat64()[0];
  return found.get(data)?.map((x) => (mode !== 'constant' || x === filler ? x : Number.NaN));
};

const RULES: Readonly<Record<string, ConstantRule>> = {
  Add: elementwise((a, b) => a + b),
  Sub: elementwise((a, b) => a - b),
  Mul: elementwise((a, b) => (a === 0 || b === 0 ? 0 : a * b)),
  Div: elementwise((a, b) => a / b),
  BatchNormalization: batchNormalization,
  InstanceNormalization: instanceNormalization,
  Identity: unchanged,
  Dropout: unchanged,
  Relu: curve((x) => Math.max(0, x)),
  LeakyRelu: curve((x, { alpha }) => (x < 0 ? alpha * x : x)),
  Elu: curve((x, { alpha }) => (x < 0 ? alpha * Math.expm1(x) : x)),
  Sigmoid: curve((x) => 1 / (1 + Math.exp(-x))),
  HardSigmoid: curve((x, { alpha, beta }) => Math.min(1, Math.max(0, alpha * x + beta))),
  HardSwish: curve((x) => x * Math.min(1, Math.max(0, x / 6 + 0.5))),
  Tanh: curve(Math.tanh),
  Softplus: curve((x) => Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x)))),
  Clip: clip,
  MaxPool: unchanged,
  AveragePool: mean,
  GlobalMaxPool: unchanged,
  GlobalAveragePool: unchanged,
  Resize: resize,
  Pad: pad,
  Concat: concat,
};
