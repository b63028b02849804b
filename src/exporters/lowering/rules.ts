import { convRules } from './conv.js';
import { poolRules } from './pool.js';
import { resizeRules } from './resize.js';
import type { LoweringRules } from './rule.js';

/** How each operator of the graph is said in operations. A test holds it against the table of operators: none may be missing. */
export const RULES: LoweringRules = {
  ...convRules,
  ...poolRules,
  ...resizeRules,
};
