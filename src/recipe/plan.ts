import { layersOf } from '../analysis/layers.js';
import { badOption } from '../errors.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import { alignChannels } from '../passes/align-channels.js';
import { canonicalize } from '../passes/canonicalize.js';
import { distill } from '../passes/distill.js';
import { foldBn } from '../passes/fold-bn.js';
import { halfWeights } from '../passes/half-weights.js';
import { observe } from '../passes/observe.js';
import { refit } from '../passes/refit.js';
import { removeDeadChannels } from '../passes/remove-dead-channels.js';
import { type Step, step } from '../passes/run.js';
import { separable } from '../passes/separable.js';
import { student } from '../passes/student.js';
import { thin } from '../passes/thin.js';
import { readLayerChoice } from './layer-choice.js';

/** The passes that make a graph plain before anything is chosen; layers are named on what they leave. */
export function tidyingSteps(options: FullOptions): Step[] {
  checkDistillation(options);
  checkStudent(options);
  const changes =
    options.distill || isThinned(options) || options.foldBn || options.separable !== undefined || options.fp16;
  return changes ? [step(canonicalize, {}), step(removeDeadChannels, {})] : [];
}

/**
 * The passes that the options ask for, in their order, for a tidied graph.
 * @throws CompressError for options that contradict each other, and for a glob that matches no layer
 */
export function planSteps(
  graph: Graph,
  options: FullOptions,
  inputShapes: ReadonlyMap<string, readonly number[]>,
  isCalibrated = false,
): Step[] {
  const names = layersOf(graph).map(({ node }) => node.name);
  const layers = readLayerChoice(names, options.keepLayer, options.exclude);
  const form = factorizationForm(options);
  const thinning = isThinned(options)
    ? [
        step(thin, {
          keep: options.thin ?? 1,
          round: options.round,
          shape: options.thinShape,
          width: options.width,
          layerKeep: layers.keep,
          inputShapes,
        }),
      ]
    : [];
  const folding = options.foldBn ? [step(foldBn, {})] : [];
  const factorization = form ? [step(separable, { ...form, exclude: layers.isExcluded })] : [];
  const finish = [
    ...(options.align > 1 ? [step(alignChannels, { multiple: options.align })] : []),
    ...(options.fp16 ? [step(halfWeights, {})] : []),
  ];
  const training = options.distill ? [step(distill, distillOptions(options)), ...folding] : [];
  if (options.student)
    return [step(student, { preset: options.student }), ...(isCalibrated ? training : []), ...finish];
  if (!isCalibrated) return [...thinning, ...folding, ...factorization, ...finish];
  // Folded first, so that what is observed is what the fitted layers are to make.
  const isFitted = !options.distill || startOf(options) === 'fitted';
  const fitted = (steps: Step[]) => (steps.length && isFitted ? [...steps, step(refit, {})] : steps);
  return [...folding, step(observe, {}), ...fitted(thinning), ...fitted(factorization), ...training, ...finish];
}

/** Whether one of the passes that are asked for can choose or fit by data. */
export function learnsFromData(options: FullOptions): boolean {
  return isThinned(options) || options.separable !== undefined || options.distill === true;
}

function distillOptions({
  distillSteps,
  distillMinutes,
  batch,
  lr,
  augment,
  featureWeight,
  featureLoss,
  margin,
  ...options
}: FullOptions) {
  return {
    start: startOf(options),
    steps: distillSteps,
    minutes: distillMinutes,
    batch,
    rate: lr,
    augment,
    featureWeight,
    featureLoss,
    margin,
  };
}

/** A flat network has no counterpart of its widths in the original: what was fitted there is no better start. */
function startOf({ start, thinShape, student }: Pick<FullOptions, 'start' | 'thinShape' | 'student'>) {
  return start ?? (thinShape === 'flat' || student ? 'random' : 'fitted');
}

function checkStudent(options: FullOptions): void {
  if (!options.student) return;
  if (!options.distill) throw badOption('--student', 'makes a network that knows nothing yet; it goes with --distill');
  const { thin: keep, width, keepLayer, exclude, separable: form, rank, maxError, round, thinShape, start } = options;
  const ofOriginal = {
    thin: keep,
    width,
    thinShape: thinShape === 'flat' ? thinShape : undefined,
    round: round > 1 ? round : undefined,
    keepLayer,
    exclude,
    separable: form,
    rank,
    maxError,
    start: start === 'fitted' ? start : undefined,
  };
  const [given] = Object.entries(ofOriginal).filter(([, value]) => value !== undefined);
  if (given)
    throw badOption(flagOf(given[0]), "is for a network with the original's layers and cannot go with --student");
}

function checkDistillation(options: FullOptions): void {
  const { distill: isOn, data, distillSteps, distillMinutes } = options;
  if (isOn && data === undefined)
    throw badOption('--distill', 'needs images to train on; name them with --data <folder>');
  if (distillSteps !== undefined && distillMinutes !== undefined)
    throw badOption('--distill-minutes', 'sets the number of steps and cannot go with --distill-steps');
  const dependent = {
    distillSteps,
    distillMinutes,
    batch: options.batch,
    lr: options.lr,
    featureWeight: options.featureWeight,
    start: options.start,
  };
  const [given] = Object.entries(dependent).filter(([, value]) => value !== undefined);
  if (!isOn && (given || options.resume)) throw badOption(flagOf(given?.[0] ?? 'resume'), 'goes with --distill');
}

/** distillSteps -> --distill-steps */
function flagOf(option: string): string {
  return `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function isThinned({ thin: keep, width, keepLayer, thinShape }: FullOptions): boolean {
  if (width !== undefined && thinShape !== 'flat') throw badOption('--width', 'goes with --thin-shape flat');
  return keep !== undefined || width !== undefined || keepLayer !== undefined;
}

function factorizationForm({ separable: form, rank, maxError }: FullOptions) {
  if (typeof rank === 'number' && maxError !== undefined)
    throw badOption('--max-error', 'chooses the rank itself and cannot go with a number for --rank');
  if (!form && (rank !== undefined || maxError !== undefined))
    throw badOption(rank === undefined ? '--max-error' : '--rank', 'goes with --separable');
  if (!form) return undefined;
  const automatic = maxError !== undefined || form === 'auto';
  return { mode: form, rank: rank ?? (automatic ? ('auto' as const) : 1), maxError };
}
