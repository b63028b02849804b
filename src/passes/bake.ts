import { cannotBake } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph } from '../ir/graph.js';
import { copyNode } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import { Tensor } from '../ir/tensor.js';

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

/**
 * Puts into the graph what a program around it would do otherwise. This is the one rewrite that changes the interface:
 * with `input` the model takes an 8-bit image in place of prepared numbers, with `output` it answers with 8-bit class
 * numbers in place of scores. Names and shapes stay, but for the channels of an output, of which one is left.
 *
 * Before: x f32 → … → logits; after: x u8 → Cast → Mul → Add → … → logits → Greater (one channel) or ArgMax → Cast → u8.
 *
 * @throws CompressError where the model has several inputs or the output is no map of scores
 */
export function bake(
  graph: Graph,
  semantics: Semantics,
  { input, output }: { readonly input?: BakedInput; readonly output?: BakedOutput },
): Graph {
  const builder = new GraphBuilder(semantics, graph);
  builder.reserve(graph.types.keys());
  const renamed = new Map<string, string>();
  for (const name of graph.inputs) {
    const type = graph.type(name);
    if (!input) builder.input(name, type);
    else renamed.set(name, bakeInput(graph, builder, name, input));
  }
  for (const [name, tensor] of graph.constants) builder.constant(name, tensor);
  // The output's name goes to the class numbers, so the scores get another one.
  if (output && graph.outputs.includes(output.name)) renamed.set(output.name, builder.fresh(`${output.name}_scores`));
  const current = (value: string) => renamed.get(value) ?? value;
  for (const node of graph.nodes) {
    const touched = [...node.inputs, ...node.outputs].some((value) => renamed.has(value));
    const { origin: _, ...plain } = node;
    const replaced = { ...plain, inputs: node.inputs.map(current), outputs: node.outputs.map(current) };
    if (touched)
      builder.add(
        replaced,
        node.outputs.map((value) => graph.type(value)),
      );
    else copyNode(graph, node, builder);
  }
  if (output) bakeOutput(graph, builder, output, current(output.name));
  return builder.build(graph.outputs);
}

/** @returns the value that the network reads in place of the input */
function bakeInput(graph: Graph, builder: GraphBuilder, name: string, { scale, mean, std }: BakedInput): string {
  const { shape, dtype } = graph.type(name);
  if (graph.inputs.length !== 1 || !shape || shape.length < 3 || dtype !== 'f32')
    throw cannotBake('pre', `input '${name}' must be the only one, and an image of floating-point numbers`);
  const axis = channelAxis(shape);
  const channels = Math.max(mean.length, std.length, 1);
  const at = (list: readonly number[], channel: number, fallback: number) =>
    list[list.length === 1 ? 0 : channel] ?? fallback;
  const factors = Array.from({ length: channels }, (_, channel) => scale / at(std, channel, 1));
  const shifts = Array.from({ length: channels }, (_, channel) => -at(mean, channel, 0) / at(std, channel, 1));
  const perChannel = (values: number[]) => {
    const isOne = values.every((value) => value === values[0]);
    return Tensor.floats(
      isOne ? [values[0]] : values,
      isOne ? [] : shape.slice(1).map((_, i) => (i === axis - 1 ? channels : 1)),
    );
  };
  const image = builder.input(name, { dtype: 'u8', shape });
  const pixels = builder.apply('Cast', [image], { to: FLOAT }, `${name}_pixels`);
  const factor = builder.constant(builder.fresh(`${name}_factor`), perChannel(factors));
  const scaled = builder.apply('Mul', [pixels, factor], {}, `${name}_scaled`);
  if (shifts.every((shift) => shift === 0)) return scaled;
  const shift = builder.constant(builder.fresh(`${name}_shift`), perChannel(shifts));
  return builder.apply('Add', [scaled, shift], {}, `${name}_prepared`);
}

function bakeOutput(graph: Graph, builder: GraphBuilder, output: BakedOutput, scores: string): void {
  const { shape } = graph.type(output.name);
  if (!shape || shape.length < 3 || !graph.outputs.includes(output.name) || graph.inputs.includes(output.name))
    throw cannotBake('post', `output '${output.name}' is no map of scores`);
  const classes = classNumbers(builder, output, scores, shape);
  builder.add({
    op: 'Cast',
    name: `${output.name}.classes`,
    inputs: [classes],
    outputs: [output.name],
    attributes: { to: UINT8 },
  });
}

function classNumbers(
  builder: GraphBuilder,
  { name, kind, threshold, channel }: BakedOutput,
  scores: string,
  shape: readonly (number | string)[],
): string {
  if (kind === 'index') return scores;
  const axis = channelAxis(shape);
  if (shape[axis] !== 1 && channel === null)
    return builder.apply('ArgMax', [scores], { axis, keepdims: 1 }, `${name}_class`);
  const level = builder.constant(
    builder.fresh(`${name}_threshold`),
    Tensor.floats([threshold ?? (kind === 'prob' ? 0.5 : 0)], []),
  );
  const chosen = shape[axis] === 1 ? scores : oneChannel(builder, name, scores, axis, channel ?? 0);
  return builder.apply('Greater', [chosen, level], {}, `${name}_foreground`);
}

function oneChannel(builder: GraphBuilder, name: string, scores: string, axis: number, channel: number): string {
  const index = builder.constant(builder.fresh(`${name}_channel`), Tensor.integers([channel]));
  return builder.apply('Gather', [scores, index], { axis }, `${name}_score`);
}

/** Channels come first unless the last axis looks like channels (at most 4) and the first after the batch does not. */
function channelAxis(shape: readonly (number | string)[]): number {
  const last = shape[shape.length - 1];
  const isFew = (size: number | string) => typeof size === 'number' && size <= 4;
  return isFew(last) && !isFew(shape[1]) ? shape.length - 1 : 1;
}
