import type { LoweringCase } from './lowering-case.js';
import { arrangingCases } from './lowering-cases-arranging.js';
import { elementCases } from './lowering-cases-elements.js';
import { sumCases } from './lowering-cases-sums.js';

/** Every operator but convolutions, pools and Resize, in all that it can say; by family. */
export const LOWERING_CASES: readonly (readonly [family: string, cases: readonly LoweringCase[]])[] = [
  ['element-wise', elementCases],
  ['arranging', arrangingCases],
  ['sums and products', sumCases],
];
