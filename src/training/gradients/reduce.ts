import type { Value } from '../kernels.js';
import { allAxes, sizeOf } from '../kernels.js';
import { aboveZero, isZeroAtMost } from './elementwise.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, knownOf, type RuleTable } from './rule.js';

/** What a reduction has to do with its input once the reduced axes are back in place as axes of extent 1. */
interface Reduction {
  readonly call: GradientCall;
  readonly x: Value;
  readonly y: Value;
  readonly dy: Value;
  readonly axes: readonly number[];
}

function reduction(op: string, gradient: (reduction: Reduction) => Value): GradientRule {
  return (call) => {
    const [x, [y], dy] = [inputOf(call, 0), call.outputs, gradientOf(call)];
    const axes = axesOf(call, op);
    const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const [fullY, fullDy] = [y, dy].map((value) => call.kernels.reshape(value, kept));
    return [gradient({ call, x, y: fullY, dy: fullDy, axes })];
  };
}

function axesOf(call: GradientCall, op: string): readonly number[] {
  const x = inputOf(call, 0);
  const named = call.inputs[1] ? knownOf(call, 1, op) : [];
  if (named.length > 0) return named.map((axis) => (axis < 0 ? axis + x.shape.length : axis));
  return call.attributes.noop_with_empty_axes ? [] : allAxes(x);
}

/** dX = dY, spread over the reduced axes. */
const reduceSum = reduction('ReduceSum', ({ call, x, dy }) => call.kernels.expand(dy, x.shape));

/** dX = dY/n, spread over the reduced axes. */
const reduceMean = reduction('ReduceMean', ({ call, x, dy }) =>
  call.kernels.expand(call.kernels.scale(dy, sizeOf(dy) / sizeOf(x)), x.shape),
);

/** dX is dY where x equals y, in equal shares where several elements do. */
function extremum(op: 'ReduceMax' | 'ReduceMin'): GradientRule {
  return reduction(op, ({ call: { kernels }, x, y, dy, axes }) => {
    const belowZero = op === 'ReduceMax' ? kernels.subtract(x, y) : kernels.subtract(y, x);
    const isTaken = isZeroAtMost(kernels, belowZero);
    return kernels.multiply(isTaken, kernels.divide(dy, kernels.sum(isTaken, axes, true)));
  });
}

/** y = √Σx²: dX = dY·x/y, and 0 where y is. */
const reduceL2 = reduction('ReduceL2', ({ call: { kernels }, x, y, dy }) =>
  kernels.multiply(x, kernels.divide(dy, aboveZero(kernels, y))),
);

/**
 * dX = dY times the product of the others. With P the product of the elements that are not zero, that is P/x where
 * none is zero, P at the only zero, and 0 where there are more.
 */
const reduceProd = reduction('ReduceProd', ({ call: { kernels }, x, dy, axes }) => {
  const isZero = (value: Value) => isZeroAtMost(kernels, kernels.negate(kernels.operator('Abs', [value])));
  const zeros = isZero(x);
  const count = kernels.sum(zeros, axes, true);
  const filled = kernels.add(x, zeros);
  const reduced = kernels.operator('ReduceProd', [filled, kernels.integers(axes)], { noop_with_empty_axes: 1 });
  const byCount = (n: number) => kernels.multiply(kernels.multiply(dy, reduced), isZero(kernels.offset(count, -n)));
  return kernels.add(kernels.divide(byCount(0), filled), kernels.multiply(byCount(1), zeros));
});

export const reduceRules: RuleTable = {
  ReduceSum: reduceSum,
  ReduceMean: reduceMean,
  ReduceMax: extremum('ReduceMax'),
  ReduceMin: extremum('ReduceMin'),
  ReduceProd: reduceProd,
  ReduceL2: reduceL2,
  ArgMax: 'flat',
  ArgMin: 'flat',
};
