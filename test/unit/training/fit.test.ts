import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diskFull } from '../../../src/errors.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { createRandom } from '../../../src/math/random.js';
import { semantics } from '../../../src/ops/index.js';
import { type OpenEngine, openEngine } from '../../../src/recipe/engine.js';
import type { Checkpoint } from '../../../src/training/checkpoint.js';
import type { LoadedStep } from '../../../src/training/engine.js';
import { type FitHooks, type FitPlan, fitStudent } from '../../../src/training/fit.js';
import { Kernels } from '../../../src/training/kernels.js';
import { pack } from '../../../src/training/parameters.js';
import { buildStep, GRADIENT_NORM, type Step, targetName } from '../../../src/training/step.js';
import { Net } from '../../support/patterns-net.js';

const SHAPE = [4, 1, 6, 6];
const SIZE = 144;
const PLAN: FitPlan = { steps: 12, rate: 0.02, averaging: 0.5, evaluateEvery: 4, patience: 100 };

let engine: OpenEngine;
let step: Step;
let loaded: LoadedStep;
let start: Checkpoint;

beforeEach(async () => {
  engine = await openEngine({ threads: 1 });
  const net = new Net('net', 4);
  const graph = net.build(net.conv(net.block(net.input(SHAPE), 4), 1, { bias: true }));
  const builder = new GraphBuilder(semantics);
  const outputs = [{ value: 'conv2', reading: 'binary' as const, weight: 1 }];
  step = buildStep({ graph, outputs, features: [] }, builder, new Kernels(builder));
  loaded = await engine.loadStep(step.graph, step.carried);
  const { parameters, statistics } = pack(graph, step.layout);
  const zeros = () => new Float32Array(step.layout.size);
  const state = { parameters, momentum: zeros(), squares: zeros(), average: parameters.slice(), statistics };
  start = { step: 0, state, best: null, curve: [], rateFactor: 1 };
});

afterEach(() => engine.close());

/** Noise whose mask is where it is positive. */
function batch(index: number): Map<string, Tensor> {
  const random = createRandom(100 + index);
  const image = Float32Array.from({ length: SIZE }, () => random.normal());
  const mask = image.map((value) => Number(value > 0));
  return new Map([
    ['x', Tensor.floats(image, SHAPE)],
    [targetName('conv2'), Tensor.floats(mask, SHAPE)],
  ]);
}

interface Watched {
  readonly warnings: string[];
  readonly checkpoints: Checkpoint[];
  readonly progress: [step: number, best: number | undefined][];
}

function watched(changes: Partial<FitHooks> = {}): { hooks: FitHooks; seen: Watched } {
  const seen: Watched = { warnings: [], checkpoints: [], progress: [] };
  const hooks: FitHooks = {
    batch: async (index) => batch(index),
    // Any function of the weights serves; this one grows as they change.
    evaluate: async (parameters) => Math.hypot(...parameters.map((value, i) => value - start.state.parameters[i])),
    async checkpoint(checkpoint) {
      seen.checkpoints.push(checkpoint);
    },
    progress: (at, _, best) => seen.progress.push([at, best?.step]),
    warn: (message) => seen.warnings.push(message),
    ...changes,
  };
  return { hooks, seen };
}

const train = (hooks: FitHooks, plan: Partial<FitPlan> = {}, from = start) =>
  fitStudent(loaded, step.terms, { ...PLAN, ...plan }, { start: from, hooks });

/** A batch with one pixel that is no number, at this step. */
const brokenAt = (broken: (index: number) => boolean) => async (index: number) => {
  const values = batch(index);
  if (broken(index)) values.set('x', Tensor.floats(new Float32Array(SIZE).fill(Number.NaN), SHAPE));
  return values;
};

