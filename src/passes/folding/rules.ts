import type { Graph, Node } from '../../ir/graph.js';
import type { Edit } from '../../ir/rewrite.js';
import { Tensor } from '../../ir/tensor.js';
import { operators } from '../../ops/index.js';
import type { OpFact } from '../../ops/op.js';
import type { Affine } from './affine.js';
import { type FoldedLayer, foldIntoInput, foldIntoOutput, isFoldable } from './linear.js';

/**
 * The folding rules (algorithms, C). Each looks at one affine node y = s·x + t and returns the edit that moves it, or
 * undefined. Every rule is exact: the network's outputs stay equal within float rounding.
 */
export interface FoldEdit extends Edit {
  /** What was done, for the report. */
  readonly action: string;
}

export type FoldRule = (graph: Graph, affine: Affine) => FoldEdit | undefined;

/** s·(W·x + b) + t = (s·W)·x + (s·b + t). */
const intoPrecedingLayer: FoldRule = (graph, affine) => {
  const layer = graph.producer(affine.input);
  if (!isFoldable(graph, layer) || !graph.hasOneReader(affine.input)) return undefined;
  if (channelAxisDiffers(graph, layer)) return undefined;
  const folded = foldIntoOutput(graph, layer, affine.scale, affine.shift);
  if (overflows(folded)) return undefined;
  const { node, constants } = withLayer(graph, layer, folded, { outputs: [affine.output] });
  return {
    replace: new Map([
      [layer, []],
      [affine.node, [node]],
    ]),
    constants,
    action: `folded into '${layer.name}'`,
  };
};

/** W·(s·x + t) + b = (W·s)·x + (b + Σ W·t), where every tap sees the input: no zero padding. */
const intoFollowingLayers: FoldRule = (graph, affine) => {
  const readers = graph.readers(affine.output);
  if (readers.length === 0 || graph.outputs.includes(affine.output)) return undefined;
  if (!readers.every(({ node, index }) => index === 0 && isFoldable(graph, node) && seesEveryTap(graph, node)))
    return undefined;
  const inserted = readers.map(({ node }) => {
    const folded = foldIntoInput(graph, node, affine.scale, affine.shift);
    return { ...withLayer(graph, node, folded, { input: affine.input }), folded, old: node };
  });
  if (inserted.some(({ folded }) => overflows(folded))) return undefined;
  return mergeLayers(affine, inserted, `folded into '${inserted.map(({ old }) => old.name).join("', '")}'`);
};

/** s·f(x) + t with f(s·x) = s·f(x) for s > 0: the scale goes back through the activation into the layer, t stays. */
const scaleBackThroughActivation: FoldRule = (graph, affine) => {
  const activation = graph.producer(affine.input);
  if (!activation || !hasFact(activation, 'positively-homogeneous') || !graph.hasOneReader(affine.input))
    return undefined;
  const layer = graph.producer(activation.inputs[0]);
  if (!isFoldable(graph, layer) || !graph.hasOneReader(activation.inputs[0]) || channelAxisDiffers(graph, layer))
    return undefined;
  if (affine.scale.some((value) => !(value > 0)) || isOnes(affine.scale)) return undefined;
  const folded = foldIntoOutput(graph, layer, affine.scale, new Float64Array(affine.scale.length));
  if (overflows(folded)) return undefined;
  const { node, constants } = withLayer(graph, layer, folded, {});
  const shift = addShift(graph, affine, affine.input, affine.output, constants);
  return {
    replace: new Map([
      [layer, [node]],
      [affine.node, [shift]],
    ]),
    constants,
    action: `scale folded into '${layer.name}' through ${activation.op}, shift kept as Add`,
  };
};

/**
 * W·pad0(s·x + t) + b = (W·s)·pad0'(x + t/s) …: with zero padding the border sees 0, not t, so only the scale goes
 * forward and one Add of t/s stays before the convolution.
 */
const scaleForwardIntoPaddedLayers: FoldRule = (graph, affine) => {
  if (isOnes(affine.scale) || affine.scale.some((value) => value === 0)) return undefined;
  const readers = graph.readers(affine.output);
  if (readers.length === 0 || graph.outputs.includes(affine.output)) return undefined;
  if (!readers.every(({ node, index }) => index === 0 && isFoldable(graph, node))) return undefined;
  const none = new Float64Array(affine.scale.length);
  const inserted = readers.map(({ node }) => {
    const folded = foldIntoInput(graph, node, affine.scale, none);
    return { ...withLayer(graph, node, folded, {}), folded, old: node };
  });
  if (inserted.some(({ folded }) => overflows(folded))) return undefined;
  const names = inserted.map(({ old }) => old.name).join("', '");
  const edit = mergeLayers(
    affine,
    inserted,
    `scale folded into '${names}', shift kept as Add: its zero padding must stay 0`,
  );
  const constants = new Map(edit.constants);
  const unscaled = { ...affine, shift: affine.shift.map((value, c) => value / affine.scale[c]) };
  const shift = addShift(graph, unscaled, affine.input, affine.output, constants);
  return { ...edit, replace: new Map([...edit.replace, [affine.node, [shift]]]), constants };
};

