import { availableParallelism } from 'node:os';
import { bindShapes } from '../analysis/cost.js';
import { lastOperator } from '../analysis/last-operator.js';
import type { Progress } from '../compress.js';
import { decodeMetadata } from '../formats/metadata.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import type { Dataset } from '../validate/dataset.js';
import { type Judgement, judge } from '../validate/judge.js';
import { openData, reportedSplit } from '../validate/open-data.js';
import { readInputShapes } from './input-shapes.js';

/** What running the files showed, and on which images. */
export interface Judged extends Judgement {
  readonly data: { readonly dataset: Dataset; readonly split: 'test' | 'validation' } | null;
  readonly threads: readonly number[];
}

/** Runs the original and the artefact as the options say; null where nothing is to be run. */
export async function judgeArtifact(
  file: string,
  artifact: string,
  original: Graph,
  options: FullOptions,
  progress: Progress,
): Promise<Judged | null> {
  if (!options.validate) return null;
  const data = reportedSplit(await openData(options));
  const own = decodeMetadata(original.metadata);
  const threads = threadCounts(options.threads);
  const judgement = await judge({
    original: file,
    artifacts: [artifact],
    data,
    given: {
      preprocess: options.preprocess ?? own.preprocess,
      output: options.output ?? own.output,
      labels: options.labels ?? own.labels,
    },
    lastOp: (output) => lastOperator(original, output),
    margin: options.margin,
    seed: options.seed,
    latency: options.latency,
    threads,
    shapes: boundShapes(original, options),
    ...progress,
  });
  return { ...judgement, data, threads };
}

export function threadCounts(asked: number | undefined): number[] {
  return [...new Set([1, asked ?? availableParallelism()])];
}

/** The shapes that counting and timing use for the model's inputs. */
export function boundShapes(graph: Graph, options: FullOptions): Record<string, number[]> {
  const bound = bindShapes(graph, readInputShapes(options.inputShape, graph.inputs));
  return Object.fromEntries(graph.inputs.map((input) => [input, [...(bound.type(input).shape ?? [])].map(Number)]));
}
