import { isFloat } from '../../ir/types.js';
import { codeOfDataType } from '../../ops/data-type.js';
import type { Kernels, Value } from '../kernels.js';
import { aboveZero, bySign, elementwise, isZeroAtMost } from './elementwise.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

// Operands that were broadcast get their gradients summed down to their own shapes.

/** Makes an operand's gradient, in the shape of the result, only where it is asked for. */
function broadcast(call: GradientCall, partials: readonly (() => Value)[]): (Value | undefined)[] {
  return partials.map((partial, i) =>
    call.wanted[i] ? call.kernels.sumTo(partial(), inputOf(call, i).shape) : undefined,
  );
}

/** Each summand gets dY. */
const sum: GradientRule = (call) =>
  broadcast(
    call,
    call.inputs.map(() => () => gradientOf(call)),
  );

/** dA = dY, dB = −dY; what is negated is the sum, which may be small. */
const sub: GradientRule = (call) => {
  const dy = gradientOf(call);
  const [da, db] = broadcast(call, [() => dy, () => dy]);
  return [da, db && call.kernels.negate(db)];
};

/** dA = dY·B, dB = dY·A. */
const mul: GradientRule = (call) => {
  const { kernels } = call;
  const [a, b, dy] = [inputOf(call, 0), inputOf(call, 1), gradientOf(call)];
  return broadcast(call, [() => kernels.multiply(dy, b), () => kernels.multiply(dy, a)]);
};

/** dA = dY/B, dB = −dY/B·y. */
const div: GradientRule = (call) => {
  const { kernels, outputs } = call;
  const quotient = kernels.divide(gradientOf(call), inputOf(call, 1));
  const [da, db] = broadcast(call, [() => quotient, () => kernels.multiply(quotient, outputs[0])]);
  return [da, db && kernels.negate(db)];
};

/** y = A − q·B with a whole number q: dA = dY, dB = −q·dY; where q jumps, what holds at that point. */
const mod: GradientRule = (call) => {
  const { kernels, outputs } = call;
  const [a, b, dy] = [inputOf(call, 0), inputOf(call, 1), gradientOf(call)];
  const less = () => kernels.operator('Round', [kernels.divide(kernels.subtract(outputs[0], a), b)]);
  return broadcast(call, [() => dy, () => kernels.multiply(dy, less())]);
};

/** dX = dY·p·X^(p − 1), dp = dY·y·ln X; a base that is not positive gives p none. */
const pow: GradientRule = (call) => {
  const { kernels, outputs } = call;
  const [x, dy] = [inputOf(call, 0), gradientOf(call)];
  const growth = () => {
    const logarithm = kernels.operator('Log', [aboveZero(kernels, x)]);
    return kernels.multiply(kernels.multiply(outputs[0], kernels.step(x)), logarithm);
  };
  return broadcast(call, [() => kernels.multiply(dy, slopeOfPower(call, x)), () => kernels.multiply(dy, growth())]);
};

function slopeOfPower(call: GradientCall, x: Value): Value {
  const { kernels } = call;
  const exponent = inputOf(call, 1);
  const exponents = call.wanted[1] ? undefined : call.known(1);
  if (!exponents) {
    const p = isFloat(exponent.dtype) ? exponent : kernels.operator('Cast', [exponent], { to: codeOfDataType('f32') });
    return kernels.multiply(p, kernels.operator('Pow', [x, kernels.offset(p, -1)]));
  }
  // Where p is 0, any finite power of x will do, and 0 ** −1 would not.
  const lower = exponents.map((p) => (p === 0 ? 1 : p - 1));
  const isLinear = lower.every((p) => p === 1);
  const power = isLinear ? x : kernels.operator('Pow', [x, kernels.floats(lower, exponent.shape)]);
  return kernels.multiply(power, kernels.floats(exponents, exponent.shape));
}

/** Each of n operands gets dY/n. */
const mean: GradientRule = (call) => {
  const share = call.kernels.scale(gradientOf(call), 1 / call.inputs.length);
  return broadcast(
    call,
    call.inputs.map(() => () => share),
  );
};

/** dY goes to the first of the operands that are equal to y. */
function extremum(belowZero: (kernels: Kernels, x: Value, y: Value) => Value): GradientRule {
  return (call) => {
    const { kernels, inputs, outputs, wanted } = call;
    const last = wanted.lastIndexOf(true);
    let rest = gradientOf(call);
    return inputs.map((_, i) => {
      if (i > last) return undefined;
      const x = inputOf(call, i);
      const isTaken = () => isZeroAtMost(kernels, belowZero(kernels, x, outputs[0]));
      const share = i === inputs.length - 1 ? rest : kernels.multiply(rest, isTaken());
      if (i < last) rest = kernels.subtract(rest, share);
      return wanted[i] ? kernels.sumTo(share, x.shape) : undefined;
    });
  };
}

const max = extremum((kernels, x, y) => kernels.subtract(x, y));
const min = extremum((kernels, x, y) => kernels.subtract(y, x));

/** f′ = −1. */
const neg: GradientRule = (call) => [call.kernels.negate(gradientOf(call))];

/** f′ = −1 below zero, 1 above, 0 at zero. */
const abs = elementwise((call) => bySign(call.kernels, inputOf(call, 0), -1, 1));

/** f′ = 1/(2y); where y is 0, no gradient stays none. */
const sqrt: GradientRule = (call) => {
  const { kernels, outputs } = call;
  return [kernels.divide(kernels.scale(gradientOf(call), 0.5), aboveZero(kernels, outputs[0]))];
};

/** f′ = −y². */
const reciprocal = elementwise(({ kernels, outputs: [y] }) => kernels.multiply(y, kernels.negate(y)));

/** f′ = y. */
const exp = elementwise(({ outputs }) => outputs[0]);

/** f′ = 1/x. */
const log: GradientRule = (call) => [call.kernels.divide(gradientOf(call), inputOf(call, 0))];

/** f′ = cos x. */
const sin = elementwise((call) => call.kernels.operator('Cos', [inputOf(call, 0)]));

/** f′ = −sin x. */
const cos = elementwise((call) => call.kernels.negate(call.kernels.operator('Sin', [inputOf(call, 0)])));

export const arithmeticRules: RuleTable = {
  Add: sum,
  Sub: sub,
  Mul: mul,
  Div: div,
  Mod: mod,
  Pow: pow,
  Sum: sum,
  Mean: mean,
  Max: max,
  Min: min,
  Neg: neg,
  Abs: abs,
  Sign: 'flat',
  Floor: 'flat',
  Ceil: 'flat',
  Round: 'flat',
  Sqrt: sqrt,
  Reciprocal: reciprocal,
  Exp: exp,
  Log: log,
  Sin: sin,
  Cos: cos,
};
