import { type Cost, costOf } from '../analysis/cost.js';
import { CompressError, interrupted, passFailed, VerifierError } from '../errors.js';
import type { Graph } from '../ir/graph.js';
import { verify } from '../ir/verify.js';
import { semantics } from '../ops/index.js';
import type { Calibration, Change, Pass, PassContext, Teaching } from './pass.js';

/** A pass with the options it is to run with. */
export interface Step {
  readonly name: string;
  readonly keeps: Pass<never>['keeps'];
  readonly run: (graph: Graph, context: PassContext) => Graph | Promise<Graph>;
}

export function step<Options>(pass: Pass<Options>, options: Options): Step {
  return { name: pass.name, keeps: pass.keeps, run: (graph, context) => pass.run(graph, options, context) };
}

/** What one pass did; a row of the report. */
export interface PassReport {
  readonly name: string;
  readonly keeps: Pass<never>['keeps'];
  readonly changes: readonly Change[];
  readonly seconds: number;
  readonly parameters: { readonly before: number; readonly after: number };
}

export interface RunOptions {
  readonly seed: number;
  /** Verify the graph after every pass. */
  readonly check?: boolean;
  readonly signal?: AbortSignal;
  readonly calibration?: Calibration;
  readonly teaching?: Teaching;
  /** A warning of a pass, as soon as it is known; it is among the results as well. */
  readonly onWarning?: (message: string) => void;
  readonly onProgress?: (pass: string, fraction: number, detail?: string) => void;
}

export interface PassesRun {
  readonly graph: Graph;
  readonly passes: readonly PassReport[];
  readonly warnings: readonly string[];
  /** What was decided while they ran, by pass. */
  readonly resolved: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Runs passes in order; times them, collects what they note, and names the one that fails. */
export async function runPasses(graph: Graph, steps: readonly Step[], options: RunOptions): Promise<PassesRun> {
  const resolved: Told['resolved'] = {};
  const passes: PassReport[] = [];
  const warnings: string[] = [];
  let before = costOf(graph);
  for (const current of steps) {
    if (options.signal?.aborted) throw interrupted();
    const changes: Change[] = [];
    const started = performance.now();
    graph = await runStep(graph, current, contextFor(current, options, { changes, warnings, resolved }));
    const seconds = (performance.now() - started) / 1000;
    if (options.check) check(graph, current);
    const after: Cost = costOf(graph);
    passes.push({
      name: current.name,
      keeps: current.keeps,
      changes,
      seconds,
      parameters: { before: before.parameters, after: after.parameters },
    });
    before = after;
  }
  return { graph, passes, warnings, resolved };
}

async function runStep(graph: Graph, current: Step, context: PassContext): Promise<Graph> {
  try {
    return await current.run(graph, context);
  } catch (error) {
    const isFailure = error instanceof CompressError && error.code !== 'interrupted';
    throw isFailure ? passFailed(current.name, error) : error;
  }
}

/** Where what passes tell is gathered. */
interface Told {
  readonly changes: Change[];
  readonly warnings: string[];
  readonly resolved: Record<string, Readonly<Record<string, unknown>>>;
}

function contextFor(current: Step, options: RunOptions, { changes, warnings, resolved }: Told): PassContext {
  return {
    semantics,
    seed: options.seed,
    signal: options.signal,
    calibration: options.calibration,
    teaching: options.teaching,
    note: (change) => changes.push(change),
    warn(message) {
      warnings.push(message);
      options.onWarning?.(message);
    },
    resolve: (values) => {
      resolved[current.name] = values;
    },
    progress: (fraction, detail) => options.onProgress?.(current.name, fraction, detail),
  };
}

function check(graph: Graph, current: Step): void {
  const findings = verify(graph, semantics);
  if (findings.length) throw new VerifierError(current.name, findings);
}
