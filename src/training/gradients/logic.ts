import { isFloat } from '../../ir/types.js';
import { codeOfDataType } from '../../ops/data-type.js';
import { type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

/** dX is dY where the condition holds, dY of the other branch what is left of it. */
const where: GradientRule = (call) => {
  const { kernels, wanted } = call;
  const [condition, dy] = [inputOf(call, 0), gradientOf(call)];
  const zero = kernels.number(0);
  const first = wanted[1] ? kernels.operator('Where', [condition, dy, zero]) : undefined;
  const second = () => (first ? kernels.subtract(dy, first) : kernels.operator('Where', [condition, zero, dy]));
  return [
    undefined,
    first && kernels.sumTo(first, inputOf(call, 1).shape),
    wanted[2] ? kernels.sumTo(second(), inputOf(call, 2).shape) : undefined,
  ];
};

/** dX is dY in the element type of X; none from or to integers. */
const cast: GradientRule = (call) => {
  const { dtype } = inputOf(call, 0);
  const dy = gradientOf(call);
  if (!isFloat(dtype) || !isFloat(dy.dtype)) return [];
  return [dtype === dy.dtype ? dy : call.kernels.operator('Cast', [dy], { to: codeOfDataType(dtype) })];
};

/** dX = dY. Dropout does nothing at inference, which is the form that models are read in. */
const identity: GradientRule = (call) => [gradientOf(call)];

export const logicRules: RuleTable = {
  Equal: 'flat',
  Less: 'flat',
  LessOrEqual: 'flat',
  Greater: 'flat',
  GreaterOrEqual: 'flat',
  And: 'flat',
  Or: 'flat',
  Xor: 'flat',
  Not: 'flat',
  Where: where,
  Cast: cast,
  CastLike: cast,
  Identity: identity,
  Dropout: identity,
};