/** max(s·x + t) = s·max(x) + t for s > 0: the affine goes before the pool, where a layer can take it. */
const backThroughMaxPool: FoldRule = (graph, affine) => {
  const pool = graph.producer(affine.input);
  if (pool?.op !== 'MaxPool' || pool.outputs.length > 1 || !graph.hasOneReader(affine.input)) return undefined;
  const layer = graph.producer(pool.inputs[0]);
  if (!isFoldable(graph, layer) || !graph.hasOneReader(pool.inputs[0])) return undefined;
  if (affine.scale.some((value) => !(value > 0))) return undefined;
  const folded = foldIntoOutput(graph, layer, affine.scale, affine.shift);
  if (overflows(folded)) return undefined;
  const { node, constants } = withLayer(graph, layer, folded, {});
  const moved = { ...pool, outputs: [affine.output], origin: undefined };
  return {
    replace: new Map([
      [layer, [node]],
      [pool, [moved]],
      [affine.node, []],
    ]),
    constants,
    action: `folded into '${layer.name}' before MaxPool`,
  };
};

/** An affine of a concatenation is the concatenation of affines: split onto branches that layers can take in whole. */
const acrossConcat: FoldRule = (graph, affine) => {
  const concat = graph.producer(affine.input);
  if (concat?.op !== 'Concat' || concat.attributes.axis !== 1 || !graph.hasOneReader(affine.input)) return undefined;
  if (new Set(concat.inputs).size !== concat.inputs.length) return undefined;
  const constants = new Map<string, Tensor>();
  const moved = { ...concat, outputs: [affine.output], origin: undefined };
  const replace = new Map<Node, readonly Node[]>([
    [concat, [moved]],
    [affine.node, []],
  ]);
  let first = 0;
  for (const branch of concat.inputs) {
    const layer = graph.producer(branch);
    const channels = graph.type(branch).shape?.[1];
    if (typeof channels !== 'number' || !isFoldable(graph, layer) || !graph.hasOneReader(branch)) return undefined;
    const range = [first, first + channels] as const;
    const folded = foldIntoOutput(graph, layer, affine.scale.slice(...range), affine.shift.slice(...range));
    if (overflows(folded)) return undefined;
    const replaced = withLayer(graph, layer, folded, {});
    for (const [name, tensor] of replaced.constants) constants.set(name, tensor);
    replace.set(layer, [replaced.node]);
    first += channels;
  }
  return { replace, constants, action: 'split onto the branches of the Concat and folded there' };
};

/**
 * A pure shift moves forward through what keeps constants (a pool without zero padding, interpolation, whose weights
 * sum to 1, and Concat) as long as every reader at the end is a layer without zero padding that takes it into its bias.
 */
const shiftForward: FoldRule = (graph, affine) => {
  if (!isOnes(affine.scale) || graph.outputs.includes(affine.output)) return undefined;
  const absorbed = absorbShift(graph, affine.output, affine.shift, new Map());
  if (!absorbed || absorbed.size === 0) return undefined;
  const constants = new Map<string, Tensor>();
  const replace = new Map<Node, readonly Node[]>([[affine.node, []]]);
  for (const [node, shift] of absorbed) {
    const inputs = node.inputs.map((input) => (input === affine.output ? affine.input : input));
    if (!shift) {
      replace.set(node, [{ ...node, inputs, origin: undefined }]);
      continue;
    }
    const folded = foldIntoInput(graph, node, new Float64Array(shift.length).fill(1), shift);
    if (overflows(folded)) return undefined;
    const replaced = withLayer(graph, node, folded, { input: inputs[0] });
    for (const [name, tensor] of replaced.constants) constants.set(name, tensor);
    replace.set(node, [replaced.node]);
  }
  const names = [...absorbed].flatMap(([node, shift]) => (shift ? [node.name] : []));
  return { replace, constants, action: `shift folded forward into '${names.join("', '")}'` };
};

export const FOLD_RULES: readonly FoldRule[] = [
  intoPrecedingLayer,
  backThroughMaxPool,
  acrossConcat,
  intoFollowingLayers,
  scaleBackThroughActivation,
  shiftForward,
];

/** Tried when nothing else applies: it trades a BatchNormalization for an Add. */
export const LAST_RULES: readonly FoldRule[] = [scaleForwardIntoPaddedLayers];

/**
 * The nodes that a shift of `value` passes (without a shift of their own) and the layers that take it in, by node; or
 * undefined where some reader cannot.
 */
