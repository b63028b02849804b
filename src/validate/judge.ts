import type { Runner, RuntimeName } from '../runtime/runner.js';
import { openRunner } from '../runtime/spawn.js';
import { type CandidateAccuracy, measureAccuracy } from './accuracy.js';
import { withChannelsFirst } from './channels-first.js';
import type { Dataset } from './dataset.js';
import type { Interpretation } from './interpretation.js';
import { type Latency, measureLatency } from './latency.js';
import { judgeOnNoise } from './noise.js';

/** Images, and how the models are to read and answer them. */
export interface JudgedData {
  readonly dataset: Dataset;
  readonly split: 'test' | 'validation';
  readonly interpretation: Interpretation;
  /** How the artefacts are to do so: they may have some of it within. */
  readonly artifactInterpretation: Interpretation;
}

/** An artefact and what runs it. */
export interface JudgedArtifact {
  readonly file: string;
  readonly runtime: RuntimeName;
  /** Inputs and outputs that have their channels last, where the original has them first. */
  readonly channelsLast: readonly string[];
}

export interface JudgeRequest {
  readonly original: string;
  readonly artifacts: readonly JudgedArtifact[];
  /** The compressed graph as an ONNX file, against which artefacts of other formats are held; null: none are. */
  readonly reference: string | null;
  /** Images for accuracy; without them only seeded noise is run. */
  readonly data: JudgedData | null;
  readonly margin: number;
  readonly seed: number;
  readonly latency: 'none' | 'quick' | 'full';
  /** Thread counts for latency, 1 first. */
  readonly threads: readonly number[];
  /** Shapes for inputs with open dimensions. */
  readonly shapes: Readonly<Record<string, number[]>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (task: string, done: number, total: number) => void;
}

export interface ArtifactJudgement extends CandidateAccuracy {
  /** See `RunnerInfo.fullyDelegated`. */
  readonly fullyDelegated?: boolean;
}

export interface Judgement {
  /** One entry an artefact. */
  readonly accuracy: readonly ArtifactJudgement[];
  /** For each thread count: the original first, then the artefacts that can use it; empty where not asked for. */
  readonly latency: readonly Latency[];
}

/** Runs the files themselves, each in a process of its own, and says how the artefacts compare with the original. */
export async function judge(request: JudgeRequest): Promise<Judgement> {
  const accuracy = await withRunners(request, async (runners) => {
    const judged = request.data ? await judgeOnImages(request, runners) : await judgeOnNoise(request, runners);
    return judged.map((entry, i) => ({ ...entry, fullyDelegated: runners.candidates[i]!.info.fullyDelegated }));
  });
  const latency =
    request.latency === 'none'
      ? []
      : await measureLatency(
          [
            { file: request.original, shapes: { ...request.shapes } },
            ...request.artifacts.map(({ file, runtime }) => ({
              file,
              runtime,
              ...(runtime === 'onnxruntime' ? { shapes: { ...request.shapes } } : {}),
            })),
          ],
          {
            threads: [...request.threads],
            mode: request.latency,
            seed: request.seed,
            signal: request.signal,
            onProgress: ({ threads, done }) =>
              request.onProgress?.(`latency, ${threads} thread${threads > 1 ? 's' : ''}`, Math.round(done * 100), 100),
          },
        );
  return { accuracy, latency };
}

/** The files' runners, each as the original sees channels. */
export interface JudgeRunners {
  readonly original: Runner;
  readonly candidates: readonly Runner[];
  readonly reference: Runner | null;
}

async function withRunners<T>(request: JudgeRequest, use: (runners: JudgeRunners) => Promise<T>): Promise<T> {
  const opened: Runner[] = [];
  const open = async (file: string, runtime: RuntimeName, channelsLast: readonly string[] = []) => {
    const threads = Math.max(...request.threads);
    const runner = await openRunner(file, { runtime, threads, signal: request.signal });
    opened.push(runner);
    return withChannelsFirst(runner, new Set(channelsLast));
  };
  try {
    const original = await open(request.original, 'onnxruntime');
    const candidates: Runner[] = [];
    for (const { file, runtime, channelsLast } of request.artifacts)
      candidates.push(await open(file, runtime, channelsLast));
    const own = candidates[request.artifacts.findIndex(({ file }) => file === request.reference)];
    const reference = own ?? (request.reference === null ? null : await open(request.reference, 'onnxruntime'));
    return await use({ original, candidates, reference });
  } finally {
    await Promise.all(opened.map((runner) => runner.close()));
  }
}

async function judgeOnImages(request: JudgeRequest, runners: JudgeRunners): Promise<CandidateAccuracy[]> {
  const { dataset, split, interpretation, artifactInterpretation } = request.data!;
  const accuracy = await measureAccuracy({
    ...runners,
    dataset,
    interpretation,
    artifactInterpretation,
    split,
    margin: request.margin,
    seed: request.seed,
    signal: request.signal,
    onImage: (done, total) => request.onProgress?.('accuracy', done, total),
  });
  return accuracy;
}
