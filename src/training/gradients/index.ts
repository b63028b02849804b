import { activationRules } from './activations.js';
import { arithmeticRules } from './arithmetic.js';
import { convRules } from './conv.js';
import { einsumRules } from './einsum.js';
import { imageNormRules } from './image-norm.js';
import { joinRules } from './join.js';
import { logicRules } from './logic.js';
import { normRules } from './norm.js';
import { piecewiseRules } from './piecewise.js';
import { poolRules } from './pool.js';
import { productRules } from './product.js';
import { quantRules } from './quant.js';
import { reduceRules } from './reduce.js';
import { reshapeRules } from './reshape.js';
import { resizeRules } from './resize.js';
import type { GradientRule, NoGradient, RuleTable } from './rule.js';
import { sliceRules } from './slice.js';

/** One row for every operator of src/ops; a test keeps it total. */
export const rules: RuleTable = {
  ...convRules,
  ...normRules,
  ...poolRules,
  ...piecewiseRules,
  ...activationRules,
  ...arithmeticRules,
  ...logicRules,
  ...reduceRules,
  ...productRules,
  ...einsumRules,
  ...quantRules,
  ...joinRules,
  ...imageNormRules,
  ...resizeRules,
  ...reshapeRules,
  ...sliceRules,
};

export function ruleOf(op: string): GradientRule | NoGradient {
  return rules[op] ?? 'unsupported';
}
