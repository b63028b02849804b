import { lastOperator } from '../analysis/last-operator.js';
import { decodeMetadata } from '../formats/metadata.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import type { Dataset } from '../validate/dataset.js';
import { type Interpretation, interpret } from '../validate/interpretation.js';

/** How a model reads images and what its output means, and what of that was guessed, as sentences. */
export interface Reading {
  readonly interpretation: Interpretation;
  readonly guesses: readonly string[];
}

/**
 * Settles how to read a model: what the options say, else what the file says of itself, else what fits. Null for a
 * model that images cannot be given to, unless there are images.
 *
 * @throws CompressError where the options, the images and the model contradict each other
 */
export async function readingOf(
  graph: Graph,
  options: FullOptions,
  datasets: readonly Dataset[],
): Promise<Reading | null> {
  const own = decodeMetadata(graph.metadata);
  const isForImages = graph.inputs.length === 1 && (graph.type(graph.inputs[0]).shape?.length ?? 0) > 2;
  if (!isForImages && datasets.length === 0) return null;
  const given = {
    preprocess: options.preprocess ?? own.preprocess,
    output: options.output ?? own.output,
    labels: options.labels ?? own.labels,
  };
  return interpret(interfaceOf(graph), datasets, given, (output) => lastOperator(graph, output));
}

function interfaceOf(graph: Graph) {
  const describe = (name: string) => ({ name, type: '', shape: [...(graph.type(name).shape ?? [])] });
  return { inputs: graph.inputs.map(describe), outputs: graph.outputs.map(describe) };
}
