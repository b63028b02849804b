import type { Kernels, Value } from '../kernels.js';
import { type GradientCall, type GradientRule, gradientOf } from './rule.js';

/** HardSigmoid and Clip cut LARGE·d off at their bounds: no float32 of a network lies between 0 and 1 / LARGE. */
const LARGE = 1e30;

/** y = f(x) by element: dX = dY·f′. */
export function elementwise(derivative: (call: GradientCall) => Value): GradientRule {
  return (call) => [call.kernels.multiply(gradientOf(call), derivative(call))];
}

/** 1 where a difference that is never above zero is zero, else 0. */
export function isZeroAtMost(kernels: Kernels, difference: Value): Value {
  return kernels.operator('HardSigmoid', [difference], { alpha: LARGE, beta: 1 });
}

/** `low` where x < 0, `high` where x > 0; at 0 what of both lies nearest to 0. */
export function bySign(kernels: Kernels, x: Value, low: number, high: number): Value {
  const steep = kernels.scale(x, low < high ? LARGE : -LARGE);
  const bounds = [Math.min(low, high), Math.max(low, high)].map((bound) => kernels.number(bound));
  return kernels.operator('Clip', [steep, ...bounds]);
}

/** Keeps divisions finite where the divisor, never below zero, is 0: 0/0 is then 0. */
export function aboveZero(kernels: Kernels, divisor: Value): Value {
  return kernels.operator('Max', [divisor, kernels.number(SMALLEST)]);
}

const SMALLEST = 1e-30;
