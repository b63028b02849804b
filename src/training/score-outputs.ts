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
 * The scores of every floating-point output, which is where distillation compares: before the last sigmoid, softmax or
 * argmax. An output without such an ending is read as `kindOf` says: scores of one channel by a sigmoid, of several by
 * a softmax; plain values as they are.
 *
 * @throws CompressError where the scores are no maps of channels over space
 */
export function scoreOutputs(graph: Graph, kindOf: (output: string) => 'scores' | 'values'): ScoreOutput[] {
  return graph.outputs.map((output) => {
    const end = endingOf(graph, output);
    const scores = end ? end.inputs[0] : behindMoves(graph, output);
    const { shape } = graph.type(scores);
    if (!shape || shape.length < 3 || typeof shape[1] !== 'number')
      throw cannotDistil(output, `its scores '${scores}' are no maps of channels over space, but [${shape ?? '?'}]`);
    if (end) return { output, scores, reading: ENDINGS[end.op] };
    if (kindOf(output) === 'values') return { output, scores, reading: 'values' };
    return { output, scores, reading: shape[1] === 1 ? 'binary' : 'classes' };
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

/** Scores lie before casts and changes of layout, as long as they are maps there. */
function behindMoves(graph: Graph, output: string): string {
  const node = graph.producer(output);
  return node && (node.op === 'Identity' || node.op === 'Cast' || node.op === 'Dropout')
    ? behindMoves(graph, node.inputs[0])
    : output;
}
