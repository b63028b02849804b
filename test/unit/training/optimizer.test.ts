import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/math/random.js';
import { ADAMW, adamW, type OptimizerSettings } from '../../../src/training/optimizer.js';
import type { ParameterLayout } from '../../../src/training/parameters.js';
import { runKernels } from '../../support/run-kernels.js';

const SIZE = 12;
const random = createRandom(3);
const normals = (scale: number) => Float64Array.from({ length: SIZE }, () => scale * random.normal());

const SETTINGS: OptimizerSettings = { ...ADAMW, weightDecay: 0.3 };
/** The second is too long and is clipped. */
const GRADIENTS = [normals(0.2), normals(5), normals(0.3)];
const RATES = [0.1, 0.05, 0.02];
const SHARES = [0.1, 0.5, 0.9];

interface State {
  readonly parameters: Float64Array;
  readonly momentum: Float64Array;
  readonly squares: Float64Array;
  readonly average: Float64Array;
}

/** Loshchilov and Hutter 2019, algorithm 2, in double precision. */
function reference(state: State, step: number, decayed: number): { state: State; norm: number } {
  const { betas, epsilon, weightDecay, clip } = SETTINGS;
  const [gradient, rate, share] = [GRADIENTS[step], RATES[step], SHARES[step]];
  const norm = Math.hypot(...gradient);
  const g = gradient.map((value) => value * Math.min(1, clip / (norm + 1e-6)));
  const momentum = state.momentum.map((m, i) => betas[0] * m + (1 - betas[0]) * g[i]);
  const squares = state.squares.map((v, i) => betas[1] * v + (1 - betas[1]) * g[i] ** 2);
  const parameters = state.parameters.map((p, i) => {
    const m = momentum[i] / (1 - betas[0] ** (step + 1));
    const v = squares[i] / (1 - betas[1] ** (step + 1));
    return p - (i < decayed ? rate * weightDecay * p : 0) - (rate * m) / (Math.sqrt(v) + epsilon);
  });
  const average = state.average.map((a, i) => share * a + (1 - share) * parameters[i]);
  return { state: { parameters, momentum, squares, average }, norm };
}

async function oneStep(state: State, step: number, decayed: number) {
  const layout: ParameterLayout = { parameters: [], size: SIZE, decayed, statistics: [], channels: 0 };
  const [first, second] = SETTINGS.betas.map((beta) => 1 - beta ** (step + 1));
  const vector = (data: ArrayLike<number>) => ({ shape: [data.length], data });
  const inputs = {
    parameters: vector(state.parameters),
    momentum: vector(state.momentum),
    squares: vector(state.squares),
    average: vector(state.average),
    gradient: vector(GRADIENTS[step]),
    rate: vector([RATES[step]]),
    momentumCorrection: vector([first]),
    squaresCorrection: vector([second]),
    averaging: vector([SHARES[step]]),
  };
  const { norm, ...next } = await runKernels(inputs, (kernels, values) => {
    const { parameters, momentum, squares, average, gradient } = values;
    const { rate, momentumCorrection, squaresCorrection, averaging } = values;
    const numbers = { rate, momentumCorrection, squaresCorrection, averaging };
    const before = { parameters, momentum, squares, average };
    const made = adamW(kernels, before, { gradient, numbers, layout }, SETTINGS);
    return { ...made.state, norm: made.norm };
  });
  const [parameters, momentum, squares, average] = ['parameters', 'momentum', 'squares', 'average'].map((name) =>
    Float64Array.from(next[name]),
  );
  return { state: { parameters, momentum, squares, average }, norm: norm[0] };
}

describe.each([0, 5, SIZE])('AdamW with decay on the first %i of 12', (decayed) => {
  it('follows the reference over three steps, one of which is clipped', async () => {
    const parameters = normals(1);
    const start = { momentum: new Float64Array(SIZE), squares: new Float64Array(SIZE) };
    let [expected, actual]: State[] = [0, 1].map(() => ({ ...start, parameters, average: parameters.slice() }));
    for (let step = 0; step < 3; step++) {
      const wanted = reference(expected, step, decayed);
      const made = await oneStep(actual, step, decayed);
      [expected, actual] = [wanted.state, made.state];
      expect(made.norm).toBeCloseTo(wanted.norm, 4);
      for (const name of ['parameters', 'momentum', 'squares', 'average'] as const)
        for (const [i, value] of actual[name].entries()) expect(value).toBeCloseTo(expected[name][i], 5);
    }
    expect(Math.hypot(...GRADIENTS[1])).toBeGreaterThan(SETTINGS.clip);
    expect(Math.hypot(...GRADIENTS[0])).toBeLessThan(SETTINGS.clip);
  });
});
