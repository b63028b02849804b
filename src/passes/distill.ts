import { type Distilled, distil } from '../training/distillation.js';
import type { DistillationSettings } from '../training/settings.js';
import type { Pass, PassContext } from './pass.js';

export interface DistillOptions extends DistillationSettings {
  /** Largest difference of mean Dice that counts as equal; a student that stays shorter is warned of. */
  readonly margin: number;
}

/**
 * Trains the network to do what the original does (knowledge distillation: Hinton, Vinyals and Dean 2015; feature maps:
 * Vaze, Xie and Namburete 2020, section III-C). Before: a thinned, factorized network with normalizations folded. After:
 * the same network with other weights, and normalizations that `fold-bn` folds again.
 */
export const distill: Pass<DistillOptions> = {
  name: 'distill',
  summary: 'trains the smaller network to do what the original does',
  keeps: 'approximate',
  async run(graph, { margin, ...given }, context) {
    if (!context.teaching) return graph;
    const { teacher, material } = context.teaching;
    const distilled = await distil(teacher, graph, { material, given, context });
    context.resolve({ ...distilled.settings, kernels: distilled.kernels });
    note(distilled, context);
    warnIfShort(distilled, margin, context);
    return distilled.graph;
  },
};

function note(
  { settings, curve, steps, stepsShare, best, teacherScore, kernels, features }: Distilled,
  context: PassContext,
): void {
  context.note({
    layer: 'all layers',
    action: 'distilled',
    ...settings,
    stepsDone: steps,
    stepsShare,
    kernels,
    bestStep: best.step,
    validationDice: best.score,
    originalValidationDice: teacherScore,
    features,
    curveSteps: curve.map(({ step }) => step),
    curveValidationDice: curve.map(({ score }) => score),
    ...termCurves(curve),
  });
}

function termCurves(curve: Distilled['curve']): Record<string, number[]> {
  const points = curve.slice(1);
  const terms = Object.keys(points[0]?.terms ?? {});
  return Object.fromEntries(terms.map((term) => [`curve ${term}`, points.map(({ terms: means }) => means[term])]));
}

function warnIfShort({ best, teacherScore, steps, settings }: Distilled, margin: number, context: PassContext): void {
  const short = teacherScore - best.score;
  if (short <= margin) return;
  const stillRising = best.step > 0.8 * steps && steps === settings.steps;
  // The original agrees wholly with itself: then there are no masks, or none that it does not make.
  const gap =
    teacherScore === 1
      ? `the distilled network's masks overlap with the original's by a Dice of ${best.score.toFixed(4)} on validation images, which misses 1 by more than the margin of ${margin}`
      : `the distilled network stays ${short.toFixed(4)} below the original's Dice on validation images, more than the margin of ${margin}`;
  const help = stillRising
    ? 'it was still rising, so more --distill-steps would help'
    : 'more width or rank would help';
  context.warn(`${gap}; ${help}`);
}
