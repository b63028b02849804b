import { describe, expect, it } from 'vitest';
import type { Attributes } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { expectGradients, gradientsAt } from '../../support/gradient-cases.js';

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const sech2 = (x: number) => 1 / Math.cosh(x) ** 2;
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const density = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/** The normal distribution function by Taylor's series around 0, with as many terms as 64-bit floats need up to 6. */
function normalDistribution(x: number): number {
  if (Math.abs(x) > 6) return x > 0 ? 1 : 0;
  let [sum, term] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= (x * x) / (2 * n + 1);
    sum += term;
  }
  return 0.5 + density(x) * sum;
}

function geluByTanh(x: number): number {
  const u = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
  return (1 + Math.tanh(u)) / 2 + (x / 2) * sech2(u) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
}

function mish(x: number): number {
  const t = Math.tanh(softplus(x));
  return t + x * sigmoid(x) * sech2(softplus(x));
}

interface Activation {
  readonly op: string;
  readonly attributes?: Attributes;
  readonly derivative: (x: number) => number;
  /** Where the function has kinks, beside zero. */
  readonly kinks?: readonly number[];
  readonly bounds?: readonly [number?, number?];
}

const clip = ([least, most]: readonly [number?, number?]): Activation => ({
  op: 'Clip',
  bounds: [least, most],
  derivative: (x) => (x > (least ?? Number.NEGATIVE_INFINITY) && x < (most ?? Number.POSITIVE_INFINITY) ? 1 : 0),
  kinks: [least, most].filter((bound) => bound !== undefined),
});

const selu = { alpha: 1.6732631921768188, gamma: 1.0507010221481323 };

const ACTIVATIONS: Record<string, Activation> = {
  Relu: { op: 'Relu', derivative: (x) => Number(x > 0) },
  LeakyRelu: { op: 'LeakyRelu', derivative: (x) => (x > 0 ? 1 : 0.01) },
  'LeakyRelu, steep': { op: 'LeakyRelu', attributes: { alpha: 1.5 }, derivative: (x) => (x > 0 ? 1 : 1.5) },
  'LeakyRelu, negative slope': {
    op: 'LeakyRelu',
    attributes: { alpha: -0.5 },
    derivative: (x) => (x > 0 ? 1 : -0.5),
  },
  Elu: { op: 'Elu', derivative: (x) => (x > 0 ? 1 : Math.exp(x)) },
  'Elu, 0.5': { op: 'Elu', attributes: { alpha: 0.5 }, derivative: (x) => (x > 0 ? 1 : 0.5 * Math.exp(x)) },
  Selu: { op: 'Selu', derivative: (x) => (x > 0 ? selu.gamma : selu.gamma * selu.alpha * Math.exp(x)) },
  Celu: { op: 'Celu', derivative: (x) => (x > 0 ? 1 : Math.exp(x)) },
  'Celu, 2.5': { op: 'Celu', attributes: { alpha: 2.5 }, derivative: (x) => (x > 0 ? 1 : Math.exp(x / 2.5)) },
  ThresholdedRelu: { op: 'ThresholdedRelu', derivative: (x) => Number(x > 1), kinks: [1] },
  'ThresholdedRelu, negative': {
    op: 'ThresholdedRelu',
    attributes: { alpha: -0.75 },
    derivative: (x) => Number(x > -0.75),
    kinks: [-0.75],
  },
  Sigmoid: { op: 'Sigmoid', derivative: (x) => sigmoid(x) * sigmoid(-x) },
  HardSigmoid: { op: 'HardSigmoid', derivative: (x) => (Math.abs(x) < 2.5 ? 0.2 : 0), kinks: [-2.5, 2.5] },
  'HardSigmoid, other line': {
    op: 'HardSigmoid',
    attributes: { alpha: -0.5, beta: 0.75 },
    derivative: (x) => (x > -0.5 && x < 1.5 ? -0.5 : 0),
    kinks: [-0.5, 1.5],
  },
  HardSwish: {
    op: 'HardSwish',
    derivative: (x) => (Math.abs(x) < 3 ? x / 3 + 0.5 : Number(x > 0)),
    kinks: [-3, 3],
  },
  Gelu: { op: 'Gelu', derivative: (x) => normalDistribution(x) + x * density(x) },
  'Gelu, tanh': { op: 'Gelu', attributes: { approximate: 'tanh' }, derivative: geluByTanh },
  Erf: { op: 'Erf', derivative: (x) => (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) },
  Tanh: { op: 'Tanh', derivative: sech2 },
  Softplus: { op: 'Softplus', derivative: sigmoid },
  Softsign: { op: 'Softsign', derivative: (x) => 1 / (1 + Math.abs(x)) ** 2 },
  Mish: { op: 'Mish', derivative: mish },
  'Clip, both bounds': clip([-0.5, 1.25]),
  'Clip, 0 to 6': clip([0, 6]),
  'Clip, only below': clip([-0.5, undefined]),
  'Clip, only above': clip([undefined, 0.5]),
  'Clip, an infinite bound': clip([Number.NEGATIVE_INFINITY, 0.5]),
  'Clip, no bounds': clip([undefined, undefined]),
};

