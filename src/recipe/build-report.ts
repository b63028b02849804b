import { availableParallelism } from 'node:os';
import { bindShapes, type Cost, costOf } from '../analysis/cost.js';
import type { Compressed } from '../compress.js';
import { externalFiles, sizeOfOnnx } from '../exporters/onnx/index.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import { artifactReport, modelReport } from '../report/model-report.js';
import { fileSizes, uncompressed } from '../report/sizes.js';
import type { ArtifactReport, Report } from '../report/types.js';
import { runtimeVersion } from '../runtime/version.js';
import { VERSION } from '../version.js';
import { boundShapes, type Judged } from './judge-artifact.js';
import type { Reading } from './reading.js';

export interface ReportFacts {
  readonly file: string;
  /** The path that the artefact has at the end. */
  readonly target: string;
  /** The artefact's files, where they lie now; null where it is not written. */
  readonly written: readonly string[] | null;
  readonly original: Graph;
  readonly compressed: Compressed;
  readonly options: FullOptions;
  readonly reading: Reading | null;
  /** What running the files showed; null where they were not run. */
  readonly judged: Judged | null;
}

/** Puts together everything that is known of a run. */
export async function buildReport(facts: ReportFacts): Promise<Report> {
  const { options, compressed, judged } = facts;
  const inputShape = boundShapes(facts.original, options);
  const [notRun, notTimed] = whyMissing(options);
  const at = (model: number) => judged?.latency.filter((_, i) => i % 2 === model) ?? [];
  const timed = (model: number) => (judged?.latency.length ? at(model) : { missing: notTimed });
  const original = modelReport({
    file: facts.file,
    cost: countedCost(facts.original, inputShape),
    inputShape,
    sizes: await fileSizes([facts.file, ...externalFiles(facts.original)]),
    latency: timed(0),
  });
  const artifact = artifactReport({
    file: facts.target,
    cost: countedCost(compressed.graph, inputShape),
    inputShape,
    sizes: facts.written
      ? await fileSizes(facts.written)
      : uncompressed(sizeOfOnnx(compressed.graph), 'nothing was written (--dry-run)'),
    latency: timed(1),
    original,
    accuracy: judged?.accuracy[0] ?? { missing: notRun },
  });
  return {
    reportVersion: 1,
    version: VERSION,
    seed: options.seed,
    options: { ...options },
    original,
    artifacts: [artifact],
    ratios: artifact.ratios,
    accuracy: artifact.accuracy,
    passes: compressed.passes,
    resolved: resolvedOf(facts, inputShape),
    warnings: [...compressed.warnings, ...(artifact.accuracy?.warnings ?? []), ...brokenWarning(artifact)],
  };
}

function countedCost(graph: Graph, inputShape: Readonly<Record<string, readonly number[]>>): Cost {
  return costOf(bindShapes(graph, new Map(Object.entries(inputShape))));
}

function whyMissing({ dryRun, validate, latency }: FullOptions): [notRun: string, notTimed: string] {
  const notRun = dryRun ? 'nothing was run (--dry-run)' : 'nothing was run (--no-validate)';
  return [notRun, validate && !dryRun && latency === 'none' ? 'it was not asked for (--latency none)' : notRun];
}

function resolvedOf(
  { judged, options, reading, compressed }: ReportFacts,
  inputShape: object,
): Record<string, unknown> {
  return {
    inputShape,
    threads: judged?.threads ?? null,
    data: judged?.data && {
      split: judged.data.split,
      folder: judged.data.dataset.folder,
      groupsFile: judged.data.dataset.groupsFile,
      images: judged.data.dataset.samples.length,
    },
    interpretation: reading?.interpretation ?? null,
    guesses: (judged?.data && reading?.guesses) || [],
    thinShape: options.thin === undefined ? null : options.thinShape,
    distillation: distillationOf(compressed, options),
  };
}

/** What training is replayed with: the same settings, kernels, runtime and threads give the same bytes. */
function distillationOf({ resolved }: Compressed, { threads, seed }: FullOptions): Record<string, unknown> | null {
  const settings = resolved.distill;
  if (!settings) return null;
  return { ...settings, seed, threads: threads ?? availableParallelism(), runtime: runtimeVersion() };
}

function brokenWarning({ broken, file }: ArtifactReport): string[] {
  return broken ? [`the output of ${file} is ${broken}: it is broken and must not be used`] : [];
}
