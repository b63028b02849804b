import { type Kernels, sizeOf, type Value } from './kernels.js';

/**
 * How an output of raw scores is read: `binary`, every channel by its own sigmoid; `classes`, the channels by one
 * softmax; `values`, as the numbers they are.
 */
export type OutputReading = 'binary' | 'classes' | 'values';

/** A term of the loss, as a scalar, and its gradient by what it was taken of. */
export interface Loss {
  readonly terms: Readonly<Record<string, Value>>;
  readonly gradient: Value;
}

/** Keeps the overlap defined where both masks are empty. */
const SMOOTHING = 1;

/**
 * Cross entropy against target probabilities plus soft Dice against them, the mean over images (and channels or
 * classes): L = H(t, p) + 1 − (2 Σ p·t + 1) / (Σ p + Σ t + 1). Its gradient by the scores is written out, in forms that
 * neither overflow nor cancel: (p − t) / count for the entropy.
 */
export function outputLoss(kernels: Kernels, reading: OutputReading, scores: Value, target: Value): Loss {
  if (reading === 'values') return squaredError(kernels, scores, target);
  const [batch, channels, ...space] = scores.shape;
  const pixels = space.reduce((product, size) => product * size, 1);
  const flat = (value: Value) => kernels.reshape(value, [batch, channels, pixels]);
  const [z, t] = [flat(scores), flat(target)];
  const p = reading === 'binary' ? kernels.operator('Sigmoid', [z]) : kernels.operator('Softmax', [z], { axis: 1 });
  const entropy = reading === 'binary' ? binaryEntropy(kernels, z, t) : classEntropy(kernels, z, t);
  const count = reading === 'binary' ? sizeOf(z) : batch * pixels;
  const dice = softDice(kernels, p, t);
  const byEntropy = kernels.scale(kernels.subtract(p, t), 1 / count);
  const gradient = kernels.add(byEntropy, throughProbability(kernels, reading, p, dice.gradient));
  return {
    terms: { entropy: kernels.scale(entropy, 1 / count), dice: dice.loss },
    gradient: kernels.reshape(gradient, scores.shape),
  };
}

/** Σ softplus(z) − z·t, with softplus(z) = max(z, 0) − log σ(|z|). */
function binaryEntropy(kernels: Kernels, z: Value, t: Value): Value {
  const magnitude = kernels.operator('Sigmoid', [kernels.operator('Abs', [z])]);
  const softplus = kernels.subtract(kernels.operator('Relu', [z]), kernels.operator('Log', [magnitude]));
  return kernels.total(kernels.subtract(softplus, kernels.multiply(z, t)));
}

function classEntropy(kernels: Kernels, z: Value, t: Value): Value {
  const logarithms = kernels.operator('LogSoftmax', [z], { axis: 1 });
  return kernels.negate(kernels.total(kernels.multiply(logarithms, t)));
}

/** The Dice loss by image and channel, averaged, and its gradient by the probabilities. */
function softDice(kernels: Kernels, p: Value, t: Value): { loss: Value; gradient: Value } {
  const [batch, channels] = p.shape;
  const sum = (value: Value) => kernels.sum(value, [2], true);
  const top = kernels.offset(kernels.scale(sum(kernels.multiply(p, t)), 2), SMOOTHING);
  const bottom = kernels.offset(kernels.add(sum(p), sum(t)), SMOOTHING);
  const overlap = kernels.divide(top, bottom);
  const each = 1 / (batch * channels);
  const loss = kernels.subtract(kernels.number(1), kernels.scale(kernels.total(overlap), each));
  // d(top/bottom)/dp = (2t − top/bottom) / bottom
  const slope = kernels.divide(kernels.number(each), bottom);
  const gradient = kernels.multiply(kernels.subtract(overlap, kernels.scale(t, 2)), slope);
  return { loss, gradient };
}

/** From the gradient by probabilities to that by scores: σ' = p(1 − p); softmax: p·(g − Σ p·g). */
function throughProbability(kernels: Kernels, reading: OutputReading, p: Value, gradient: Value): Value {
  if (reading === 'binary')
    return kernels.multiply(gradient, kernels.multiply(p, kernels.subtract(kernels.number(1), p)));
  const mean = kernels.sum(kernels.multiply(p, gradient), [1], true);
  return kernels.multiply(p, kernels.subtract(gradient, mean));
}

/** The mean of squares, as of targets of unit variance. */
export function squaredError(kernels: Kernels, values: Value, target: Value): Loss {
  const difference = kernels.subtract(values, target);
  const count = sizeOf(values);
  return {
    terms: { squares: kernels.scale(kernels.total(kernels.multiply(difference, difference)), 1 / count) },
    gradient: kernels.scale(difference, 2 / count),
  };
}

/** The mean of absolute differences, the feature loss of Vaze, Xie and Namburete 2020 (section III-C). */
export function absoluteError(kernels: Kernels, values: Value, target: Value): Loss {
  const difference = kernels.subtract(values, target);
  const count = sizeOf(values);
  return {
    terms: { distances: kernels.scale(kernels.total(kernels.operator('Abs', [difference])), 1 / count) },
    gradient: kernels.scale(kernels.operator('Sign', [difference]), 1 / count),
  };
}
