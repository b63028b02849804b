import { cannotDistil } from '../errors.js';
import type { Graph, Node } from '../ir/graph.js';
import type { OutputReading } from './losses.js';

/** An output of a network, followed back to the raw scores that its last function is taken of. */
export interface ScoreOutput {
  readonly output: string;
  /** The value before sigmoid, softmax or argmax: [batch, channels, space…]. */
  readonly scores: string;
  readonly reading: OutputReading;
}

/** Operators that move or copy values only. */
const MOVES = new Set(['Identity', 'Cast', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Flatten', 'Dropout']);

/** Functions of scores that an output may end in, and how the scores are read then. */
const ENDINGS: Readonly<Record<string, OutputReading>> = {
  Sigmoid: 'binary',
  HardSigmoid: 'binary',
  Softmax: 'classes',
  LogSoftmax: 'classes',
  ArgMax: 'classes',
};

/**
 * The scores of every output, which is where distillation compares: before the last sigmoid, softmax or argmax, and
 * before changes of layout, so that they are maps as the image is one, channels first. An output without such an ending
 * is read as `kindOf` says: scores of one channel by a sigmoid, of several by a softmax; plain values as they are.
 *
 * @throws CompressError where the scores are no maps of channels over space
 */
export function scoreOutputs(graph: Graph, kindOf: (output: string) => 'scores' | 'values'): ScoreOutput[] {
  return graph.outputs.map((output) => {
    const end = endingOf(graph, output);
    const value = end ? end.inputs[0] : output;
    const scores = mapBehind(graph, value, end && channelAxis(graph, end));
    const channels = scores === undefined ? undefined : graph.type(scores).shape?.[1];
    if (scores === undefined || typeof channels !== 'number') {
      const { shape } = graph.type(value);
      throw cannotDistil(output, `its scores '${value}' are no maps of channels over space, but [${shape ?? '?'}]`);
    }
    if (end) return { output, scores, reading: ENDINGS[end.op] };
    if (kindOf(output) === 'values') return { output, scores, reading: 'values' };
    return { output, scores, reading: channels === 1 ? 'binary' : 'classes' };
  });
}

/** The innermost of the functions that the output ends in. */
function endingOf(graph: Graph, output: string): Node | undefined {
  let found: Node | undefined;
  let node = graph.producer(output);
  while (node && (MOVES.has(node.op) || node.op in ENDINGS)) {
    if (node.op in ENDINGS) found = node;
    node = graph.producer(node.inputs[0]);
  }
  return found;
}

/** The axis that a function of channels works along; undefined for one that takes each number by itself. */
function channelAxis(graph: Graph, { op, inputs, attributes }: Node): number | undefined {
  if (ENDINGS[op] !== 'classes') return undefined;
  const rank = graph.type(inputs[0]).shape?.length ?? 0;
  const axis = Number(attributes.axis ?? (op === 'ArgMax' ? 0 : -1));
  return axis < 0 ? axis + rank : axis;
}

/**
 * The first form of a value, before it was moved, that has the image's rank and its channels on axis 1; undefined where
 * there is none.
 */
function mapBehind(graph: Graph, value: string, axis: number | undefined): string | undefined {
  const rank = graph.type(graph.inputs[0]).shape?.length;
  let found: string | undefined;
  let place: Place | undefined = { value, axis };
  while (place) {
    const { shape } = graph.type(place.value);
    const isMap = shape?.length === rank && (shape?.length ?? 0) > 2 && (place.axis ?? 1) === 1;
    if (isMap) found = place.value;
    place = placeBefore(graph, place, found !== undefined);
  }
  return found;
}

/** A value and the axis of it that holds the channels, where that matters. */
interface Place {
  readonly value: string;
  readonly axis: number | undefined;
}

/** The same numbers before the node that moved them; undefined where no move made them. */
function placeBefore(graph: Graph, { value, axis }: Place, isFound: boolean): Place | undefined {
  const node = graph.producer(value);
  if (!node || !MOVES.has(node.op)) return undefined;
  const [input] = node.inputs;
  const [before, after] = [graph.type(input).shape ?? [], graph.type(value).shape ?? []];
  if (node.op === 'Transpose') {
    const perm = (node.attributes.perm as readonly number[] | undefined) ?? before.map((_, i) => before.length - 1 - i);
    return { value: input, axis: axis === undefined ? undefined : perm[axis] };
  }
  if (before.length === after.length && before.join() === after.join()) return { value: input, axis };
  // Positions in a row, with the channels before or behind them.
  const isKept = (from: number, to: number) => before[from] !== undefined && before[from] === after[to];
  if ((axis ?? 1) === 1 && isKept(0, 0) && isKept(1, 1)) return { value: input, axis };
  if (axis === after.length - 1 && isKept(0, 0) && isKept(before.length - 1, axis))
    return { value: input, axis: before.length - 1 };
  // Numbers that are taken by themselves may come from anywhere, until they form a map.
  return axis === undefined && !isFound ? { value: input, axis } : undefined;
}
