import type { RuleTable } from './rule.js';

/**
 * Rounding has no gradient to learn from, and pretending that it is the identity changes what is trained. What lies
 * before a quantizer must therefore be refused rather than left as it is without a word.
 */
export const quantRules: RuleTable = { QuantizeLinear: 'unsupported', DequantizeLinear: 'unsupported' };
