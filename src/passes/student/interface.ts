import { noStudent } from '../../errors.js';
import type { Graph, Node } from '../../ir/graph.js';
import { dataOf, isLayer, readsSizeOnly } from '../../training/network-parts.js';
import { scoreOutputs } from '../../training/score-outputs.js';

/** What a new network takes over of the original: how its layers see the image, and how its outputs come of scores. */
export interface NetworkInterface {
  /** The value that the first layers read: the input, or what was scaled or cast of it. */
  readonly image: string;
  /** Nodes between the input and the image. */
  readonly lead: readonly Node[];
  /** Scores that outputs are made of, each once. */
  readonly scores: readonly string[];
  /** Nodes between the scores and the outputs: the last sigmoid or softmax, where there is one. */
  readonly tail: readonly Node[];
}

/**
 * @throws CompressError where the original has several inputs, or outputs that are made of more than maps of scores
 */
export function interfaceOf(graph: Graph): NetworkInterface {
  if (graph.inputs.length !== 1)
    throw noStudent(`the original has ${graph.inputs.length} inputs, and a preset network has one`);
  const scores = [...new Set(scoreOutputs(graph, () => 'scores').map((output) => output.scores))];
  return { ...imageOf(graph), scores, tail: tailOf(graph, scores) };
}

const SCALINGS = new Set(['Identity', 'Cast', 'Add', 'Sub', 'Mul', 'Div']);

/** Follows the input over arithmetic with constants. */
function imageOf(graph: Graph): Pick<NetworkInterface, 'image' | 'lead'> {
  const lead: Node[] = [];
  let [image] = graph.inputs;
  for (;;) {
    const [{ node } = {}, ...others] = graph.readers(image).filter((reader) => !readsSizeOnly(reader.node));
    const isScaling = node && SCALINGS.has(node.op) && node.inputs.every((v) => v === image || graph.constants.has(v));
    if (!node || !isScaling || others.length > 0) return { image, lead };
    lead.push(node);
    [image] = node.outputs;
  }
}

function tailOf(graph: Graph, scores: readonly string[]): Node[] {
  const tail = new Set<Node>();
  const values = new Set(graph.outputs);
  // Values that are added on the way are walked over too.
  for (const value of values) {
    const node = scores.includes(value) ? undefined : graph.producer(value);
    if (!node) continue;
    if (isLayer(node))
      throw noStudent(`an output is made of the scores and of '${value}', the result of another layer`);
    tail.add(node);
    for (const input of dataOf(node)) values.add(input);
  }
  return graph.nodes.filter((node) => tail.has(node));
}
