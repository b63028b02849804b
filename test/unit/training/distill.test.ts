import { describe, expect, it } from 'vitest';
import { diskFull } from '../../../src/errors.js';
import type { Graph } from '../../../src/ir/graph.js';
import { type DistillOptions, distill } from '../../../src/passes/distill.js';
import { runPasses, step } from '../../../src/passes/run.js';
import { thin } from '../../../src/passes/thin.js';
import { Net } from '../../support/patterns-net.js';
import { runPass } from '../../support/run-pass.js';
import { boxImage, type MaterialOptions, memoryMaterial } from '../../support/training-material.js';

const OPTIONS: DistillOptions = {
  steps: 60,
  batch: 4,
  rate: 0.02,
  augment: true,
  featureLoss: 'adapted',
  start: 'fitted',
  margin: 0.01,
};

/** A U-Net of one level in any dimension. */
function unet(size: readonly number[], end: (net: Net, features: string) => string[]): Graph {
  const net = new Net('unet', 6);
  const skip = net.block(net.input(['n', 1, ...size]), 8);
  const bottom = net.block(net.maxPool(skip), 8);
  return net.build(...end(net, net.block(net.concat(skip, net.up(bottom, 8)), 8)));
}

const sigmoid = (net: Net, x: string) => [net.op('Sigmoid', [net.conv(x, 1, { kernel: 1, bias: true })], {}, 'y')];
const softmax = (net: Net, x: string) => [
  net.op('Softmax', [net.conv(x, 3, { kernel: 1, bias: true })], { axis: 1 }, 'y'),
];
/** Probabilities and scores of one head, and another head at half the resolution. */
const several = (net: Net, x: string) => [
  ...sigmoid(net, x),
  net.op('Identity', ['conv4'], {}, 'logits'),
  net.op('Sigmoid', [net.conv(net.maxPool(x), 1)], {}, 'deep'),
];

type Run = Awaited<ReturnType<typeof distilled>>;

async function distilled(
  teacher: Graph,
  material: Partial<MaterialOptions>,
  options: Partial<DistillOptions> = {},
  given?: Graph,
) {
  const student = given ?? (await runPass(thin, teacher, { keep: 0.5, round: 1, shape: 'proportional' })).graph;
  const shape = (teacher.type('x').shape ?? []).slice(1) as number[];
  const teaching = { teacher, material: memoryMaterial({ shape, output: 'y', kind: 'prob', ...material }) };
  const details: string[] = [];
  const run = await runPasses(student, [step(distill, { ...OPTIONS, ...options })], {
    seed: 3,
    check: true,
    teaching,
    onProgress: (_, __, detail) => details.push(detail ?? ''),
  });
  const [change] = run.passes[0].changes;
  return { ...run, details, curve: (term: string) => change[`curve ${term}`] as number[], change };
}

const weights = ({ graph }: Run) =>
  [...graph.constants].map(([name, tensor]) => [name, Buffer.from(tensor.toBytes()).toString('hex')]);

describe('distillation lowers the loss', () => {
  it.each<[what: string, make: () => Graph, material: Partial<MaterialOptions>]>([
    ['one class, with masks', () => unet([8, 8], sigmoid), {}],
    ['three classes, with masks', () => unet([8, 8], softmax), { classes: 3 }],
    ['several outputs, without masks', () => unet([8, 8], several), { classes: 0 }],
    ['three dimensions', () => unet([4, 4, 4], sigmoid), {}],
    ['one dimension', () => unet([16], sigmoid), {}],
  ])('%s', async (_, make, material) => {
    const run = await distilled(make(), material);
    const loss = (look: number) =>
      ['entropy', 'dice', 'features'].reduce((sum, term) => sum + run.curve(term)[look], 0);
    expect(loss(2)).toBeLessThan(0.95 * loss(0));
    expect(run.change).toMatchObject({ action: 'distilled', stepsDone: 60, batch: 4, curveSteps: [0, 20, 40, 60] });
    expect(run.resolved.distill).toMatchObject({ steps: 60, batch: 4, rate: 0.02 });
    expect(run.details).toContainEqual(expect.stringMatching(/^step 60\/60, .* images\/s, entropy 0\.\d+ dice/));
    expect(run.graph.outputs).toEqual(make().outputs);
  });

  it('of the paper, between maps of equal width', async () => {
    const teacher = unet([8, 8], sigmoid);
    const options = { featureLoss: 'paper', start: 'random' } as const;
    const run = await distilled(teacher, {}, options, teacher);
    expect(run.curve('features')[2]).toBeLessThan(run.curve('features')[0]);
    await expect(distilled(teacher, {}, options)).rejects.toThrow(/pass 'distill': --feature-loss paper compares maps/);
  });
});

