import type { ArtifactFormat } from '../formats/metadata.js';
import type { PassReport } from '../passes/run.js';
import type { RuntimeName } from '../runtime/runner.js';
import type { NumericAgreement } from '../validate/accuracy.js';
import type { Accuracy } from '../validate/equivalence.js';

/** Duration of one run, in milliseconds. */
interface LatencySummary {
  readonly threads: number;
  readonly median: number;
  readonly min: number;
  readonly p90: number;
  readonly runs: number;
}

export interface LatencyMs {
  readonly threads1: LatencySummary;
  /** With all threads, or as many as `--threads` says; null where that is one. */
  readonly threadsN: LatencySummary | null;
}

/** A model file: the original, or what was made of it. */
export interface ModelReport {
  readonly file: string;
  readonly format: ArtifactFormat;
  /** What ran it. */
  readonly runtime: RuntimeName;
  /** Null for files of which only the format's own reader knows the weights. */
  readonly parameters: number | null;
  readonly macs: number | null;
  /** What MACs and latency were taken at, by input. */
  readonly inputShape: Readonly<Record<string, readonly number[]>>;
  readonly sizeBytes: number | null;
  readonly gzipBytes: number | null;
  readonly brotliBytes: number | null;
  readonly latencyMs: LatencyMs | null;
  /** Why a figure is null, by the field's name. */
  readonly reasons: Readonly<Record<string, string>>;
}

/** original / artefact: above 1 is better. Latency: the median of the pairwise ratios at one thread. */
export interface Ratios {
  readonly parameters: number | null;
  readonly macs: number | null;
  readonly sizeBytes: number | null;
  readonly latency: number | null;
}

export interface ArtifactReport extends ModelReport {
  readonly ratios: Ratios;
  /** Inputs and outputs with channels last, where the original has them first. */
  readonly channelsLast: readonly string[];
  /** Whether LiteRT's fast kernels run every operator; null for other runtimes. */
  readonly fullyDelegated: boolean | null;
  /** How far the raw output is from the original's. */
  readonly numeric: NumericAgreement | null;
  /** How far it is from the same compressed graph in ONNX Runtime; null for that itself. */
  readonly conversion: NumericAgreement | null;
  readonly accuracy: Accuracy | null;
  /** Why the output cannot come from a working model. */
  readonly broken: 'not finite' | 'constant' | null;
}

/** `report.json`; docs/schema/report.schema.json describes it field by field. */
export interface Report {
  readonly reportVersion: 1;
  readonly version: string;
  readonly seed: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly original: ModelReport;
  readonly artifacts: readonly ArtifactReport[];
  /** Those of the first artefact. */
  readonly ratios: Ratios;
  readonly accuracy: Accuracy | null;
  readonly passes: readonly PassReport[];
  /** What a default, a guess or the machine decided, so that the run can be replayed. */
  readonly resolved: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
}
