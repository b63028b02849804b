/** Every pass, in the order in which a run applies them. */

export { alignChannels } from './align-channels.js';
export { canonicalize } from './canonicalize.js';
export { foldBn } from './fold-bn.js';
export { halfWeights } from './half-weights.js';
export { removeDeadChannels } from './remove-dead-channels.js';
export { separable } from './separable.js';
export { thin } from './thin.js';
