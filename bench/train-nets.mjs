import { bindShapes } from '../dist/analysis/cost.js';
import { GraphBuilder } from '../dist/ir/builder.js';
import { Tensor } from '../dist/ir/tensor.js';
import { createRandom } from '../dist/math/random.js';
import { semantics } from '../dist/ops/index.js';
import { planFeature } from '../dist/training/feature-maps.js';
import { matchedPoints } from '../dist/training/feature-points.js';
import { pack } from '../dist/training/parameters.js';
import { buildStep, targetName } from '../dist/training/step.js';
import { trainingGraph } from '../dist/training/training-graph.js';

const LEVELS = 4;

/** Channels of the original's first level, whose fraction the nets are (Ronneberger et al. 2015). */
const ORIGINAL_BASE = 64;

/** The product's default (settings.ts), shared by the features. */
const FEATURE_WEIGHT = 0.5;

/** What is measured; `reach` is the required ratio to the peer's images/s by threads. */
export const NETS = {
  a: { title: 'separable, 1/8 width', base: 8, separable: true, reach: { 1: 1.7, 2: 2.2 } },
  b: { title: 'regular, 1/4 width', base: 16, separable: false, reach: { 1: 1.1, 2: 1.3 } },
};

/** The portable form's required ratio to the peer. */
export const PORTABLE_REACH = 0.9;

/**
 * A U-Net of four levels down with BatchNormalization: two units a block (convolution or depthwise and pointwise, BN,
 * ReLU), transposed convolutions up, one logit. Constants are named as PyTorch names the peer's (train-step.py).
 */
export function buildNet({ base, separable }, { batch, size, seed = 1 }) {
  const builder = new GraphBuilder(semantics, { name: 'student' });
  const random = createRandom(seed);
  const filled = (name, count, make) =>
    builder.constant(name, Tensor.floats(Float32Array.from({ length: count }, make), [count]));
  const kernel = (name, shape, fanIn) => {
    const count = shape.reduce((product, extent) => product * extent, 1);
    const values = Float32Array.from({ length: count }, () => Math.sqrt(2 / fanIn) * random.normal());
    return builder.constant(name, Tensor.floats(values, shape));
  };
  const convolution = (x, name, [from, to, extent], group = 1) => {
    const shape = [to, from / group, extent, extent];
    const weight = kernel(`${name}.weight`, shape, (from / group) * extent ** 2);
    return builder.apply('Conv', [x, weight], { group, pads: Array(4).fill(extent >> 1) }, name);
  };
  const unit = (x, name, from, to, isSeparable) => {
    const convolved = isSeparable
      ? convolution(convolution(x, `${name}.depthwise`, [from, from, 3], from), `${name}.pointwise`, [from, to, 1])
      : convolution(x, `${name}.convolution`, [from, to, 3]);
    const parameters = [
      filled(`${name}.norm.weight`, to, () => 1 + 0.1 * random.normal()),
      filled(`${name}.norm.bias`, to, () => 0.1 * random.normal()),
      filled(`${name}.norm.running_mean`, to, () => 0.1 * random.normal()),
      filled(`${name}.norm.running_var`, to, () => 0.5 + random.next()),
    ];
    const normalized = builder.apply('BatchNormalization', [convolved, ...parameters], {}, `${name}.norm`);
    return builder.apply('Relu', [normalized], {}, name);
  };
  const block = (x, name, from, to, isFirst = false) =>
    unit(unit(x, `${name}.0`, from, to, separable && !isFirst), `${name}.1`, to, to, separable);
  let value = builder.input('image', { dtype: 'f32', shape: [batch, 1, size, size] });
  const skips = [];
  for (let level = 0; level <= LEVELS; level++) {
    const to = base << level;
    value = block(value, `down.${level}`, level === 0 ? 1 : to / 2, to, level === 0);
    if (level === LEVELS) break;
    skips.push(value);
    value = builder.apply('MaxPool', [value], { kernel_shape: [2, 2], strides: [2, 2] });
  }
  for (let level = LEVELS - 1; level >= 0; level--) {
    const to = base << level;
    const name = `up.${LEVELS - 1 - level}`;
    const weight = kernel(`${name}.weight`, [2 * to, to, 2, 2], 2 * to);
    const bias = filled(`${name}.bias`, to, () => 0.1 * random.normal());
    const up = builder.apply('ConvTranspose', [value, weight, bias], { strides: [2, 2] }, name);
    const joined = builder.apply('Concat', [skips[level], up], { axis: 1 });
    value = block(joined, `merge.${LEVELS - 1 - level}`, 2 * to, to);
  }
  const head = [kernel('head.weight', [1, base, 1, 1], base), filled('head.bias', 1, () => 0.1)];
  return builder.build([builder.apply('Conv', [value, ...head], {}, 'logits')]);
}

