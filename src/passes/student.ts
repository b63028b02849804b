import { bindShapes } from '../analysis/cost.js';
import { noStudent } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph } from '../ir/graph.js';
import { copyNode } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import { randomWeights } from '../training/random-start.js';
import type { Pass, PassContext } from './pass.js';
import { addFlatUnet, addHead, type FlatUnetShape } from './student/flat-unet.js';
import { interfaceOf, type NetworkInterface } from './student/interface.js';

/** The thin networks of Vaze, Xie and Namburete 2020, six levels deep: 288,513 and 43,242 parameters for one channel. */
const PRESETS = {
  'paper-flat32': { levels: 6, width: 32, isSeparable: false },
  'paper-flat32-separable': { levels: 6, width: 32, isSeparable: true },
} as const satisfies Record<string, FlatUnetShape>;

export interface StudentOptions {
  readonly preset: keyof typeof PRESETS;
}

/**
 * Replaces the network by a new one of a preset shape, to be distilled.
 *
 * Before: any network from one image to maps of its size. After: a flat U-Net with the same input and outputs and random
 * weights. Names, types and metadata stay; so do the scaling of the image in front of the first layer, and the sigmoid
 * or softmax behind the last. Inner values have names that the original does not have.
 */
export const student: Pass<StudentOptions> = {
  name: 'student',
  summary: 'replaces the network by a new one of a preset shape, to be distilled',
  keeps: 'approximate',
  run(graph, { preset }, context) {
    const shape = PRESETS[preset];
    const outline = interfaceOf(graph);
    const bound = withSizes(graph, outline, shape, context);
    checkSizes(outline, shape, bound);
    warnOfOpenSizes(graph, outline, shape, context);
    const channels = new Map(outline.scores.map((scores) => [scores, sizeOf(bound, scores)[1]]));
    const replaced = newNetwork(graph, outline, { shape, channels, semantics: context.semantics });
    context.note({ layer: 'all layers', action: `replaced by ${preset}`, ...shape });
    return randomWeights(replaced, context.semantics, context.seed);
  },
};

/** The original at the size of the training images, or at one that fits where there are none. */
function withSizes(graph: Graph, { image }: NetworkInterface, shape: FlatUnetShape, { teaching }: PassContext): Graph {
  const [input] = graph.inputs;
  const { dtype, shape: dims } = graph.type(input);
  if (!dims || dims.length < 3 || graph.type(image).dtype !== 'f32')
    throw noStudent(
      `input '${input}' (${dtype} [${dims ?? '?'}]) gives its first layer no float32 [batch, channels, space…]`,
    );
  if (teaching) return bindShapes(graph, new Map([[input, [1, ...teaching.material.images.shape]]]));
  const fitting = dims.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : multipleOf(shape)));
  return bindShapes(graph, new Map([[input, fitting]]));
}

function multipleOf({ levels }: FlatUnetShape): number {
  return 2 ** levels;
}

function sizeOf(bound: Graph, value: string): readonly number[] {
  return (bound.type(value).shape ?? []).map(Number);
}

function checkSizes({ image, scores }: NetworkInterface, shape: FlatUnetShape, bound: Graph): void {
  const size = sizeOf(bound, image).slice(2);
  const multiple = multipleOf(shape);
  if (size.some((extent) => extent % multiple !== 0))
    throw noStudent(
      `the image is ${size.join(' x ')}, and ${shape.levels} levels need multiples of ${multiple}; resize images with preprocess.resize if the model's input is open`,
    );
  for (const value of scores) {
    const made = sizeOf(bound, value).slice(2);
    if (made.join() !== size.join())
      throw noStudent(
        `the original's scores '${value}' are ${made.join(' x ')} for an image of ${size.join(' x ')}, and a preset network makes them at the image's size`,
      );
  }
}

function warnOfOpenSizes(graph: Graph, { image }: NetworkInterface, shape: FlatUnetShape, context: PassContext): void {
  const dims = graph.type(image).shape?.slice(2) ?? [];
  if (dims.some((dim) => typeof dim !== 'number'))
    context.warn(
      `the new network takes images whose sizes are multiples of ${multipleOf(shape)}; the original's input [${graph.type(image).shape}] left them open`,
    );
}

function newNetwork(
  graph: Graph,
  { image, lead, scores, tail }: NetworkInterface,
  parts: { shape: FlatUnetShape; channels: ReadonlyMap<string, number>; semantics: Semantics },
): Graph {
  const builder = new GraphBuilder(parts.semantics, graph);
  builder.reserve(graph.types.keys());
  const [input] = graph.inputs;
  builder.input(input, graph.type(input));
  const kept = new Set([...lead, ...tail].flatMap(({ inputs, captures = [] }) => [...inputs, ...captures]));
  for (const [name, tensor] of graph.constants) if (kept.has(name)) builder.constant(name, tensor);
  for (const node of lead) copyNode(graph, node, builder);
  const features = addFlatUnet(builder, image, parts.shape);
  for (const value of scores) addHead(builder, features, value, Number(parts.channels.get(value)));
  for (const node of tail) copyNode(graph, node, builder);
  return builder.build(graph.outputs);
}
