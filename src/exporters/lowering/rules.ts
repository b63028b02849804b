import { activationRules } from './activations.js';
import { convRules } from './conv.js';
import { denseRules } from './dense.js';
import { einsumRules } from './einsum.js';
import { extendRules } from './extend.js';
import { joinRules } from './join.js';
import { logicRules } from './logic.js';
import { normRules } from './norm.js';
import { pointwiseRules } from './pointwise.js';
import { poolRules } from './pool.js';
import { reduceRules } from './reduce.js';
import { reshapeRules } from './reshape.js';
import { resizeRules } from './resize.js';
import type { LoweringRules } from './rule.js';

/** How each operator of the graph is said in operations. A test holds it against the table of operators: none may be missing. */
export const RULES: LoweringRules = {
  ...convRules,
  ...normRules,
  ...activationRules,
  ...pointwiseRules,
  ...logicRules,
  ...poolRules,
  ...resizeRules,
  ...joinRules,
  ...extendRules,
  ...reshapeRules,
  ...denseRules,
  ...einsumRules,
  ...reduceRules,
};
