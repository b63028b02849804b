import { join, parse } from 'node:path';
import { exportOnnx, externalFiles } from './exporters/onnx/index.js';
import { METADATA_KEY } from './formats/metadata.js';
import { load } from './importers/index.js';
import type { Graph } from './ir/graph.js';
import { type FullOptions, type Options, withDefaults } from './options.js';
import { type PassesRun, type RunOptions, runPasses } from './passes/run.js';
import { buildReport } from './recipe/build-report.js';
import { openCalibration } from './recipe/calibration.js';
import { checkOptions } from './recipe/check-options.js';
import { withDraft } from './recipe/draft.js';
import { readInputShapes } from './recipe/input-shapes.js';
import { judgeArtifact } from './recipe/judge-artifact.js';
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
 * The main job: reads a model, compresses it, writes the artefact, runs it beside the original, and writes
 * `report.json`. With `dryRun` it counts and writes nothing.
 *
 * @throws CompressError for bad input of any kind; nothing that was written before is lost then
 */
export async function compressFile(file: string, given: Options, progress: Progress = {}): Promise<Report> {
  const options = withDefaults(checkOptions({ ...given }, 'compress', 'options'));
  const original = load(file);
  const name = `${parse(file).name}.onnx`;
  const target = join(options.out, name);
  const splits = options.dryRun ? NO_DATA : await openData(options);
  const reading = await readingOf(original, options, allOf(splits));
  if (!options.dryRun) await prepareTarget(file, target);
  const { graph, finish, ...rest } = await runPlan(original, options, splits, progress);
  const compressed = { ...rest, graph: withProvenance(graph, file, { passes: rest.passes, reading, options }) };
  const facts = { file, target, original, compressed, reading, options };
  if (options.dryRun) return buildReport({ ...facts, written: null, judged: null });
  return withDraft(options.out, async ({ folder, publish }) => {
    const artifact = join(folder, name);
    const written = await exportOnnx(compressed.graph, artifact, { externalData: options.externalData });
    const judged = await judgeArtifact({ file, artifact, original, splits, reading }, options, progress);
    const report = await buildReport({ ...facts, written, judged });
    const files = await writeReport(report, { folder, judged, original: file, artifact, signal: progress.signal });
    progress.signal?.throwIfAborted();
    // Weights come before the model that reads them, and the report on all last.
    await publish([...written.reverse(), ...files]);
    await finish();
    return report;
  });
}

/**
 * Compares two model files without compressing anything: the same report, with no passes in it.
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
  const compressed = { graph: load(target), passes: [], warnings: [], resolved: {} };
  const test = options.data === undefined ? null : await openDataset(options.data, options);
  const splits = { ...NO_DATA, test };
  // A file of ours says how to read it; the original may not.
  const { metadata } = original.metadata.has(METADATA_KEY) ? original : compressed.graph;
  const reading = await readingOf(original.with({ metadata }), options, allOf(splits));
  const judged = await judgeArtifact({ file, artifact: target, original, splits, reading }, options, progress);
  const written = [target, ...externalFiles(compressed.graph)];
  return buildReport({ file, target, written, original, compressed, reading, options, judged });
}