describe('a run', () => {
  const teacher = unet([8, 8], sigmoid);

  it('gives the same bytes for the same seed, also where it is interrupted and resumed', async () => {
    const checkpoints: Uint8Array[] = [];
    const whole = await distilled(teacher, { onCheckpoint: (bytes) => checkpoints.push(bytes) });
    expect(checkpoints).toHaveLength(3);
    // All that a run leaves that ends after step 40.
    const resumed = await distilled(teacher, { resumed: checkpoints[2] });
    expect(weights(await distilled(teacher, {}))).toEqual(weights(whole));
    expect(weights(resumed)).toEqual(weights(whole));
    expect({ ...resumed.change, stepsShare: 0 }).toEqual({ ...whole.change, stepsShare: 0 });
    expect(resumed.details).not.toContainEqual(expect.stringMatching(/^step 40\/60/));
    expect(weights(await distilled(teacher, {}, { rate: 0.01 }))).not.toEqual(weights(whole));
  });

  it('begins at its first step where there is nothing to resume, and says so', async () => {
    const run = await distilled(teacher, { resumed: null }, { steps: 2 });
    expect(run.warnings[0]).toMatch(/no checkpoint run.checkpoint to resume from, so training began at its first step/);
    expect(run.change.stepsDone).toBe(2);
  });

  it('refuses to resume another run', async () => {
    let written: Uint8Array | undefined;
    await distilled(
      teacher,
      {
        onCheckpoint: (bytes) => {
          written = bytes;
        },
      },
      { steps: 2 },
    );
    await expect(distilled(teacher, { resumed: written }, { steps: 3 })).rejects.toThrow(
      /cannot resume from run.checkpoint: it belongs to another model, other data or other options/,
    );
  });

  it('goes on where checkpoints cannot be written, with one warning', async () => {
    const onCheckpoint = () => {
      throw diskFull('run.checkpoint');
    };
    const run = await distilled(teacher, { onCheckpoint });
    expect(run.change.stepsDone).toBe(60);
    const about = run.warnings.filter((warning) => warning.includes('could not be resumed'));
    expect(about).toEqual([expect.stringMatching(/the disk is full/)]);
  });

  it('goes on where the cache has no room', async () => {
    const run = await distilled(teacher, { capacity: 0 }, { steps: 4 });
    expect(run.warnings[0]).toMatch(/no room for 6 of 6 images/);
    expect(run.change.stepsDone).toBe(4);
  });

  it('takes fewer images than a batch', async () => {
    expect((await distilled(teacher, { count: 1 }, { steps: 2 })).change.stepsDone).toBe(2);
  });

  it('warns of a network that stays short of the original, with what would help', async () => {
    const run = await distilled(teacher, { classes: 0 }, { steps: 2, rate: 1e-6, start: 'random' });
    expect(run.warnings.at(-1)).toMatch(/masks overlap with the original's by a Dice of 0.\d+ .*would help/);
  });

  it('diverges with a sentence that names the pass, the step and the term', async () => {
    const image = (index: number) => {
      const sample = boxImage([1, 8, 8], 2, index);
      return index < 1000 ? { ...sample, input: sample.input.fill(3e38) } : sample;
    };
    await expect(distilled(teacher, { image }, { augment: false, featureWeight: 0, start: 'random' })).rejects.toThrow(
      /^pass 'distill': training diverged at step 0, also at half the rate: the term '.*' became/,
    );
  });
});
