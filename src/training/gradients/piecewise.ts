import type { Kernels, Value } from '../kernels.js';
import { bySign, elementwise } from './elementwise.js';
import { type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

// Activations with kinks: piecewise linear ones, and HardSwish. At a kink the flat or flatter side is taken unless the
// rule says otherwise.

/** f′ = [y > 0]. */
const relu = elementwise(({ kernels, outputs }) => kernels.step(outputs[0]));

/** f′ = 1 above zero, α below; at zero the one nearer to zero. */
const leakyRelu = elementwise((call) => bySign(call.kernels, inputOf(call, 0), Number(call.attributes.alpha), 1));

/** f′ = 1 where x > 0, else the slope s: dX = dY·(s + (1 − s)·[x > 0]), ds = Σ dY·min(x, 0). */
const pRelu: GradientRule = (call) => {
  const { kernels, wanted } = call;
  const [x, slope, dy] = [inputOf(call, 0), inputOf(call, 1), gradientOf(call)];
  const derivative = () => {
    const rest = kernels.subtract(kernels.number(1), slope);
    return kernels.add(kernels.multiply(kernels.step(x), rest), slope);
  };
  const below = () => kernels.operator('Min', [x, kernels.number(0)]);
  return [
    wanted[0] ? kernels.multiply(dy, derivative()) : undefined,
    wanted[1] ? kernels.sumTo(kernels.multiply(dy, below()), slope.shape) : undefined,
  ];
};

/** f′ = [x > α]. */
const thresholdedRelu = elementwise((call) => {
  const { kernels, attributes } = call;
  return kernels.step(kernels.offset(inputOf(call, 0), -Number(attributes.alpha)));
});

/** f′ = α·[0 < y < 1]. */
const hardSigmoid = elementwise(({ kernels, outputs, attributes }) =>
  kernels.scale(betweenZeroAndOne(kernels, outputs[0]), Number(attributes.alpha)),
);

/** y = x·h with h = clip(x/6 + 1/2, 0, 1): f′ = h + x/6·[0 < h < 1], where x/6 is h − 1/2. */
const hardSwish = elementwise((call) => {
  const { kernels } = call;
  const h = kernels.operator('HardSigmoid', [inputOf(call, 0)], { alpha: 1 / 6, beta: 0.5 });
  const inside = betweenZeroAndOne(kernels, h);
  return kernels.add(h, kernels.multiply(kernels.offset(h, -0.5), inside));
});

function betweenZeroAndOne(kernels: Kernels, y: Value): Value {
  return kernels.step(kernels.multiply(y, kernels.subtract(kernels.number(1), y)));
}

/** dX = dY·[min < x]·[x < max]; a bound gets Σ dY over the elements that it has taken the place of. */
const clip: GradientRule = (call) => {
  const { kernels, inputs, wanted } = call;
  const [x, dy] = [inputOf(call, 0), gradientOf(call)];
  const [, least, most] = inputs;
  const isAbove = least && kernels.step(isKnownZero(call.known(1)) ? x : kernels.subtract(x, least));
  const isBelow = most && kernels.step(kernels.subtract(most, x));
  const outside = (mask: Value, bound: Value) =>
    kernels.reshape(kernels.total(kernels.multiply(dy, kernels.subtract(kernels.number(1), mask))), bound.shape);
  let dx = dy;
  for (const mask of [isAbove, isBelow]) if (mask && wanted[0]) dx = kernels.multiply(dx, mask);
  return [
    dx,
    isAbove && wanted[1] ? outside(isAbove, least) : undefined,
    isBelow && wanted[2] ? outside(isBelow, most) : undefined,
  ];
};

function isKnownZero(bound: readonly number[] | undefined): boolean {
  return bound?.[0] === 0;
}

export const piecewiseRules: RuleTable = {
  Relu: relu,
  LeakyRelu: leakyRelu,
  PRelu: pRelu,
  ThresholdedRelu: thresholdedRelu,
  HardSigmoid: hardSigmoid,
  HardSwish: hardSwish,
  Clip: clip,
};
