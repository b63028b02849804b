import { interrupted, trainingDiverged } from '../errors.js';
import { Tensor } from '../ir/tensor.js';
import type { Best, Checkpoint, CurvePoint } from './checkpoint.js';
import type { LoadedStep, Values } from './engine.js';
import { ADAMW } from './optimizer.js';
import { averagingShare, rateShare } from './schedule.js';
import { GRADIENT_NORM, LOSSES, NUMBERS } from './step.js';

export interface FitPlan {
  readonly steps: number;
  /** Peak learning rate. */
  readonly rate: number;
  /** Share of the averaged weights that stays from step to step, once it has grown to it. */
  readonly averaging: number;
  /** Steps between two looks at the validation images. */
  readonly evaluateEvery: number;
  /** Looks without a rise of the best score after which training stops. */
  readonly patience: number;
}

export interface FitHooks {
  /** The inputs of a step beside its state; a function of the step alone. */
  batch(step: number): Promise<Values>;
  /** The score of a student with these weights on the validation images. */
  evaluate(parameters: Float32Array, statistics: Float32Array): Promise<number>;
  /** Called where all that is to come follows from the checkpoint. */
  checkpoint(checkpoint: Checkpoint): Promise<void>;
  progress(step: number, terms: Readonly<Record<string, number>>, best: Best | null): void;
  warn(message: string): void;
  readonly signal?: AbortSignal;
}

export interface Fitted {
  readonly best: Best;
  readonly curve: readonly CurvePoint[];
  /** Steps done, fewer than planned where training stopped early. */
  readonly steps: number;
}

/** Share of a batch's statistics in the running ones. */
const MIXING = 0.1;

/** Share of the steps before which no stall is counted. */
const STALL_FROM = 0.4;

/** A loss so many times the mean of those before counts as exploded; a long gradient does not, it is clipped. */
const EXPLOSION = 100;

/** Runs the steps that are left after `start` and keeps the weights that score best on the validation images. */
export async function fitStudent(
  loaded: LoadedStep,
  terms: readonly string[],
  plan: FitPlan,
  { start, hooks }: { start: Checkpoint; hooks: FitHooks },
): Promise<Fitted> {
  let kept = start;
  await loaded.setState(asValues(start.state));
  if (!kept.best) kept = await evaluated(loaded, kept, { terms: {}, hooks });
  while (kept.step < plan.steps && !isStalled(kept, plan)) {
    await hooks.checkpoint(kept);
    const stretch = await runStretch(loaded, terms, plan, { from: kept, hooks });
    if (!stretch.fault) {
      kept = await evaluated(loaded, { ...kept, step: stretch.step }, { terms: stretch.means, hooks });
      continue;
    }
    const { step, term, value } = stretch.fault;
    if (kept.rateFactor < 1) throw trainingDiverged(step, term, value);
    hooks.warn(
      `at step ${step} the term '${term}' became ${value}; training went back to step ${kept.step} at half the rate`,
    );
    kept = { ...kept, rateFactor: 0.5 };
    await loaded.setState(asValues(kept.state));
  }
  return { best: kept.best as Best, curve: kept.curve, steps: kept.step };
}

interface Stretch {
  readonly step: number;
  readonly means: Record<string, number>;
  readonly fault?: { readonly step: number; readonly term: string; readonly value: number };
}

/** The steps up to the next look at the validation images. */
async function runStretch(
  loaded: LoadedStep,
  terms: readonly string[],
  plan: FitPlan,
  { from, hooks }: { from: Checkpoint; hooks: FitHooks },
): Promise<Stretch> {
  const end = Math.min(plan.steps, from.step + plan.evaluateEvery);
  const sums = new Float64Array(terms.length);
  let next: Promise<Values> | undefined;
  try {
    for (let step = from.step; step < end; step++) {
      if (hooks.signal?.aborted) throw interrupted();
      const batch = await (next ?? hooks.batch(step));
      const running = loaded.run(new Map([...batch, [NUMBERS, numbersOf(step, plan, from.rateFactor)]]));
      // The next batch is made while the step runs in its own process.
      next = step + 1 < end ? hooks.batch(step + 1) : undefined;
      // Whoever awaits it is told; until then a failure must not end the process.
      next?.catch(() => {});
      const losses = (await running).get(LOSSES)?.toFloat32() ?? new Float32Array(terms.length);
      const done = step - from.step;
      const bad = terms.findIndex((term, i) => isBad(term, losses[i], done > 0 ? sums[i] / done : undefined));
      if (bad >= 0) return { step, means: {}, fault: { step, term: terms[bad], value: losses[bad] } };
      for (let i = 0; i < sums.length; i++) sums[i] += losses[i];
      hooks.progress(step + 1, byTerm(terms, sums, done + 1), from.best);
    }
  } finally {
    // What it reads must not be closed under it.
    await next?.catch(() => {});
  }
  return { step: end, means: byTerm(terms, sums, end - from.step) };
}

function isBad(term: string, value: number, mean: number | undefined): boolean {
  if (!Number.isFinite(value)) return true;
  return term !== GRADIENT_NORM && mean !== undefined && value > EXPLOSION * Math.max(mean, 0.1);
}

function byTerm(terms: readonly string[], sums: Float64Array, count: number): Record<string, number> {
  return Object.fromEntries(terms.map((term, i) => [term, sums[i] / count]));
}

/** What `StepNumbers` names, and the share of the batch's statistics. */
function numbersOf(step: number, { steps, rate, averaging }: FitPlan, rateFactor: number): Tensor {
  const [first, second] = ADAMW.betas.map((beta) => 1 - beta ** (step + 1));
  const share = averagingShare(step, averaging);
  return Tensor.floats(Float32Array.of(rate * rateFactor * rateShare(step, steps), first, second, share, MIXING));
}

/** The state after these steps with its score; the best so far is remembered. */
async function evaluated(
  loaded: LoadedStep,
  before: Checkpoint,
  { terms, hooks }: { terms: Record<string, number>; hooks: FitHooks },
): Promise<Checkpoint> {
  const state = Object.fromEntries([...(await loaded.state())].map(([name, tensor]) => [name, tensor.toFloat32()]));
  const { average: parameters, statistics } = state;
  const score = await hooks.evaluate(parameters, statistics);
  const { step } = before;
  const rises = !before.best || score > before.best.score || Number.isNaN(before.best.score);
  return {
    ...before,
    state,
    curve: [...before.curve, { step, score, terms }],
    best: rises ? { step, score, parameters: parameters.slice(), statistics: statistics.slice() } : before.best,
  };
}

/** The rate must have begun to fall before a stall means anything: a start may drop first, and rise late. */
function isStalled({ step, best }: Checkpoint, { steps, evaluateEvery, patience }: FitPlan): boolean {
  const lastRise = Math.max(best?.step ?? 0, STALL_FROM * steps);
  return step - lastRise >= patience * evaluateEvery;
}

function asValues(state: Checkpoint['state']): Values {
  return new Map(Object.entries(state).map(([name, vector]) => [name, Tensor.floats(vector)]));
}
