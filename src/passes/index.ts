/**
 * Every pass; a run's order stands in src/recipe/plan.ts. Without `calibration` and `teaching` in their context, which
 * `compress` opens where it is given images, `refit` and `distill` change nothing.
 */

export { alignChannels } from './align-channels.js';
export { canonicalize } from './canonicalize.js';
export { distill } from './distill.js';
export { foldBn } from './fold-bn.js';
export { halfWeights } from './half-weights.js';
export { observe } from './observe.js';
export { refit } from './refit.js';
export { removeDeadChannels } from './remove-dead-channels.js';
export { separable } from './separable.js';
export { student } from './student.js';
export { thin } from './thin.js';