/**
 * The training form of a net as distillation builds it (student-step.ts): scores, and feature maps at the matched points
 * through adapters, for an original of 64 channels at the first level.
 */
export function buildTraining(net, { batch, size }) {
  const shape = [batch, 1, size, size];
  const bound = bindShapes(net, new Map([['image', shape]]));
  const points = matchedPoints(bound, bound);
  const [{ studentChannels: base }] = points;
  const features = points.map((point) =>
    planFeature({ ...point, teacherChannels: (point.studentChannels * ORIGINAL_BASE) / base }),
  );
  const shapes = new Map([['image', shape]]);
  const { graph, compared } = trainingGraph(net, net.outputs, features, { shapes, semantics });
  const terms = features.map(({ value }) => ({
    value: compared.get(value),
    distance: 'squares',
    weight: FEATURE_WEIGHT / features.length,
  }));
  return { graph, features, terms, scores: net.outputs[0] };
}

/** The step of a training form in the operators that `create` makes. */
export function buildTrainingStep({ graph, terms, scores }, create) {
  const builder = new GraphBuilder(semantics);
  const outputs = [{ value: scores, reading: 'binary', weight: 1 }];
  return buildStep({ graph, outputs, features: terms }, builder, create(builder));
}

/**
 * A batch, and a state in the middle of training: adapters that do something, and running squares near those of a
 * gradient, so that the update is a smooth function of the gradient.
 */
export function makeData({ graph, features, terms, scores }, layout, { batch, size, seed = 2 }) {
  const random = createRandom(seed);
  const normals = (count, scale) => Float32Array.from({ length: count }, () => scale * random.normal());
  const { parameters, statistics } = pack(graph, layout);
  for (const { name, offset, size: count } of layout.parameters)
    if (name.startsWith('adapter/')) parameters.set(normals(count, 0.2), offset);
  const mask = ellipses(batch, size, random);
  const image = mask.map((inside) => 0.3 + 0.4 * inside + 0.1 * random.normal());
  const shape = [batch, 1, size, size];
  const inputs = [
    ['image', Tensor.floats(image, shape)],
    [targetName(scores), Tensor.floats(mask, shape)],
    ...features.map(({ components, pooledSize }, i) => {
      const count = batch * components * pooledSize[0] * pooledSize[1];
      return [targetName(terms[i].value), Tensor.floats(normals(count, 1), [batch, components, ...pooledSize])];
    }),
  ];
  const state = {
    parameters,
    momentum: new Float32Array(layout.size),
    squares: Float32Array.from({ length: layout.size }, () => 1e-4 * (0.5 + random.next())),
    average: parameters.slice(),
    statistics,
  };
  return { inputs: new Map(inputs), state };
}

function ellipses(batch, size, random) {
  const mask = new Float32Array(batch * size * size);
  for (let image = 0; image < batch; image++) {
    const [x, y, a, b] = [0.4, 0.4, 0.2, 0.2].map((least) => size * (least + 0.2 * random.next()));
    for (let i = 0; i < size * size; i++) {
      const inside = (((i % size) - x) / a) ** 2 + ((Math.floor(i / size) - y) / b) ** 2 < 1;
      mask[image * size * size + i] = inside ? 1 : 0;
    }
  }
  return mask;
}

/** The numbers of step k, counted from 1; see `NUMBERS`. */
export function numbersOf(k, { rate = 1e-3, averaging = 0.99, mixing = 0.1 } = {}) {
  return Float32Array.of(rate, 1 - 0.9 ** k, 1 - 0.999 ** k, averaging, mixing);
}
