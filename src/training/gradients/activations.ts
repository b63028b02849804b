import type { Kernels, Value } from '../kernels.js';
import { elementwise } from './elementwise.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

/** f′ = y·(1 − y). */
const sigmoid = elementwise(({ kernels, outputs: [y] }) => kernels.multiply(y, kernels.subtract(kernels.number(1), y)));

/** f′ = 1 − y². */
const tanh = elementwise(({ kernels, outputs: [y] }) => oneMinusSquare(kernels, y));

/** f′ = 2/√π·exp(−x²). */
const erf = elementwise((call) => {
  const { kernels } = call;
  return kernels.scale(bell(kernels, inputOf(call, 0)), 2 / Math.sqrt(Math.PI));
});

/** f′ = σ(x). */
const softplus = elementwise((call) => call.kernels.operator('Sigmoid', [inputOf(call, 0)]));

/** y = x / (1 + |x|): f′ = (1 − |y|)². */
const softsign = elementwise(({ kernels, outputs }) => {
  const rest = kernels.subtract(kernels.number(1), kernels.operator('Abs', [outputs[0]]));
  return kernels.multiply(rest, rest);
});

/** f′ = 1 where x > 0, else α·exp(x); at zero α. */
const elu = elementwise((call) => exponentialUnit(call, { alpha: Number(call.attributes.alpha) }));

/** f′ = γ where x > 0, else γ·α·exp(x); at zero γ·α. */
const selu = elementwise((call) => {
  const { alpha, gamma } = call.attributes;
  return exponentialUnit(call, { alpha: Number(alpha), gamma: Number(gamma) });
});

/** f′ = 1 where x > 0, else exp(x/α). */
const celu = elementwise((call) => exponentialUnit(call, { stretch: Number(call.attributes.alpha) }));

/** γ·(α·exp(min(x, 0)/stretch) + (1 − α)·[x > 0]). */
function exponentialUnit(call: GradientCall, { alpha = 1, gamma = 1, stretch = 1 }): Value {
  const { kernels } = call;
  const x = inputOf(call, 0);
  const scaled = (value: Value, factor: number) => (factor === 1 ? value : kernels.scale(value, factor));
  const below = scaled(kernels.operator('Min', [x, kernels.number(0)]), 1 / stretch);
  const grown = scaled(kernels.operator('Exp', [below]), gamma * alpha);
  return alpha === 1 ? grown : kernels.add(grown, kernels.scale(kernels.step(x), gamma * (1 - alpha)));
}

/** As PyTorch's two forms (Hendrycks and Gimpel 2016). */
const gelu = elementwise((call) => {
  const x = inputOf(call, 0);
  return call.attributes.approximate === 'tanh' ? geluByTanh(call.kernels, x) : geluByErf(call.kernels, x);
});

/** With t = x/√2: f′ = (1 + erf t)/2 + t·exp(−t²)/√π. */
function geluByErf(kernels: Kernels, x: Value): Value {
  const t = kernels.scale(x, Math.SQRT1_2);
  const half = halfOfOnePlus(kernels, kernels.operator('Erf', [t]));
  return kernels.add(half, kernels.scale(kernels.multiply(t, bell(kernels, t)), 1 / Math.sqrt(Math.PI)));
}

/**
 * With u = √(2/π)·(x + 0.044715·x³) and t = tanh u: f′ = (1 + t)/2 + x·u′·(1 − t²)/2. The runtime's tanh is exactly ±1
 * beyond ±9, so that no rounding is left for a large x·u′ to multiply.
 */
function geluByTanh(kernels: Kernels, x: Value): Value {
  const square = kernels.multiply(x, x);
  /** linear·x + cubic·x³. */
  const polynomial = (linear: number, cubic: number) =>
    kernels.multiply(x, kernels.offset(kernels.scale(square, cubic), linear));
  const [c, d] = [Math.sqrt(2 / Math.PI), Math.sqrt(2 / Math.PI) * 0.044715];
  const t = kernels.operator('Tanh', [polynomial(c, d)]);
  const slope = polynomial(c / 2, 1.5 * d);
  return kernels.add(halfOfOnePlus(kernels, t), kernels.multiply(slope, oneMinusSquare(kernels, t)));
}

/** With t = tanh(softplus(x)), y = x·t: f′ = t + x·σ(x)·(1 − t²) (Misra 2019). */
const mish = elementwise((call) => {
  const { kernels } = call;
  const x = inputOf(call, 0);
  const t = kernels.operator('Tanh', [kernels.operator('Softplus', [x])]);
  const swish = kernels.multiply(x, kernels.operator('Sigmoid', [x]));
  return kernels.add(t, kernels.multiply(swish, oneMinusSquare(kernels, t)));
});

/** dX = y·(dY − Σ dY·y), summed along the axis. */
const softmax: GradientRule = (call) => {
  const { kernels, outputs } = call;
  const [[y], dy] = [outputs, gradientOf(call)];
  const dots = kernels.sum(kernels.multiply(dy, y), [axisOf(call)], true);
  return [kernels.multiply(y, kernels.subtract(dy, dots))];
};

/** dX = dY − exp(y)·Σ dY, summed along the axis. */
const logSoftmax: GradientRule = (call) => {
  const { kernels, outputs } = call;
  const dy = gradientOf(call);
  const sums = kernels.sum(dy, [axisOf(call)], true);
  return [kernels.subtract(dy, kernels.multiply(kernels.operator('Exp', [outputs[0]]), sums))];
};

function axisOf(call: GradientCall): number {
  const axis = Number(call.attributes.axis);
  return axis < 0 ? axis + inputOf(call, 0).shape.length : axis;
}

function oneMinusSquare(kernels: Kernels, y: Value): Value {
  return kernels.subtract(kernels.number(1), kernels.multiply(y, y));
}

/** exp(−x²). */
function bell(kernels: Kernels, x: Value): Value {
  return kernels.operator('Exp', [kernels.multiply(x, kernels.negate(x))]);
}

/** (1 + y)/2 in one pass, for y between −1 and 1. */
function halfOfOnePlus(kernels: Kernels, y: Value): Value {
  return kernels.operator('HardSigmoid', [y], { alpha: 0.5, beta: 0.5 });
}

export const activationRules: RuleTable = {
  Sigmoid: sigmoid,
  Tanh: tanh,
  Erf: erf,
  Softplus: softplus,
  Softsign: softsign,
  Elu: elu,
  Selu: selu,
  Celu: celu,
  Gelu: gelu,
  Mish: mish,
  Softmax: softmax,
  LogSoftmax: logSoftmax,
};
