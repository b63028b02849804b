import { badModelInput } from '../errors.js';
import type { Runner } from '../runtime/runner.js';
import { openRunner } from '../runtime/spawn.js';
import { type CandidateAccuracy, measureAccuracy, type NumericAgreement } from './accuracy.js';
import type { Dataset } from './dataset.js';
import type { Interpretation } from './interpretation.js';
import { type Latency, measureLatency, syntheticInputs } from './latency.js';
import { brokenBecause, compareOutputs, outputRange } from './numeric.js';

/** Images, and how the models are to read and answer them. */
export interface JudgedData {
  readonly dataset: Dataset;
  readonly split: 'test' | 'validation';
  readonly interpretation: Interpretation;
}

export interface JudgeRequest {
  readonly original: string;
  readonly artifacts: readonly string[];
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

export interface Judgement {
  /** One entry an artefact. */
  readonly accuracy: readonly CandidateAccuracy[];
  /** For each thread count: the original first, then the artefacts; empty where not asked for. */
  readonly latency: readonly Latency[];
}

/** Runs the files themselves, each in a process of its own, and says how the artefacts compare with the original. */
export async function judge(request: JudgeRequest): Promise<Judgement> {
  const accuracy = await withRunners(request, (original, candidates) =>
    request.data ? judgeOnImages(request, original, candidates) : judgeOnNoise(request, original, candidates),
  );
  const latency =
    request.latency === 'none'
      ? []
      : await measureLatency(
          [request.original, ...request.artifacts].map((file) => ({ file, shapes: { ...request.shapes } })),
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

async function withRunners(
  request: JudgeRequest,
  use: (original: Runner, candidates: readonly Runner[]) => Promise<CandidateAccuracy[]>,
): Promise<CandidateAccuracy[]> {
  const runners: Runner[] = [];
  try {
    for (const file of [request.original, ...request.artifacts])
      runners.push(
        await openRunner(file, {
          runtime: 'onnxruntime',
          threads: Math.max(...request.threads),
          signal: request.signal,
        }),
      );
    const [original, ...candidates] = runners;
    return await use(original, candidates);
  } finally {
    await Promise.all(runners.map((runner) => runner.close()));
  }
}

async function judgeOnImages(
  request: JudgeRequest,
  original: Runner,
  candidates: readonly Runner[],
): Promise<CandidateAccuracy[]> {
  const { dataset, split, interpretation } = request.data!;
  const accuracy = await measureAccuracy({
    original,
    candidates,
    dataset,
    interpretation,
    split,
    margin: request.margin,
    seed: request.seed,
    signal: request.signal,
    onImage: (done, total) => request.onProgress?.('accuracy', done, total),
  });
  return accuracy;
}

/** One run on seeded noise: enough to see a broken output and, for exact passes, the rounding. */
async function judgeOnNoise(
  request: JudgeRequest,
  original: Runner,
  candidates: readonly Runner[],
): Promise<CandidateAccuracy[]> {
  const inputs = syntheticInputs(original, { shapes: { ...request.shapes }, seed: request.seed });
  const wanted = await original.run(inputs);
  const accuracy: CandidateAccuracy[] = [];
  for (const candidate of candidates) {
    const actual = await candidate.run(inputs);
    accuracy.push({
      numeric: compareAll(candidate.file, actual, wanted),
      accuracy: null,
      broken: brokenOutput(actual),
    });
  }
  return accuracy;
}

function compareAll(
  file: string,
  actual: Awaited<ReturnType<Runner['run']>>,
  wanted: Awaited<ReturnType<Runner['run']>>,
): NumericAgreement {
  let worst: NumericAgreement | undefined;
  for (const [name, reference] of Object.entries(wanted)) {
    const output = actual[name];
    if (!output || output.data.length !== reference.data.length)
      throw badModelInput(file, `its output '${name}' is missing or has another size`);
    const [a, b] = [
      Float64Array.from(output.data as ArrayLike<number>, Number),
      Float64Array.from(reference.data as ArrayLike<number>, Number),
    ];
    const { maxAbsoluteError, relativeL2, worst: index } = compareOutputs(a, b, reference.dims);
    const { minimum, maximum } = outputRange(b);
    if (!worst || maxAbsoluteError > worst.maxAbsoluteError)
      worst = {
        maxAbsoluteError,
        relativeL2,
        worst: { image: `noise, output '${name}'`, index },
        range: maximum - minimum,
      };
  }
  return worst ?? { maxAbsoluteError: 0, relativeL2: 0, worst: { image: '', index: [] }, range: 0 };
}

/** Noise may well give one class everywhere, so only values that are not finite count as broken here. */
function brokenOutput(outputs: Awaited<ReturnType<Runner['run']>>): CandidateAccuracy['broken'] {
  const ranges = Object.values(outputs).map(({ data }) =>
    outputRange(Float64Array.from(data as ArrayLike<number>, Number)),
  );
  return ranges.some((range) => brokenBecause(range) === 'not finite') ? 'not finite' : null;
}
