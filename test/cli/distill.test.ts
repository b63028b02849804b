import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { exportOnnx } from '../../src/exporters/onnx/index.js';
import { encodeCheckpoint } from '../../src/training/checkpoint.js';
import { resolveSettings } from '../../src/training/settings.js';
import { Net } from '../support/patterns-net.js';
import { boxImage } from '../support/training-material.js';
import { freshFolder, runCli } from './run-cli.js';

const SIZE = 16;
const IMAGES = 6;

let folder: string;
let model: string;

interface Picture {
  readonly size?: number;
  readonly mask?: (label: number) => number;
}

/** A folder of images, and of masks where a picture says how its labels are written. */
async function pictures(name: string, made: readonly Picture[], firstImage = 0): Promise<string> {
  const data = join(folder, name);
  for (const part of ['images', ...(made.some(({ mask }) => mask) ? ['masks'] : [])])
    mkdirSync(join(data, part), { recursive: true });
  for (const [index, { size = SIZE, mask }] of made.entries()) {
    const { input, mask: labels } = boxImage([1, size, size], 2, firstImage + index);
    const write = (part: string, values: ArrayLike<number>) =>
      sharp(Uint8Array.from(values), { raw: { width: size, height: size, channels: 1 } })
        .toColourspace('b-w')
        .png()
        .toFile(join(data, part, `image${index}.png`));
    await write(
      'images',
      Float32Array.from(input, (value) => Math.min(255, Math.max(0, 60 + 100 * value))),
    );
    if (mask && labels) await write('masks', labels.map(mask));
  }
  return data;
}

const alike = (picture: Picture): Picture[] => Array.from({ length: IMAGES }, () => picture);
const WITH_MASKS = alike({ mask: (label) => 255 * label });

beforeAll(async () => {
  folder = freshFolder();
  model = join(folder, 'net.onnx');
  const net = new Net('net', 3);
  const skip = net.block(net.input(['n', 1, 'h', 'w']), 4);
  const joined = net.concat(skip, net.scaleUp(net.block(net.maxPool(skip), 4)));
  await exportOnnx(net.build(net.sigmoid(net.conv(net.block(joined, 4), 1, { bias: true }))), model);
});

/** Two steps on small images, with as little around them as the options allow: most of a run is starting processes. */
async function distil(data: string, more: readonly string[] = []) {
  const out = more.includes('-o') ? more[more.indexOf('-o') + 1] : freshFolder();
  const named = more.includes('-o') ? more : [...more, '-o', out];
  const args = ['--thin', '0.5', '--distill', '--distill-steps', '2', '--batch', '4'];
  const little = ['--start', 'random', '--feature-weight', '0', '--no-validate'];
  const shape = ['--input-shape', `1,1,${SIZE},${SIZE}`, '--threads', '1'];
  const result = await runCli([...args, ...little, ...shape, '--data', data, ...named, model]);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  const report = () => JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'));
  return { ...result, out, report };
}