function absorbShift(
  graph: Graph,
  value: string,
  shift: Float64Array,
  found: Map<Node, Float64Array | null>,
): Map<Node, Float64Array | null> | undefined {
  const readers = graph.readers(value);
  if (readers.length === 0 || graph.outputs.includes(value)) return undefined;
  for (const { node, index } of readers) {
    if (found.has(node)) return undefined;
    if (index === 0 && isFoldable(graph, node) && seesEveryTap(graph, node)) {
      found.set(node, shift);
      continue;
    }
    const carried = carriedShift(graph, node, index, shift);
    if (!carried) return undefined;
    found.set(node, null);
    if (!absorbShift(graph, node.outputs[0], carried, found)) return undefined;
  }
  return found;
}

/** The shift of a node's output that a shift of its input causes, for nodes that keep constants; else undefined. */
function carriedShift(graph: Graph, node: Node, index: number, shift: Float64Array): Float64Array | undefined {
  if (node.op === 'MaxPool' && node.outputs.length === 1) return shift;
  if (node.op === 'Resize' && index === 0 && keepsConstants(node)) return shift;
  if (node.op !== 'Concat' || node.attributes.axis !== 1) return undefined;
  const channels = graph.type(node.outputs[0]).shape?.[1];
  const before = node.inputs.slice(0, index).map((input) => graph.type(input).shape?.[1]);
  if (typeof channels !== 'number' || !before.every((dim) => typeof dim === 'number')) return undefined;
  const whole = new Float64Array(channels);
  whole.set(
    shift,
    before.reduce<number>((sum, dim) => sum + Number(dim), 0),
  );
  return whole;
}

function keepsConstants(resize: Node): boolean {
  const { mode = 'nearest', coordinate_transformation_mode = 'half_pixel' } = resize.attributes;
  return mode !== 'cubic' && coordinate_transformation_mode !== 'tf_crop_and_resize';
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

/** Gemm's channel axis is its last; a BatchNormalization on it (rank 2) agrees, anything else is left. */
function channelAxisDiffers(graph: Graph, layer: Node): boolean {
  return layer.op === 'Gemm' && graph.type(layer.outputs[0]).shape?.length !== 2;
}

function hasFact(node: Node, fact: OpFact): boolean {
  return operators.get(node.op)?.facts?.includes(fact) ?? false;
}

function isOnes(scale: Float64Array): boolean {
  return scale.every((value) => value === 1);
}

/** Whether storing the folded numbers in the layer's own type made one infinite (half precision). */
function overflows({ weight, bias }: FoldedLayer): boolean {
  const finite = (tensor: Tensor) => (tensor.toNumbers() as Float32Array).every(Number.isFinite);
  return !finite(weight) || !finite(bias);
}

/** The layer with the folded numbers, and these as constants of its own: others may share the old ones. */
function withLayer(
  graph: Graph,
  layer: Node,
  folded: FoldedLayer,
  change: { input?: string; outputs?: readonly string[] },
): { node: Node; constants: Map<string, Tensor> } {
  const weightName = `${layer.inputs[1]}${SUFFIX}`;
  const biasName = layer.inputs[2] ? `${layer.inputs[2]}${SUFFIX}` : `${layer.inputs[1]}.bias`;
  const names = [weightName, biasName].map((name) => freshName(graph, name, layer));
  const constants = new Map([
    [names[0], folded.weight],
    [names[1], folded.bias],
  ]);
  const inputs = [change.input ?? layer.inputs[0], ...names];
  const node = { ...layer, inputs, outputs: change.outputs ?? layer.outputs, origin: undefined };
  return { node, constants };
}

const SUFFIX = '.folded';

/** Folding twice into one layer must not stack suffixes or collide with a layer that shares the weight. */
function freshName(graph: Graph, name: string, layer: Node): string {
  const base = name.replace(new RegExp(`(\\${SUFFIX})+$`), SUFFIX);
  return graph.types.has(base) ? `${base}@${layer.outputs[0]}` : base;
}

function addShift(graph: Graph, affine: Affine, input: string, output: string, constants: Map<string, Tensor>): Node {
  const type = graph.type(input);
  const rank = type.shape?.length ?? 0;
  const shape = [affine.shift.length, ...Array<number>(Math.max(0, rank - 2)).fill(1)];
  const name = `${output}.shift`;
  constants.set(name, Tensor.encode(type.dtype ?? 'f32', shape, affine.shift));
  return { op: 'Add', name: affine.node.name, inputs: [input, name], outputs: [output], attributes: {} };
}

function mergeLayers(
  affine: Affine,
  layers: readonly { node: Node; constants: Map<string, Tensor>; old: Node }[],
  action: string,
): FoldEdit {
  const constants = new Map(layers.flatMap((layer) => [...layer.constants]));
  const replace = new Map<Node, readonly Node[]>([[affine.node, []]]);
  for (const { node, old } of layers) replace.set(old, [node]);
  return { replace, constants, action };
}