const POINTS = [-80, -30, -18.5, -9, -6.2, -4, -2.9, -1.7, -1, -0.3, -1e-3, -1e-6].flatMap((x) => [x, -x]);

function nodeOf({ op, attributes, bounds = [] }: Activation, shape: readonly number[]) {
  const constants = bounds.map((bound) => (bound === undefined ? undefined : Tensor.floats([bound], [])));
  return { op, inputs: [shape, ...constants], attributes };
}

describe('gradients of activations', () => {
  it.each(Object.entries(ACTIVATIONS))('%s: the derivative in 64 bits, from -80 to 80', async (_, activation) => {
    const points = POINTS.filter((x) => !activation.kinks?.includes(x));
    const gradients = await gradientsAt(nodeOf(activation, [points.length]), [points]);
    const derivatives = gradients.get('x0') ?? [];
    expect(derivatives).toHaveLength(points.length);
    // The runtime's own Erf, Tanh and Sigmoid are that exact.
    for (const [i, x] of points.entries())
      expect(Math.abs(derivatives[i] - activation.derivative(x)), `at ${x}`).toBeLessThan(3e-6);
  });

  it.each(Object.entries(ACTIVATIONS))('%s: the change of the node itself', async (_, activation) => {
    const kinks = [0, ...(activation.kinks ?? [])];
    // Far enough from every kink that a step along a normal direction does not reach it.
    const draw = (random: () => number) => {
      for (;;) {
        const x = 2 * random();
        if (kinks.every((kink) => Math.abs(x - kink) > 0.1)) return x;
      }
    };
    // A step of 1e-2 leaves third derivatives, of about 1, times 1e-4 / 6, and rounding of about 1e-5.
    await expectGradients(nodeOf(activation, [2, 3, 4, 5]), 1e-3, { draw });
  });

  it('at a kink, the flat side, or the one that the rule names', async () => {
    const at = async (op: string, x: number, attributes: Attributes = {}) =>
      (await gradientsAt({ op, inputs: [[1]], attributes }, [[x]])).get('x0')?.[0];
    expect(await at('Relu', 0)).toBe(0);
    expect(await at('LeakyRelu', 0, { alpha: 0.25 })).toBe(0.25);
    expect(await at('Elu', 0, { alpha: 0.5 })).toBe(0.5);
    expect(await at('ThresholdedRelu', 1)).toBe(0);
    expect(await at('HardSigmoid', 2.5)).toBe(0);
    expect(await at('HardSwish', -3)).toBe(0);
    expect(await at('HardSwish', 3)).toBe(1);
  });
});

const SLOPES: Record<string, readonly [x: readonly number[], slope: readonly number[]]> = {
  'one a channel, 2-D': [
    [2, 3, 4, 5],
    [3, 1, 1],
  ],
  'one a channel, 3-D': [
    [2, 3, 2, 3, 2],
    [3, 1, 1, 1],
  ],
  'one for all': [[2, 3, 4], [1]],
  'one an element': [
    [2, 3, 4],
    [2, 3, 4],
  ],
};

describe('gradients of PRelu', () => {
  it.each(Object.entries(SLOPES))('slopes: %s', async (_, [x, slope]) => {
    const draw = (random: () => number) => {
      const value = random();
      return value + Math.sign(value) * 0.1;
    };
    // Linear on each side of zero.
    await expectGradients({ op: 'PRelu', inputs: [x, slope] }, 1e-4, { draw });
  });

  it('at zero, the slope', async () => {
    const gradients = await gradientsAt({ op: 'PRelu', inputs: [[2], [2]] }, [
      [0, -3],
      [0.25, 0.5],
    ]);
    expect(gradients.get('x0')).toEqual([0.25, 0.5]);
    expect(gradients.get('x1')).toEqual([0, -3]);
  });
});

describe('gradients of Clip in its bounds', () => {
  it('go to what has been cut off', async () => {
    const gradients = await gradientsAt({ op: 'Clip', inputs: [[5], [], []] }, [[-3, -2, 0, 1, 4], [-1], [2]]);
    expect(gradients.get('x0')).toEqual([0, 0, 1, 1, 0]);
    expect(gradients.get('x1')).toEqual([2]);
    expect(gradients.get('x2')).toEqual([1]);
  });
});

const AXES = [-1, 0, 1, 2];

describe.each(['Softmax', 'LogSoftmax'])('gradients of %s', (op) => {
  it.each(AXES)('along axis %i of a 2-D image', async (axis) => {
    await expectGradients({ op, inputs: [[2, 3, 4, 5]], attributes: { axis } }, 1e-3);
  });

  it('of channels of a 3-D image', async () => {
    await expectGradients({ op, inputs: [[2, 3, 2, 3, 4]], attributes: { axis: 1 } }, 1e-3);
  });

  it('are finite and right for logits of ±80', async () => {
    const node = { op, inputs: [[3, 2]], attributes: { axis: 1 } };
    const gradients = await gradientsAt(node, [[80, -80, -80, 80, 80, 80]]);
    const expected = op === 'Softmax' ? [0, 0, 0, 0, 0, 0] : [-1, 1, 1, -1, 0, 0];
    for (const [i, value] of (gradients.get('x0') ?? []).entries()) expect(value).toBeCloseTo(expected[i], 6);
  });
});
