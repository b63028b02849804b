import type { Kernels, Value } from '../kernels.js';
import { sizeOf } from '../kernels.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

/** What the forward pass of a batch normalization leaves for the backward pass and for the running statistics. */
export interface BatchNormalized {
  readonly y: Value;
  /** Statistics of the batch, by channel; the variance is the unbiased one, as running statistics take it. */
  readonly mean: Value;
  readonly variance: Value;
  readonly saved: SavedNormalization;
}

interface SavedNormalization {
  /** y = scale·x + shift, by channel. */
  readonly scale: Value;
  readonly shift: Value;
  /** Mean of x as it is (shifted, where its maker shifted it), and 1/√(variance + ε). */
  readonly mean: Value;
  readonly reciprocal: Value;
  readonly hasRelu: boolean;
}

/**
 * Batch normalization by the statistics of the batch (Ioffe and Szegedy 2015), with the ReLU behind it in the same pass
 * where there is one. The variance is E[x²] − E[x]², which is well conditioned only where the mean is small beside
 * the deviation: `shift` is what the maker of x has added for that (minus the running mean); it changes nothing else.
 */
export function normalizeBatch(
  kernels: Kernels,
  { x, scale, bias, shift }: { x: Value; scale: Value; bias: Value; shift: Value | undefined },
  { epsilon, hasRelu }: { epsilon: number; hasRelu: boolean },
): BatchNormalized {
  const count = sizeOf(x) / x.shape[1];
  const mean = kernels.scale(kernels.channelSums(x), 1 / count);
  const meanOfSquares = kernels.scale(kernels.channelDots(x, x), 1 / count);
  // Rounding may leave a variance a little below zero.
  const variance = kernels.operator('Relu', [kernels.subtract(meanOfSquares, kernels.multiply(mean, mean))]);
  const deviation = kernels.operator('Sqrt', [kernels.offset(variance, epsilon)]);
  const reciprocal = kernels.operator('Reciprocal', [deviation]);
  const factor = kernels.multiply(scale, reciprocal);
  const summand = kernels.subtract(bias, kernels.multiply(mean, factor));
  return {
    y: kernels.channelAffine(x, factor, summand, hasRelu ? { activation: 'relu' } : {}),
    mean: shift ? kernels.subtract(mean, shift) : mean,
    variance: kernels.scale(variance, count / Math.max(1, count - 1)),
    saved: { scale: factor, shift: summand, mean, reciprocal, hasRelu },
  };
}

/**
 * With r = 1/√(variance + ε), M elements a channel, and dy masked where the ReLU is zero: dβ = Σ dy,
 * dγ = r·(Σ dy·x − mean·dβ), dx = γr·(dy + c₁·x + c₀) with c₁ = −r·dγ/M and c₀ = −dβ/M − c₁·mean.
 */
const batchNormalization: GradientRule = (call) => {
  if (!call.saved) return frozenBatchNormalization(call);
  const { kernels, wanted } = call;
  const { scale, shift, mean, reciprocal, hasRelu } = call.saved as SavedNormalization;
  const x = inputOf(call, 0);
  const count = sizeOf(x) / x.shape[1];
  const dz = gradientOf(call);
  const dy = hasRelu ? kernels.multiply(dz, kernels.channelAffine(x, scale, shift, { activation: 'step' })) : dz;
  const dBias = kernels.channelSums(dy);
  const dots = kernels.channelDots(dy, x);
  const dScale = kernels.multiply(reciprocal, kernels.subtract(dots, kernels.multiply(mean, dBias)));
  if (!wanted[0]) return [undefined, dScale, dBias];
  const slope = kernels.scale(kernels.multiply(reciprocal, dScale), -1 / count);
  const offset = kernels.subtract(kernels.scale(dBias, -1 / count), kernels.multiply(slope, mean));
  const direction = kernels.channelAffine(x, slope, offset, { sum: dy });
  return [kernels.scaleChannels(direction, scale), dScale, dBias];
};

/**
 * With the statistics as operands, r = 1/√(variance + ε): dx = γr·dy, dβ = Σ dy, dγ = r·(Σ dy·x − mean·dβ),
 * dmean = −γr·dβ, dvariance = −γr²·dγ/2.
 */
function frozenBatchNormalization(call: GradientCall): ReturnType<GradientRule> {
  const { kernels, wanted } = call;
  const [x, scale, , mean, variance] = call.inputs.map((_, i) => inputOf(call, i));
  const dy = gradientOf(call);
  const deviation = kernels.operator('Sqrt', [kernels.offset(variance, Number(call.attributes.epsilon))]);
  const r = kernels.operator('Reciprocal', [deviation]);
  const factor = kernels.multiply(scale, r);
  const dx = wanted[0] ? kernels.channelAffine(dy, factor, undefined) : undefined;
  if (!wanted.slice(1).includes(true)) return [dx];
  const dBias = kernels.channelSums(dy);
  const dots = kernels.channelDots(dy, x);
  const dScale = kernels.multiply(r, kernels.subtract(dots, kernels.multiply(mean, dBias)));
  const dMean = kernels.negate(kernels.multiply(factor, dBias));
  const dVariance = kernels.scale(kernels.multiply(kernels.multiply(factor, r), dScale), -0.5);
  return [dx, dScale, dBias, dMean, dVariance];
}

export const normRules: RuleTable = { BatchNormalization: batchNormalization };
