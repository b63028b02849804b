import { availableParallelism } from 'node:os';
import { bindShapes } from '../analysis/cost.js';
import type { Progress } from '../compress.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import { type JudgedArtifact, type JudgedData, type Judgement, judge } from '../validate/judge.js';
import { reportedSplit, type Splits } from '../validate/open-data.js';
import { readInputShapes } from './input-shapes.js';
import type { Reading } from './reading.js';

/** What running the files showed, and on which images. */
export interface Judged extends Judgement {
  readonly data: JudgedData | null;
  readonly threads: readonly number[];
}

export interface JudgedFiles {
  readonly file: string;
  readonly artifacts: readonly JudgedArtifact[];
  /** The compressed graph as an ONNX file; null where it is not to be had. */
  readonly reference: string | null;
  readonly original: Graph;
  readonly splits: Splits;
  /** How the original is read. */
  readonly reading: Reading | null;
  /** How the artefacts are read, which may have some of that within. */
  readonly artifactReading: Reading | null;
}

/** Runs the original and the artefacts as the options say; null where nothing is to be run. */
export async function judgeArtifacts(
  { file, artifacts, reference, original, splits, reading, artifactReading }: JudgedFiles,
  options: FullOptions,
  progress: Progress,
): Promise<Judged | null> {
  if (!options.validate) return null;
  const reported = reportedSplit(splits);
  const data = reported &&
    reading && {
      ...reported,
      interpretation: reading.interpretation,
      artifactInterpretation: (artifactReading ?? reading).interpretation,
    };
  const threads = threadCounts(options.threads);
  const judgement = await judge({
    original: file,
    artifacts,
    reference,
    data,
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
