import { join, parse } from 'node:path';
import { exportOnnx } from './exporters/onnx/index.js';
import { load } from './importers/index.js';
import type { Graph } from './ir/graph.js';
import { type Options, withDefaults } from './options.js';
import { type PassReport, runPasses } from './passes/run.js';
import { buildReport } from './recipe/build-report.js';
import { openCalibration } from './recipe/calibration.js';
import { checkOptions } from './recipe/check-options.js';
import { readInputShapes } from './recipe/input-shapes.js';
import { judgeArtifact } from './recipe/judge-artifact.js';
import { planSteps } from './recipe/plan.js';
import { prepareTarget } from './recipe/prepare-target.js';
import { withProvenance } from './recipe/provenance.js';
import { writeReport } from './recipe/write-report.js';
import type { Report } from './report/types.js';

/** How a run shows itself while it goes on. */
export interface Progress {
  readonly signal?: AbortSignal;
  readonly onProgress?: (task: string, done: number, total: number, detail?: string) => void;
}

export interface Compressed {
  readonly graph: Graph;
  readonly passes: readonly PassReport[];
  readonly warnings: readonly string[];
}

/** Compresses a graph in memory: the passes alone. Only with `data` are files read and graphs run. */
export async function compress(graph: Graph, options: Options = {}, progress: Progress = {}): Promise<Compressed> {
  const full = withDefaults(checkOptions({ ...options }, 'compress', 'options'));
  const shapes = readInputShapes(full.inputShape, graph.inputs);
  const calibration = full.dryRun ? undefined : await openCalibration(graph, full, progress.signal);
  try {
    return await runPasses(graph, planSteps(graph, full, shapes, calibration !== undefined), {
      seed: full.seed,
      check: full.check,
      signal: progress.signal,
      calibration,
      onProgress: (pass, fraction, detail) => progress.onProgress?.(pass, Math.round(fraction * 100), 100, detail),
    });
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
  const target = join(options.out, `${parse(file).name}.onnx`);
  if (!options.dryRun) await prepareTarget(file, target);
  const compressed = await compress(original, options, progress);
  const described = { ...compressed, graph: withProvenance(compressed.graph, file, compressed.passes, options) };
  if (options.dryRun) return buildReport({ file, target, original, compressed: described, options, judged: null });
  await exportOnnx(described.graph, target, { externalData: options.externalData });
  const judged = await judgeArtifact(file, target, original, options, progress);
  const report = await buildReport({ file, target, original, compressed: described, options, judged });
  await writeReport(report, { options, judged, original: file, artifact: target });
  return report;
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
  const options = withDefaults(given);
  const original = load(file);
  const compressed = { graph: load(target), passes: [], warnings: [] };
  const judged = await judgeArtifact(
    file,
    target,
    original,
    { ...options, testData: options.testData ?? options.data, data: undefined },
    progress,
  );
  return buildReport({ file, target, original, compressed, options, judged });
}