describe('fitting', () => {
  it('lowers every term of the loss, step by step towards the end of the plan', async () => {
    const { hooks, seen } = watched();
    const { curve, steps, best } = await train(hooks, { steps: 60, evaluateEvery: 20 });
    expect([steps, curve.map((point) => point.step)]).toEqual([60, [0, 20, 40, 60]]);
    for (const term of ['entropy', 'dice']) expect(curve[3].terms[term]).toBeLessThan(0.8 * curve[1].terms[term]);
    expect(seen.progress.map(([at]) => at)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    expect(best.step).toBe(60);
    expect(Object.keys(curve[1].terms)).toEqual(['entropy', 'dice', GRADIENT_NORM]);
  });

  it('keeps the averaged weights of the look that scored best', async () => {
    const scores = [0.5, 0.1, 0.9, 0.3];
    const given: Float32Array[] = [];
    const { hooks } = watched({
      async evaluate(parameters) {
        given.push(parameters.slice());
        return scores[given.length - 1];
      },
    });
    const { best, curve } = await train(hooks);
    expect(curve.map(({ score }) => score)).toEqual(scores);
    expect([best.step, best.score, best.parameters]).toEqual([8, 0.9, given[2]]);
    expect(given[2]).not.toEqual(given[3]);
  });

  it('gives the same bits every time, and after an interruption at any checkpoint', async () => {
    const { hooks, seen } = watched();
    const whole = await train(hooks);
    expect(seen.checkpoints.map((checkpoint) => checkpoint.step)).toEqual([0, 4, 8]);
    expect(await train(watched().hooks)).toEqual(whole);
    for (const checkpoint of seen.checkpoints) expect(await train(watched().hooks, {}, checkpoint)).toEqual(whole);
  });

  it('stops where no look has scored higher for as long as the plan has patience', async () => {
    const { hooks } = watched({ evaluate: async () => 0.5 });
    const { steps, best, curve } = await train(hooks, { steps: 40, patience: 3 });
    expect([steps, best.step, curve.length]).toEqual([28, 0, 8]);
  });

  it('is interrupted by a sentence, also while a batch is being made', async () => {
    const controller = new AbortController();
    const slow = async (index: number) => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (index === 3) throw new Error('the images are closed');
      return batch(index);
    };
    const { hooks } = watched({
      batch: slow,
      signal: controller.signal,
      progress: (at) => at === 2 && controller.abort(),
    });
    await expect(train(hooks)).rejects.toMatchObject({ code: 'interrupted' });
  });
});

describe('training that diverges', () => {
  it('goes back to the last look at half the rate, once, and goes on', async () => {
    let isBroken = true;
    const { hooks, seen } = watched({
      batch: brokenAt((index) => {
        const broken = index === 6 && isBroken;
        if (broken) isBroken = false;
        return broken;
      }),
    });
    const { steps, curve, best } = await train(hooks);
    expect(seen.warnings).toEqual([
      "at step 6 the term 'entropy' became NaN; training went back to step 4 at half the rate",
    ]);
    expect([steps, curve.map((point) => point.step)]).toEqual([12, [0, 4, 8, 12]]);
    expect(seen.checkpoints.map(({ step: at, rateFactor }) => [at, rateFactor])).toEqual([
      [0, 1],
      [4, 1],
      [4, 0.5],
      [8, 0.5],
    ]);
    expect(best.parameters.every(Number.isFinite)).toBe(true);
  });

  it('takes half as long steps after that', async () => {
    const moved = async (rateFactor: number) => {
      const { best } = await train(
        watched().hooks,
        { steps: 1, evaluateEvery: 1, averaging: 0 },
        { ...start, rateFactor },
      );
      return best.score;
    };
    expect((await moved(0.5)) / (await moved(1))).toBeCloseTo(0.5, 3);
  });

  it('gives up the second time, and names the step and the term', async () => {
    const { hooks, seen } = watched({ batch: brokenAt((index) => index === 6) });
    await expect(train(hooks)).rejects.toMatchObject({
      code: 'training-diverged',
      message: expect.stringMatching(
        /at step 6, also at half the rate: the term 'entropy' became NaN; give a lower --lr/,
      ),
    });
    expect(seen.warnings).toHaveLength(1);
  });

  it('is also a loss that explodes without becoming infinite', async () => {
    const far = async (index: number) => {
      const values = batch(index);
      if (index === 2) values.set(targetName('conv2'), Tensor.floats(new Float32Array(SIZE).fill(-1e6), SHAPE));
      return values;
    };
    const { hooks } = watched({ batch: far });
    await expect(train(hooks)).rejects.toMatchObject({ code: 'training-diverged' });
  });
});

it('what a hook throws ends training as it is', async () => {
  const { hooks } = watched({
    checkpoint: async () => {
      throw diskFull('run.checkpoint');
    },
  });
  await expect(train(hooks)).rejects.toMatchObject({ code: 'disk-full' });
});
