/**
 * The whole job on HC18: the 31 M U-Net thinned to an eighth, made separable and distilled, with masks and without
 * (then the original is the only teacher), judged once on the test images.
 *
 *   node bench/distill-hc18.mjs <hc18-unet.onnx> <folder of hc18> [--mode with-masks,without-masks] [--steps n]
 *                               [--images n] [--out .cache/bench/hc18]
 *
 * The folder holds train/ and test/, each with images/, masks/ and manifest.csv (image, group). It runs
 *
 *   compress --thin 0.125 --separable --distill --data <train> --test-data <test> <hc18-unet.onnx>
 *
 * twice, each up to an hour on two cores. --images takes the first n images of either folder, to try this script out.
 * Results stay in the folder of --out, report.json included.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runTree } from './process-tree.mjs';

/** What must be reached: see the project's figures; differences of mean Dice, the interval of 90 %. */
const LEAST_DIFFERENCE = { 'with-masks': -0.003, 'without-masks': -0.0035 };
const LARGEST_INTERVAL = 0.005;
const MOST_MINUTES = 60;
const MOST_GIBIBYTES = 1.5;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mode: { type: 'string', default: 'with-masks,without-masks' },
    steps: { type: 'string' },
    images: { type: 'string' },
    out: { type: 'string', default: new URL('../.cache/bench/hc18', import.meta.url).pathname },
  },
});
const [model, corpus] = positionals;
if (!model || !corpus) {
  console.error('usage: node bench/distill-hc18.mjs <hc18-unet.onnx> <folder of hc18>');
  process.exit(1);
}
const cli = new URL('../dist/cli.js', import.meta.url).pathname;
const temporary = mkdtempSync(join(tmpdir(), 'unet-compress-bench-'));
try {
  for (const mode of options.mode.split(',')) await distil(mode);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

async function distil(mode) {
  const out = join(options.out, mode);
  // The time of a run includes the original's answers, which an earlier one has left here.
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const train = linkTo('train', mode, mode === 'with-masks' ? ['images', 'masks'] : ['images']);
  const test = linkTo('test', mode, ['images', 'masks']);
  const steps = options.steps ? ['--distill-steps', options.steps] : [];
  const folders = ['--data', train, '--test-data', test, '--out', out];
  const args = ['--thin', '0.125', '--separable', '--distill', ...steps, ...folders, model];
  console.log(`\n${mode}: compress ${args.join(' ')}`);
  const run = await runTree(process.execPath, [cli, ...args]);
  print(mode, run, JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')));
}

/** A folder of links to parts of the corpus, so that what is left out is not there. */
function linkTo(split, mode, parts) {
  const source = resolve(corpus, split);
  const folder = join(temporary, mode, split);
  const manifest = join(source, 'manifest.csv');
  const names = readdirSync(join(source, 'images'))
    .sort()
    .slice(0, Number(options.images ?? Infinity));
  for (const part of parts) {
    mkdirSync(join(folder, part), { recursive: true });
    for (const name of names) symlinkSync(join(source, part, name), join(folder, part, name));
  }
  const isKept = (line, i) => i === 0 || names.includes(line.split(',')[0]);
  writeFileSync(join(folder, 'manifest.csv'), readFileSync(manifest, 'utf8').split('\n').filter(isKept).join('\n'));
  return folder;
}

function print(mode, { seconds, peakBytes }, report) {
  const distilled = report.passes.find(({ name }) => name === 'distill').changes[0];
  const [{ parameters, sizeBytes, latencyMs, ratios, accuracy }] = report.artifacts;
  const { mean, ci90, ci95 } = accuracy.difference;
  const least = LEAST_DIFFERENCE[mode];
  const minutes = seconds / 60;
  const gibibytes = peakBytes / 2 ** 30;
  const interval = (bounds) => `[${bounds.map((bound) => bound.toFixed(5)).join(', ')}]`;
  const verdict = (isReached, limit) => `required ${limit}: ${isReached ? 'reached' : 'MISSED'}`;
  const lines = [
    `wall time ${minutes.toFixed(1)} min (${verdict(minutes <= MOST_MINUTES, `<= ${MOST_MINUTES}`)})`,
    `peak RSS of all processes ${gibibytes.toFixed(2)} GiB (${verdict(gibibytes <= MOST_GIBIBYTES, `<= ${MOST_GIBIBYTES}`)})`,
    `${distilled.stepsDone} steps of ${distilled.steps}, batch ${distilled.batch}, kernels ${distilled.kernels}; best at step ${distilled.bestStep}: validation Dice ${distilled.validationDice.toFixed(5)} (original ${distilled.originalValidationDice.toFixed(5)})`,
    `test: ${accuracy.images} images, ${accuracy.groups} groups; mean Dice ${accuracy.original.mean.toFixed(5)} -> ${accuracy.compressed.mean.toFixed(5)}`,
    `mean difference ${mean.toFixed(5)} (${verdict(mean >= least, `>= ${least}`)})`,
    `90 % interval ${interval(ci90)} (${verdict(
      ci90.every((bound) => Math.abs(bound) < LARGEST_INTERVAL),
      `inside +-${LARGEST_INTERVAL}`,
    )}), 95 % ${interval(ci95)}`,
    `parameters ${report.original.parameters} -> ${parameters} (${ratios.parameters.toFixed(0)} x less), bytes ${report.original.sizeBytes} -> ${sizeBytes}`,
    ...Object.values(latencyMs ?? {}).map(
      ({ threads, median }) => `latency at ${threads} thread${threads > 1 ? 's' : ''}: ${median.toFixed(2)} ms`,
    ),
    ...report.warnings.map((warning) => `warning: ${warning}`),
  ];
  console.log(`\n${mode}\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
