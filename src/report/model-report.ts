import type { Cost } from '../analysis/cost.js';
import type { ArtifactFormat } from '../formats/metadata.js';
import { runtimeOf } from '../runtime/runner.js';
import type { ArtifactJudgement } from '../validate/judge.js';
import type { Latency } from '../validate/latency.js';
import type { FileSizes } from './sizes.js';
import type { ArtifactReport, LatencyMs, ModelReport, Ratios } from './types.js';

/** What is known of one model file; a figure that was not taken comes with the reason in its place. */
export interface ModelFacts {
  readonly file: string;
  readonly format: ArtifactFormat;
  /** Null for a file whose graph is not read. */
  readonly cost: Cost | null;
  readonly inputShape: Readonly<Record<string, readonly number[]>>;
  readonly sizes: FileSizes;
  /** At each thread count, 1 first. */
  readonly latency: readonly Latency[] | { readonly missing: string };
}

export function modelReport({ file, format, cost, inputShape, sizes, latency }: ModelFacts): ModelReport {
  const reasons: Record<string, string> = {};
  if (cost === null)
    for (const field of ['parameters', 'macs']) reasons[field] = `graphs of ${format} files are not read`;
  else if (cost.macs === null)
    reasons.macs = 'a shape inside the model is not known; state the input with --input-shape';
  if (sizes.reason) for (const field of ['gzipBytes', 'brotliBytes']) reasons[field] = sizes.reason;
  if ('missing' in latency) reasons.latencyMs = latency.missing;
  return {
    file,
    format,
    runtime: runtimeOf(format),
    parameters: cost?.parameters ?? null,
    macs: cost?.macs ?? null,
    inputShape,
    sizeBytes: sizes.sizeBytes,
    gzipBytes: sizes.gzipBytes,
    brotliBytes: sizes.brotliBytes,
    latencyMs: 'missing' in latency ? null : latencyMs(latency),
    reasons,
  };
}

export interface ArtifactFacts extends ModelFacts {
  readonly original: ModelReport;
  readonly channelsLast: readonly string[];
  readonly accuracy: ArtifactJudgement | { readonly missing: string };
}

export function artifactReport(facts: ArtifactFacts): ArtifactReport {
  const { accuracy, original, latency } = facts;
  const model = modelReport(facts);
  const reasons: Record<string, string> = { ...model.reasons };
  if ('missing' in accuracy) {
    reasons.accuracy = `unknown: ${accuracy.missing}`;
    reasons.numeric = accuracy.missing;
  } else if (accuracy.broken) reasons.accuracy = `the output is ${accuracy.broken}: the model is broken and not scored`;
  else if (!accuracy.accuracy) reasons.accuracy = 'unknown: no images were given';
  const ratio = (a: number | null, b: number | null) => (a === null || b === null || b === 0 ? null : a / b);
  const ratios: Ratios = {
    parameters: ratio(original.parameters, model.parameters),
    macs: ratio(original.macs, model.macs),
    sizeBytes: ratio(original.sizeBytes, model.sizeBytes),
    latency: 'missing' in latency ? null : latency[0].speedUp,
  };
  const { numeric, conversion, broken, fullyDelegated, ...judged } =
    'missing' in accuracy
      ? { numeric: null, conversion: null, accuracy: null, broken: null, fullyDelegated: undefined }
      : accuracy;
  return {
    ...model,
    reasons,
    ratios,
    channelsLast: facts.channelsLast,
    fullyDelegated: fullyDelegated ?? null,
    numeric,
    conversion,
    accuracy: judged.accuracy,
    broken,
  };
}

function latencyMs(latency: readonly Latency[]): LatencyMs {
  const [one, many] = latency.map(({ threads, median, min, p90, runs }) => ({ threads, median, min, p90, runs }));
  return { threads1: one, threadsN: many ?? null };
}
