import { hardSigmoid, hardSwish, hardSwishDividedLast } from './activations.js';
import { knownValues, rearrangedConstants, widenedConstants } from './constants.js';
import { atrousKernel, paddingIntoConv } from './convolutions.js';
import { biasIntoMatMul, factorsIntoGemm } from './dense.js';
import { consecutiveReshapes, consecutiveTransposes, withoutEffect } from './moves.js';
import { groupNorm, layerNorm } from './norms.js';
import type { Rule } from './rule.js';

/** Rules that leave less to look at. */
export const SIMPLIFYING_RULES: readonly Rule[] = [
  knownValues,
  withoutEffect,
  rearrangedConstants,
  widenedConstants,
  consecutiveTransposes,
  consecutiveReshapes,
];

/** Rules that know a pattern; tried when nothing can be made simpler, so that each pattern has few faces. */
export const RECOGNIZING_RULES: readonly Rule[] = [
  groupNorm,
  layerNorm,
  hardSigmoid,
  hardSwish,
  hardSwishDividedLast,
  biasIntoMatMul,
  factorsIntoGemm,
  atrousKernel,
  paddingIntoConv,
];
