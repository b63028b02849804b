/**
 * Whether a better start pays: validation Dice over training steps from weights fitted to the original (data-aware
 * choice, factors and least squares: the default), from plain ones (channels by norm, truncated SVD, no data), and from
 * random ones, at equal steps.
 *
 *   node bench/start.mjs <model.onnx> --data <folder> --steps <n> [--thin 0.125] [--start fitted,plain,random] [--seed 0]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { load } from '../dist/importers/index.js';
import { withDefaults } from '../dist/options.js';
import { runPasses } from '../dist/passes/run.js';
import { openCalibration } from '../dist/recipe/calibration.js';
import { planSteps, tidyingSteps } from '../dist/recipe/plan.js';
import { openTeaching } from '../dist/recipe/teaching.js';
import { openData } from '../dist/validate/open-data.js';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string' },
    steps: { type: 'string' },
    thin: { type: 'string', default: '0.125' },
    start: { type: 'string', default: 'fitted,plain,random' },
    seed: { type: 'string', default: '0' },
  },
});
const [model] = positionals;
if (!model || !given.data || !given.steps) {
  console.error('usage: node bench/start.mjs <model.onnx> --data <folder> --steps <n>');
  process.exit(1);
}
// All starts share the folder, and with it the original's answers.
const out = mkdtempSync(join(tmpdir(), 'unet-compress-bench-'));
const options = withDefaults({
  out,
  data: given.data,
  thin: Number(given.thin),
  separable: 'depthwise',
  distill: true,
  distillSteps: Number(given.steps),
  seed: Number(given.seed),
});
try {
  const curves = new Map();
  for (const start of given.start.split(',')) curves.set(start, await curveFrom(start));
  print(curves);
} finally {
  rmSync(out, { recursive: true, force: true });
}

/** What `distill` notes of training from this start. */
async function curveFrom(start) {
  const original = load(model);
  const splits = await openData(options);
  const calibration = await openCalibration(original, splits.train, options);
  const onProgress = (pass, fraction, detail = '') => {
    if (process.stderr.isTTY)
      process.stderr.write(`\r\x1b[K${start}: ${pass} ${Math.round(100 * fraction)} % ${detail}`);
  };
  try {
    const run = { seed: options.seed, calibration, onProgress };
    const { graph: tidied } = await runPasses(original, tidyingSteps(options), run);
    const teaching = await openTeaching(tidied, splits, options, calibration.engine);
    const { passes } = await runPasses(tidied, stepsFrom(start, tidied), { ...run, teaching });
    return passes.find(({ name }) => name === 'distill').changes[0];
  } finally {
    await calibration.close();
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  }
}

function stepsFrom(start, graph) {
  const shapes = new Map();
  const planned = planSteps(graph, { ...options, start: start === 'random' ? 'random' : 'fitted' }, shapes, true);
  if (start !== 'plain') return planned;
  const training = planned.slice(planned.findIndex(({ name }) => name === 'distill'));
  return [...planSteps(graph, { ...options, distill: undefined }, shapes, false), ...training];
}

function print(curves) {
  const starts = [...curves.keys()];
  const steps = [...new Set([...curves.values()].flatMap(({ curveSteps }) => curveSteps))].sort((a, b) => a - b);
  const at = (start, step) => {
    const { curveSteps, curveValidationDice } = curves.get(start);
    return curveValidationDice[curveSteps.indexOf(step)];
  };
  const table = new Table({ head: ['step', ...starts], style: { head: [], border: [] } });
  for (const step of steps) table.push([step, ...starts.map((start) => at(start, step)?.toFixed(4) ?? '')]);
  table.push(['best', ...starts.map((start) => curves.get(start).validationDice.toFixed(4))]);
  const [{ originalValidationDice, rate, batch }] = curves.values();
  console.log(
    `validation Dice, --thin ${given.thin} --separable, batch ${batch}, peak rate ${rate}, seed ${given.seed}`,
  );
  console.log(`original ${originalValidationDice.toFixed(4)}\n${table}`);
  if (!curves.has('fitted')) return;
  for (const start of starts.filter((name) => name !== 'fitted')) {
    const compared = steps.filter((step) => at('fitted', step) !== undefined && at(start, step) !== undefined);
    const better = compared.filter((step) => at('fitted', step) > at(start, step)).length;
    console.log(`fitted is better than ${start} at ${better} of ${compared.length} checkpoints`);
  }
}
