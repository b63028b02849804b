import { cannotBake } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { type Graph, type Node, OPAQUE } from '../ir/graph.js';
import { copyNode } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import { elementCount, Tensor } from '../ir/tensor.js';
import type { Dim } from '../ir/types.js';

/** What becomes of an 8-bit pixel before the network reads it: (pixel · scale − mean) / std, one number or one a channel. */
export interface BakedInput {
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** How the output becomes class numbers, as `validate` reads it. */
export interface BakedOutput {
  readonly name: string;
  readonly kind: 'logit' | 'prob' | 'index';
  readonly threshold: number | null;
  /** The one channel that is the foreground; null: all channels, of which the largest is the class. */
  readonly channel: number | null;
}

/** ONNX's numbers of element types. */
const [FLOAT, UINT8] = [1, 2];

/** As many classes as `validate` tells apart. */
const MOST_CLASSES = 255;

/**
 * Puts into the graph what a program around it would do otherwise. This is the one rewrite that changes the interface:
 * with `input` the model takes an 8-bit image in place of prepared numbers, with `output` it answers with 8-bit class
 * numbers in place of scores. Names stay, and so do shapes, but for the channels of an output: always one, on the side
 * where the image has its own.
 *
 * Before: x f32 → … → logits; after: x u8 → Cast → Mul → Add → … → logits → Greater (one channel) or ArgMax → Cast → u8.
 *
 * @throws CompressError where the model does not take one image of 32-bit floats, or the output is no map of scores
 */
export function bake(
  graph: Graph,
  semantics: Semantics,
  { input, output }: { readonly input?: BakedInput; readonly output?: BakedOutput },
): Graph {
  if (input) requireImage(graph);
  if (output && (!graph.outputs.includes(output.name) || graph.inputs.includes(output.name)))
    throw cannotBake('post', `the model has no output '${output.name}' of its own`);
  const builder = new GraphBuilder(semantics, graph);
  builder.reserve(graph.types.keys());
  const renamed = new Map<string, string>();
  for (const name of graph.inputs)
    if (input) renamed.set(name, bakeInput(graph, builder, name, input));
    else builder.input(name, graph.type(name));
  for (const [name, tensor] of graph.constants) builder.constant(name, tensor);
  // The output's name goes to the class numbers, so the scores get another one.
  if (output) renamed.set(output.name, builder.fresh(`${output.name}_scores`));
  for (const node of graph.nodes) addRenamed(graph, builder, node, renamed);
  if (output) bakeOutput(graph, builder, output, renamed.get(output.name) ?? output.name);
  return builder.build(graph.outputs);
}

function requireImage(graph: Graph): void {
  const [name, ...others] = graph.inputs;
  if (others.length > 0)
    throw cannotBake('pre', `the model has ${graph.inputs.length} inputs, and an image goes into one`);
  const { shape, dtype } = graph.type(name);
  if (dtype !== 'f32')
    throw cannotBake('pre', `input '${name}' is of type ${dtype}, and numbers are prepared as 32-bit floats`);
  if (!shape || shape.length < 3)
    throw cannotBake('pre', `input '${name}' of shape [${shape?.join(', ')}] is no image`);
}

/** Adds a node with other names for some values. */
function addRenamed(graph: Graph, builder: GraphBuilder, node: Node, renamed: ReadonlyMap<string, string>): void {
  const captured = node.captures?.find((value) => renamed.has(value));
  if (captured !== undefined)
    throw cannotBake(
      graph.inputs.includes(captured) ? 'pre' : 'post',
      `the graph within node '${node.name}' reads '${captured}'`,
    );
  if (![...node.inputs, ...node.outputs].some((value) => renamed.has(value))) {
    copyNode(graph, node, builder);
    return;
  }
  const current = (value: string) => renamed.get(value) ?? value;
  builder.add(
    {
      ...node,
      inputs: node.inputs.map(current),
      outputs: node.outputs.map(current),
      // Of an operator without a definition only its file knows how it is written.
      origin: node.op === OPAQUE ? node.origin : undefined,
    },
    node.outputs.map((value) => graph.type(value)),
  );
}

/** @returns the value that the network reads in place of the input */
function bakeInput(graph: Graph, builder: GraphBuilder, name: string, { scale, mean, std }: BakedInput): string {
  const { shape } = graph.type(name);
  const rank = shape?.length ?? 0;
  const axis = channelAxisOfImage(shape ?? []);
  const channels = Math.max(mean.length, std.length, 1);
  const at = (list: readonly number[], channel: number, fallback: number) =>
    list[list.length === 1 ? 0 : channel] ?? fallback;
  const factors = Array.from({ length: channels }, (_, channel) => scale / at(std, channel, 1));
  const shifts = Array.from({ length: channels }, (_, channel) => -at(mean, channel, 0) / at(std, channel, 1));
  const perChannel = (values: number[]) => {
    const isOne = values.every((value) => value === values[0]);
    const along = Array.from({ length: rank - 1 }, (_, i) => (i === axis - 1 ? channels : 1));
    return Tensor.floats(isOne ? [values[0]] : values, isOne ? [] : along);
  };
  const image = builder.input(name, { dtype: 'u8', shape });
  const pixels = builder.apply('Cast', [image], { to: FLOAT }, `${name}_pixels`);
  const factor = builder.constant(builder.fresh(`${name}_factor`), perChannel(factors));
  const scaled = builder.apply('Mul', [pixels, factor], {}, `${name}_scaled`);
  if (shifts.every((shift) => shift === 0)) return scaled;
  const shift = builder.constant(builder.fresh(`${name}_shift`), perChannel(shifts));
  return builder.apply('Add', [scaled, shift], {}, `${name}_prepared`);
}

/** A map of scores, or of class numbers, with an axis for its channels. */
interface ScoreMap {
  readonly value: string;
  readonly axis: number;
  readonly channels: number;
}

function bakeOutput(graph: Graph, builder: GraphBuilder, output: BakedOutput, scores: string): void {
  const map = scoreMap(graph, builder, output.name, scores);
  requireChannels(output, map);
  const classes = classNumbers(builder, output, map);
  builder.add({
    op: 'Cast',
    name: `${output.name}.classes`,
    inputs: [classes],
    outputs: [output.name],
    attributes: { to: UINT8 },
  });
}

/** The output with its channels on an axis of their own, which is added where there is none. */
function scoreMap(graph: Graph, builder: GraphBuilder, name: string, scores: string): ScoreMap {
  const { shape } = graph.type(name);
  const image = graph.inputs.map((input) => graph.type(input).shape ?? []).find(({ length }) => length > 2);
  const axis = shape && image && channelAxisOfMap(shape, image);
  if (!shape || !image || axis === undefined)
    throw cannotBake(
      'post',
      `output '${name}' of shape [${shape?.join(', ')}] is no map of scores for the pixels of an image`,
    );
  if (axis === null) {
    const added = channelAxisOfImage(image) === 1 ? 1 : shape.length;
    const axes = builder.constant(builder.fresh(`${name}_axes`), Tensor.integers([added]));
    return { value: builder.apply('Unsqueeze', [scores, axes], {}, `${name}_map`), axis: added, channels: 1 };
  }
  const channels = shape[axis];
  if (typeof channels !== 'number')
    throw cannotBake('post', `how many channels output '${name}' of shape [${shape.join(', ')}] has is left open`);
  return { value: scores, axis, channels };
}

function requireChannels({ name, kind, channel }: BakedOutput, { channels }: ScoreMap): void {
  const has = `output '${name}' has ${channels} channel${channels === 1 ? '' : 's'}`;
  if (channel !== null && channel >= channels)
    throw cannotBake('post', `${has}, and channel ${channel}, counted from 0, is named`);
  if (kind === 'index' && channels !== 1) throw cannotBake('post', `${has}, and class numbers have one`);
  if (channel === null && channels > MOST_CLASSES)
    throw cannotBake('post', `${has}, and at most ${MOST_CLASSES} classes are told apart`);
}

function classNumbers(
  builder: GraphBuilder,
  { name, kind, threshold, channel }: BakedOutput,
  { value, axis, channels }: ScoreMap,
): string {
  const { dtype } = builder.type(value);
  // A cast to whole numbers cuts fractions off.
  if (kind === 'index') return dtype === 'f32' ? builder.apply('Round', [value], {}, `${name}_nearest`) : value;
  const scores = dtype === 'f32' ? value : builder.apply('Cast', [value], { to: FLOAT }, `${name}_floats`);
  if (channels > 1 && channel === null)
    return builder.apply('ArgMax', [scores], { axis, keepdims: 1 }, `${name}_class`);
  const chosen = channels === 1 ? scores : oneChannel(builder, name, scores, axis, channel ?? 0);
  const level = largestSingleUpTo(threshold ?? (kind === 'prob' ? 0.5 : 0));
  const constant = builder.constant(builder.fresh(`${name}_threshold`), Tensor.floats([level], []));
  return builder.apply('Greater', [chosen, constant], {}, `${name}_foreground`);
}

function oneChannel(builder: GraphBuilder, name: string, scores: string, axis: number, channel: number): string {
  const index = builder.constant(builder.fresh(`${name}_channel`), Tensor.integers([channel]));
  return builder.apply('Gather', [scores, index], { axis }, `${name}_score`);
}

/** A single is above a number where it is above this one. */
function largestSingleUpTo(number: number): number {
  const single = Float32Array.of(number);
  const bits = new Int32Array(single.buffer);
  if (single[0] > number) bits[0] += single[0] > 0 ? -1 : 1;
  return single[0];
}

/** Channels come first unless the last axis looks like channels (at most 4) and the first after the batch does not. */
function channelAxisOfImage(shape: readonly Dim[]): number {
  const isFew = (size: Dim) => typeof size === 'number' && size <= 4;
  return isFew(shape[shape.length - 1]) && !isFew(shape[1]) ? shape.length - 1 : 1;
}

/**
 * Where an output has its channels: beside the spatial sizes of the image, or, at another resolution, as an image has
 * them. Null for a map without channels, undefined for what is no map.
 */
function channelAxisOfMap(shape: readonly Dim[], image: readonly Dim[]): number | null | undefined {
  const ofImage = channelAxisOfImage(image);
  const spatial = image.filter((_, axis) => axis > 0 && axis !== ofImage);
  const sizes = shape.slice(1);
  const isSpatial = (some: readonly Dim[]) => some.length === spatial.length && some.every((s, i) => s === spatial[i]);
  if (isSpatial(sizes)) return null;
  if (isSpatial(sizes.slice(1))) return 1;
  if (isSpatial(sizes.slice(0, -1))) return sizes.length;
  const isFlat = spatial.length > 1 && sizes.includes(elementCount(spatial.map(Number)));
  if (sizes.length === spatial.length) return isFlat ? undefined : null;
  return sizes.length === spatial.length + 1 ? channelAxisOfImage(shape) : undefined;
}
