import { type Kernels, sizeOf, type Value } from '../kernels.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

/** Statistics of each image and channel: a group normalization with groups of one channel (Ulyanov et al. 2016). */
const instanceNormalization: GradientRule = (call) => normalizedGroups(call, inputOf(call, 0).shape[1]);

/** Statistics of each image and group of channels (Wu and He 2018). */
const groupNormalization: GradientRule = (call) => normalizedGroups(call, Number(call.attributes.num_groups));

/**
 * With d = x − mean, r = 1/√(E[d²] + ε), z = γ·dy, and means over the M elements of a group: dβ = Σ dy, dγ = Σ r·dy·d,
 * dx = r·(z − E[z] − r²·d·E[z·d]). Images and channels become one axis, so that sums and products over space are those
 * of the channels of a batch normalization; γ and the groups only meet the short vectors of these sums.
 */
function normalizedGroups(call: GradientCall, groups: number): ReturnType<GradientRule> {
  const { kernels, wanted } = call;
  const x = inputOf(call, 0);
  const [batch, channels, ...space] = x.shape;
  const planes = [1, batch * channels, ...(space.length > 0 ? space : [1])];
  const over = new GroupVectors(kernels, { batch, groups, channels });
  const count = sizeOf(x) / (batch * groups);
  const flat = kernels.reshape(x, planes);
  const mean = over.spread(kernels.scale(over.sum(kernels.channelSums(flat)), 1 / count));
  const d = kernels.subtract(flat, kernels.perChannel(mean, flat));
  const variance = kernels.scale(over.sum(kernels.channelDots(d, d)), 1 / count);
  const r = over.spread(reciprocalDeviation(kernels, variance, Number(call.attributes.epsilon)));
  const dy = kernels.reshape(gradientOf(call), planes);
  const sums = kernels.channelSums(dy);
  const dots = kernels.channelDots(dy, d);
  const overImages = (vector: Value) => kernels.sum(kernels.reshape(vector, [batch, channels]), [0]);
  const dScale = wanted[1] ? overImages(kernels.multiply(r, dots)) : undefined;
  const dBias = wanted[2] ? overImages(sums) : undefined;
  if (!wanted[0]) return [undefined, dScale, dBias];
  const scale = over.repeat(inputOf(call, 1));
  const groupMean = (vector: Value) => over.spread(kernels.scale(over.sum(kernels.multiply(scale, vector)), 1 / count));
  const cube = kernels.multiply(r, kernels.multiply(r, r));
  const c1 = kernels.negate(kernels.multiply(cube, groupMean(dots)));
  const c0 = kernels.negate(kernels.multiply(r, groupMean(sums)));
  const sum = kernels.channelAffine(d, c1, undefined);
  const dx = kernels.channelAffine(dy, kernels.multiply(scale, r), c0, { sum });
  return [kernels.reshape(dx, x.shape), dScale, dBias];
}

function reciprocalDeviation(kernels: Kernels, variance: Value, epsilon: number): Value {
  return kernels.operator('Reciprocal', [kernels.operator('Sqrt', [kernels.offset(variance, epsilon)])]);
}

/** Vectors of one number for each image and channel, and their sums over groups of channels. */
class GroupVectors {
  private readonly apart: readonly number[];

  constructor(
    private readonly kernels: Kernels,
    private readonly sizes: { readonly batch: number; readonly groups: number; readonly channels: number },
  ) {
    this.apart = [sizes.batch * sizes.groups, sizes.channels / sizes.groups];
  }

  /** [batch·channels] -> [batch·groups, 1] */
  sum(vector: Value): Value {
    return this.kernels.sum(this.kernels.reshape(vector, this.apart), [1], true);
  }

  /** [batch·groups, 1] -> [batch·channels] */
  spread(vector: Value): Value {
    const { batch, channels } = this.sizes;
    return this.kernels.reshape(this.kernels.expand(vector, this.apart), [batch * channels]);
  }

  /** [channels] -> [batch·channels] */
  repeat(vector: Value): Value {
    const { batch, channels } = this.sizes;
    return this.kernels.reshape(this.kernels.expand(vector, [batch, channels]), [batch * channels]);
  }
}

/**
 * Statistics of all axes from `axis` on (Ba et al. 2016). With z = γ·dy, x̂ = r·(x − mean), means over the M normalized
 * elements, and the gradients dm and dr of the outputs Mean and InvStdDev:
 * dx = r·(z − E[z] − x̂·E[z·x̂]) + dm/M − x̂·r²·dr/M.
 */
const layerNormalization: GradientRule = (call) => {
  const { kernels, wanted, gradients, attributes } = call;
  const [x, scale] = [inputOf(call, 0), inputOf(call, 1)];
  const { shape } = x;
  const given = Number(attributes.axis);
  const first = given < 0 ? given + shape.length : given;
  const axes = shape.map((_, axis) => axis).slice(first);
  const count = shape.slice(first).reduce((a, b) => a * b, 1);
  const { axis, epsilon } = attributes as { axis: number; epsilon: number };
  const [, mean, r] = kernels.operators('LayerNormalization', [x, scale], { axis, epsilon }, 3);
  const normalized = kernels.multiply(kernels.subtract(x, mean), r);
  const dy = gradients[0] ?? kernels.expand(kernels.number(0), shape);
  const dScale = wanted[1] ? kernels.sumTo(kernels.multiply(dy, normalized), scale.shape) : undefined;
  const dBias = wanted[2] ? kernels.sumTo(dy, inputOf(call, 2).shape) : undefined;
  if (!wanted[0]) return [undefined, dScale, dBias];
  const z = kernels.multiply(dy, scale);
  const [, ofMean, ofReciprocal] = gradients;
  let constant = kernels.multiply(r, kernels.mean(z, axes, true));
  if (ofMean) constant = kernels.subtract(constant, kernels.scale(ofMean, 1 / count));
  let slope = kernels.multiply(r, kernels.mean(kernels.multiply(z, normalized), axes, true));
  if (ofReciprocal) {
    const share = kernels.scale(kernels.multiply(kernels.multiply(r, r), ofReciprocal), 1 / count);
    slope = kernels.add(slope, share);
  }
  const along = kernels.add(kernels.multiply(normalized, slope), constant);
  return [kernels.subtract(kernels.multiply(z, r), along), dScale, dBias];
};

export const imageNormRules: RuleTable = {
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  LayerNormalization: layerNormalization,
};
