import { join } from 'node:path';
import { decodeMetadata, METADATA_KEY } from './formats/metadata.js';
import { load } from './importers/index.js';
import type { Graph } from './ir/graph.js';
import { type FullOptions, type Options, withDefaults } from './options.js';
import { type PassesRun, type RunOptions, runPasses } from './passes/run.js';
import {
  artifactPath,
  formatsOf,
  planArtifacts,
  publishArtifacts,
  unwritten,
  writeArtifacts,
  writeReference,
} from './recipe/artifacts.js';
import { bakeParts, readingWhenBaked } from './recipe/baking.js';
import { buildReport } from './recipe/build-report.js';
import { openCalibration } from './recipe/calibration.js';
import { checkOptions } from './recipe/check-options.js';
import { withDraft } from './recipe/draft.js';
import { readInputShapes } from './recipe/input-shapes.js';
import { judgeArtifacts } from './recipe/judge-artifacts.js';
import { openArtifact } from './recipe/open-artifact.js';
import { learnsFromData, planSteps, tidyingSteps } from './recipe/plan.js';
import { prepareTarget } from './recipe/prepare-target.js';
import { withProvenance } from './recipe/provenance.js';
import { readingOf } from './recipe/reading.js';
import { openTeaching } from './recipe/teaching.js';
import { writeReport } from './recipe/write-report.js';
import type { Report } from './report/types.js';
import { openDataset } from './validate/dataset.js';
import { allOf, NO_DATA, openData, type Splits } from './validate/open-data.js';

/** How a run shows itself while it goes on. */
export interface Progress {
  readonly signal?: AbortSignal;
  readonly onWarning?: (message: string) => void;
  readonly onProgress?: (task: string, done: number, total: number, detail?: string) => void;
}

export type Compressed = PassesRun;

/** Compresses a graph in memory: the passes alone. Only with `data` are files read and graphs run. */
export async function compress(graph: Graph, options: Options = {}, progress: Progress = {}): Promise<Compressed> {
  const full = withDefaults(checkOptions({ ...options }, 'compress', 'options'));
  const { finish, ...compressed } = await runPlan(graph, full, await openData(full), progress);
  await finish();
  return compressed;
}

interface Planned extends Compressed {
  /** Removes what only an interrupted run would need. */
  finish(): Promise<void>;
}

async function runPlan(graph: Graph, options: FullOptions, splits: Splits, progress: Progress): Promise<Planned> {
  const shapes = readInputShapes(options.inputShape, graph.inputs);
  const learns = !options.dryRun && learnsFromData(options);
  const calibration = learns ? await openCalibration(graph, splits.train, options, progress.signal) : undefined;
  const run: RunOptions = {
    seed: options.seed,
    check: options.check,
    signal: progress.signal,
    calibration,
    onWarning: progress.onWarning,
    onProgress: (pass, fraction, detail) => progress.onProgress?.(pass, Math.round(fraction * 100), 100, detail),
  };
  try {
    const tidied = await runPasses(graph, tidyingSteps(options), run);
    const teaching = calibration && (await openTeaching(tidied.graph, splits, options, calibration.engine));
    const planned = await runPasses(tidied.graph, planSteps(tidied.graph, options, shapes, calibration !== undefined), {
      ...run,
      teaching,
    });
    return {
      graph: planned.graph,
      passes: [...tidied.passes, ...planned.passes],
      warnings: [...tidied.warnings, ...planned.warnings],
      resolved: planned.resolved,
      finish: async () => teaching?.finish(),
    };
  } finally {
    await calibration?.close();
  }
}

/**
 * The main job: reads a model, compresses it, writes an artefact in each format, runs them beside the original, and
 * writes `report.json`. With `dryRun` it counts and writes nothing.
 *
 * @throws CompressError for bad input of any kind; nothing that was written before is lost then
 */
export async function compressFile(file: string, given: Options, progress: Progress = {}): Promise<Report> {
  const options = withDefaults(checkOptions({ ...given }, 'compress', 'options'));
  const targets = formatsOf(options.format).map((format) => ({ format, path: artifactPath(format, file) }));
  const original = load(file);
  const splits = options.dryRun ? NO_DATA : await openData(options);
  const reading = await readingOf(original, options, allOf(splits));
  if (!options.dryRun) for (const { path } of targets) await prepareTarget(file, join(options.out, path));
  const { graph, finish, ...rest } = await runPlan(original, options, splits, progress);
  const baked = bakeParts(graph, reading, options);
  const provenance = { passes: rest.passes, reading: baked.reading, options };
  const compressed = { ...rest, graph: withProvenance(baked.graph, file, provenance) };
  const facts = { file, original, compressed, reading, options };
  const artifacts = planArtifacts(targets, compressed.graph, options);
  if (options.dryRun) return buildReport({ ...facts, artifacts: artifacts.map(unwritten), judged: null });
  return withDraft(options.out, async ({ folder, publish }) => {
    const written = await writeArtifacts(artifacts, folder);
    const reference = await writeReference(written, compressed.graph, folder, options);
    const artifactReading = baked.reading;
    const files = { file, artifacts: written, reference, original, splits, reading, artifactReading };
    const judged = await judgeArtifacts(files, options, progress);
    const report = await buildReport({ ...facts, artifacts: written, judged });
    const [{ file: artifact, runtime, channelsLast }] = written;
    const place = { folder, judged, original: file, artifact: { file: artifact, runtime, channelsLast } };
    const reports = await writeReport(report, { ...place, signal: progress.signal });
    progress.signal?.throwIfAborted();
    await publishArtifacts(written, reports, publish);
    await finish();
    return report;
  });
}

/**
 * Compares two model files without compressing anything: the same report, with no passes in it. The compressed one may
 * be of any format that is written.
 *
 * @throws CompressError where a file cannot be read or run, or the data do not fit
 */
export async function validateFiles(
  file: string,
  target: string,
  given: Options,
  progress: Progress = {},
): Promise<Report> {
  const options = withDefaults(checkOptions({ ...given }, 'validate', 'options'));
  const original = load(file);
  const artifact = openArtifact(target, original);
  const compressed = { graph: artifact.graph, passes: [], warnings: [], resolved: {} };
  const test = options.data === undefined ? null : await openDataset(options.data, options);
  const splits = { ...NO_DATA, test };
  // A file of ours says how to read it; the original may not.
  const own = decodeMetadata(artifact.metadata);
  const saysMore = !original.metadata.has(METADATA_KEY) && !own.baked?.length;
  const metadata = saysMore ? artifact.metadata : original.metadata;
  const reading = await readingOf(original.with({ metadata }), options, allOf(splits));
  const artifactReading = reading && readingWhenBaked(reading, own.baked ?? []);
  const files = { file, artifacts: [artifact], reference: null, original, splits, reading, artifactReading };
  const judged = await judgeArtifacts(files, options, progress);
  return buildReport({ file, artifacts: [artifact], original, compressed, reading, options, judged });
}
