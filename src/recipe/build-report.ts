import { availableParallelism } from 'node:os';
import { bindShapes, type Cost, costOf } from '../analysis/cost.js';
import type { Compressed } from '../compress.js';
import { externalFiles } from '../exporters/onnx/index.js';
import type { ArtifactFormat } from '../formats/metadata.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import { artifactReport, modelReport } from '../report/model-report.js';
import { fileSizes, uncompressed } from '../report/sizes.js';
import type { ArtifactReport, Report } from '../report/types.js';
import { runtimeVersion } from '../runtime/version.js';
import { VERSION } from '../version.js';
import { boundShapes, type Judged } from './judge-artifacts.js';
import type { Reading } from './reading.js';

/** One artefact, of which the report speaks under the path that it has at the end. */
export interface ArtifactFile {
  readonly format: ArtifactFormat;
  readonly target: string;
  /** The file that a runtime is given, where it lies now. */
  readonly file: string;
  readonly channelsLast: readonly string[];
  /** All its files, where they lie now, or the bytes that they would have where nothing is written. */
  readonly written: readonly string[] | number;
}

export interface ReportFacts {
  readonly file: string;
  readonly artifacts: readonly ArtifactFile[];
  readonly original: Graph;
  /** Null where the artefact's graph is not read. */
  readonly compressed: Omit<Compressed, 'graph'> & { readonly graph: Graph | null };
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
  const timed = (file: string) => {
    const latency = judged?.latency.filter((entry) => entry.file === file) ?? [];
    return latency.length ? latency : { missing: notTimed };
  };
  const original = modelReport({
    file: facts.file,
    format: 'onnx',
    cost: countedCost(facts.original, inputShape),
    inputShape,
    sizes: await fileSizes([facts.file, ...externalFiles(facts.original)]),
    latency: timed(facts.file),
  });
  const cost = compressed.graph && countedCost(compressed.graph, inputShape);
  const artifacts = await Promise.all(
    facts.artifacts.map(async ({ format, target, file, channelsLast, written }, i) =>
      artifactReport({
        file: target,
        format,
        cost,
        inputShape,
        channelsLast,
        sizes:
          typeof written === 'number'
            ? uncompressed(written, 'nothing was written (--dry-run)')
            : await fileSizes(written),
        latency: timed(file),
        original,
        accuracy: judged?.accuracy[i] ?? { missing: notRun },
      }),
    ),
  );
  const [{ ratios, accuracy }] = artifacts;
  return {
    reportVersion: 1,
    version: VERSION,
    seed: options.seed,
    options: { ...options },
    original,
    artifacts,
    ratios,
    accuracy,
    passes: compressed.passes,
    resolved: resolvedOf(facts, inputShape),
    warnings: [...compressed.warnings, ...artifacts.flatMap(artifactWarnings)],
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
function distillationOf(
  { resolved }: ReportFacts['compressed'],
  { threads, seed }: FullOptions,
): Record<string, unknown> | null {
  const settings = resolved.distill;
  if (!settings) return null;
  return { ...settings, seed, threads: threads ?? availableParallelism(), runtime: runtimeVersion() };
}

/** What a conversion may change of the raw output, as a share of its range: rounding in another order of additions. */
const CONVERSION_TOLERANCE = 1e-4;

function artifactWarnings({ accuracy, broken, conversion, fullyDelegated, file }: ArtifactReport): string[] {
  const warnings = [...(accuracy?.warnings ?? [])];
  if (broken) warnings.push(`the output of ${file} is ${broken}: it is broken and must not be used`);
  if (conversion && conversion.maxAbsoluteError > CONVERSION_TOLERANCE * conversion.range)
    warnings.push(
      `the output of ${file} differs by up to ${conversion.maxAbsoluteError.toPrecision(3)} from that of the same network in ONNX Runtime (range ${conversion.range.toPrecision(3)})`,
    );
  if (fullyDelegated === false)
    warnings.push(`LiteRT runs some operators of ${file} outside of XNNPACK, in slower kernels`);
  return warnings;
}
