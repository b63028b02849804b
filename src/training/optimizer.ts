import type { Kernels, Value } from './kernels.js';
import type { ParameterLayout } from './parameters.js';

/** The state of the optimizer: vectors of the layout's size. */
export interface OptimizerState {
  readonly parameters: Value;
  /** Running means of the gradient and of its square. */
  readonly momentum: Value;
  readonly squares: Value;
  /** Exponential moving average of the parameters, which is what is kept in the end. */
  readonly average: Value;
}

/** Numbers that change from step to step, each of shape [1]. */
export interface StepNumbers {
  readonly rate: Value;
  /** 1 − β₁ᵏ and 1 − β₂ᵏ of step k. */
  readonly momentumCorrection: Value;
  readonly squaresCorrection: Value;
  /** Share of the average that stays. */
  readonly averaging: Value;
}

export interface OptimizerSettings {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Largest norm of the gradient; a longer one is scaled down to it. */
  readonly clip: number;
}

export const ADAMW: OptimizerSettings = { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 1e-4, clip: 2 };

/**
 * One step of AdamW (Loshchilov and Hutter 2019, algorithm 2, decay scaled by the rate) after clipping by the global
 * norm. Returns the new state and the norm before clipping, of shape [1].
 */
export function adamW(
  kernels: Kernels,
  state: OptimizerState,
  { gradient, numbers, layout }: { gradient: Value; numbers: StepNumbers; layout: ParameterLayout },
  { betas, epsilon, weightDecay, clip }: OptimizerSettings,
): { state: OptimizerState; norm: Value } {
  const k = kernels;
  const norm = k.operator('Sqrt', [sumOfLong(k, k.multiply(gradient, gradient))]);
  const shrink = k.operator('Min', [k.floats([1]), k.divide(k.floats([clip]), k.offset(norm, 1e-6))]);
  const clipped = k.multiply(gradient, shrink);
  const momentum = k.add(k.scale(state.momentum, betas[0]), k.scale(clipped, 1 - betas[0]));
  const squares = k.add(k.scale(state.squares, betas[1]), k.scale(k.multiply(clipped, clipped), 1 - betas[1]));
  const deviation = k.offset(k.operator('Sqrt', [k.divide(squares, numbers.squaresCorrection)]), epsilon);
  const update = k.divide(k.multiply(momentum, k.divide(numbers.rate, numbers.momentumCorrection)), deviation);
  const kept = decayed(k, state.parameters, k.scale(numbers.rate, weightDecay), layout);
  const parameters = k.subtract(kept, update);
  const drift = k.multiply(k.subtract(parameters, state.average), k.subtract(k.floats([1]), numbers.averaging));
  return { state: { parameters, momentum, squares, average: k.add(state.average, drift) }, norm };
}

/** (1 − rate·decay)·p for the kernels, which come first; the rest as it is. */
function decayed(kernels: Kernels, parameters: Value, amount: Value, { size, decayed: count }: ParameterLayout): Value {
  const factor = kernels.subtract(kernels.floats([1]), amount);
  if (count === size) return kernels.multiply(parameters, factor);
  if (count === 0) return parameters;
  const [shrinking, staying] = kernels.split(parameters, [count, size - count], 0);
  return kernels.concat([kernels.multiply(shrinking, factor), staying], 0);
}

/** Terms that are summed at once. */
const STRETCH = 1024;

/** The sum of a vector, of shape [1], in two stages: one float32 sum of millions of terms loses digits. */
function sumOfLong(kernels: Kernels, vector: Value): Value {
  const [size] = vector.shape;
  const stretches = Math.ceil(size / STRETCH);
  const whole = kernels.pad(vector, [0], [stretches * STRETCH - size]);
  return kernels.sum(kernels.sum(kernels.reshape(whole, [stretches, STRETCH]), [1]), [0], true);
}
