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
import { thin } from '../passes/thin.js';
import { readLayerChoice } from './layer-choice.js';

/** The passes that make a graph plain before anything is chosen; layers are named on what they leave. */
export function tidyingSteps(options: FullOptions): Step[] {
  checkDistillation(options);
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
  if (!isCalibrated) return [...thinning, ...folding, ...factorization, ...finish];
  const training = options.distill ? [step(distill, distillOptions(options)), ...folding] : [];
  // Folded first, so that what is observed is what the fitted layers are to make.
  const fitted = (steps: Step[]) => (steps.length ? [...steps, step(refit, {})] : []);
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
}: FullOptions) {
  return { steps: distillSteps, minutes: distillMinutes, batch, rate: lr, augment, featureWeight, featureLoss, margin };
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
