/** Every pass, in the order in which a run applies them. */

export { foldBn } from './fold-bn.js';
export { halfWeights } from './half-weights.js';
export { separable } from './separable.js';
export { thin } from './thin.js';