describe('a run', () => {
  test('resolves its settings, removes its checkpoint, and keeps the answers for the next run', async () => {
    const data = await pictures('usual', WITH_MASKS);
    const first = await distil(data, ['--resume']);
    expect([first.code, first.stderr]).toEqual([0, expect.stringMatching(/there is no checkpoint .* to resume from/)]);
    expect(readdirSync(join(first.out, 'distill'))).toEqual(['targets.records']);
    expect(first.report().resolved.distillation).toMatchObject({
      steps: 2,
      batch: 4,
      rate: expect.any(Number),
      kernels: expect.stringMatching(/^(plain|blocked\d+)$/),
      runtime: expect.stringMatching(/^onnxruntime-node \d/),
      threads: 1,
      seed: 0,
    });

    const bytes = readFileSync(join(first.out, 'net.onnx'));
    // Its own metadata says how it was trained.
    expect(bytes.toString('latin1')).toMatch(/"distillSteps":\s*2/);
    const kept = readFileSync(join(first.out, 'distill/targets.records'));
    // Of another run: neither taken for this one's, nor in the way of a run that does not resume.
    const settings = resolveSettings(
      { augment: true, featureLoss: 'adapted', start: 'fitted' },
      { parameters: 10, images: 32 },
    );
    const state = { parameters: new Float32Array(10) };
    const foreign = encodeCheckpoint({ step: 1, state, best: null, curve: [], rateFactor: 1 }, 'another', settings);
    const file = join(first.out, 'distill/net.checkpoint');
    writeFileSync(file, foreign);
    const refused = await distil(data, ['--resume', '-o', first.out]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/it belongs to another model, other data/),
    ]);
    const again = await distil(data, ['-o', first.out]);
    expect([again.code, readdirSync(join(first.out, 'distill'))]).toEqual([0, ['targets.records']]);
    expect(readFileSync(join(first.out, 'distill/targets.records')).equals(kept)).toBe(true);
    expect(readFileSync(join(first.out, 'net.onnx')).equals(bytes)).toBe(true);
    expect(again.report().resolved.distillation).toEqual(first.report().resolved.distillation);
  });

  test('takes images without masks, of unequal size that are to be resized, without a cache', async () => {
    const data = await pictures('bare', alike({}).with(0, { size: 2 * SIZE }));
    writeFileSync(join(folder, 'resize.json'), JSON.stringify({ preprocess: { resize: [SIZE, SIZE] } }));
    const { code, stderr } = await distil(data, ['--cache-size', '0', '--config', join(folder, 'resize.json')]);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/warning: .*no room for 3 of 3 images/)]);
  });
});

describe('bad data', () => {
  test('images of another size are refused by name', async () => {
    const data = await pictures('unequal', WITH_MASKS.with(5, { ...WITH_MASKS[5], size: 2 * SIZE }));
    const { code, stderr } = await distil(data, ['--val-data', await pictures('other', WITH_MASKS.slice(0, 1), 100)]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/image5.png: is 1 x 32 x 32, other images are 1 x 16 x 16; give them one size/),
    ]);
  });

  test('masks that are all empty are warned of', async () => {
    const { code, stderr } = await distil(await pictures('empty', alike({ mask: () => 0 })));
    expect([code, stderr]).toEqual([0, expect.stringMatching(/warning: .*masks of all training images are empty/)]);
  });

  test('masks with values that have no label are refused by name', async () => {
    const data = await pictures('unlabelled', WITH_MASKS.with(3, { mask: (label) => 7 * label }));
    writeFileSync(join(folder, 'labels.json'), JSON.stringify({ labels: { 0: 0, 255: 1 } }));
    const { code, stderr } = await distil(data, ['--config', join(folder, 'labels.json')]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/masks\/image3.png: holds the value 7, which has no label/),
    ]);
  });

  test('an empty folder is refused by name', async () => {
    const empty = join(folder, 'nothing');
    mkdirSync(empty);
    const { code, stderr } = await distil(empty);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/nothing: holds no image/)]);
  });
});

const wrongUse: [what: string, args: string[], sentence: RegExp][] = [
  ['--distill without images', ['--distill'], /--distill needs images to train on; name them with --data/],
  [
    'steps and minutes',
    ['--distill', '--data', '.', '--distill-steps', '5', '--distill-minutes', '1'],
    /--distill-minutes sets the number of steps and cannot go with --distill-steps/,
  ],
  ['--resume without --distill', ['--thin', '0.5', '--resume'], /--resume goes with --distill/],
  ['steps without --distill', ['--thin', '0.5', '--distill-steps', '5'], /--distill-steps goes with --distill/],
  ['a start without --distill', ['--thin', '0.5', '--start', 'random'], /--start goes with --distill/],
  ['no step at all', ['--distill', '--distill-steps', '0'], /--distill-steps must be a whole number from 1/],
];

test.each(wrongUse)('%s: one sentence and exit code 1', async (_, args, sentence) => {
  const data = args.includes('.') ? args.with(args.indexOf('.'), await pictures('options', alike({}))) : args;
  const { code, stderr } = await runCli([...data, model]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(sentence)]);
  expect(stderr).not.toMatch(/\n\s+at /);
});
