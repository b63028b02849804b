/**
 * Images/s of a full training step beside PyTorch's, in turns in one run: student forward and backward, output and
 * feature losses, clipping, AdamW, averaged weights and running statistics. Ours is loaded as distillation loads it, so
 * that sending the batch to its process counts; the peer's batch lies ready in its memory.
 *
 *   node bench/train-step.mjs [--net a,b] [--threads 1,2] [--rounds 6] [--form chosen,portable] [--size 256] [--batch 8]
 *   node bench/train-step.mjs --check [--net a,b] [--form chosen,portable]
 *
 * The peer needs a python3 with torch (Debian: python3-torch; PYTHON chooses another). Without one only our own figures
 * are printed. A busy machine favours us: at two threads PyTorch was seen to lose ten times as much as we do, so nothing
 * is called reached then. Look at the spread, too.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { Tensor } from '../dist/ir/tensor.js';
import { openEngine } from '../dist/recipe/engine.js';
import { chooseKernels } from '../dist/training/blocked/choose.js';
import { Kernels } from '../dist/training/kernels.js';
import { NUMBERS } from '../dist/training/step.js';
import { median } from './process.mjs';
import { checkStep } from './train-check.mjs';
import {
  buildNet,
  buildTraining,
  buildTrainingStep,
  makeData,
  NETS,
  numbersOf,
  PORTABLE_REACH,
} from './train-nets.mjs';
import { openPeer, torchVersion, writePeerFiles } from './train-peer.mjs';

/** Steps that the running means of the optimizer stand for at the start. */
const FIRST_STEP = 100;

const { values: options } = parseArgs({
  options: {
    net: { type: 'string', default: 'a,b' },
    threads: { type: 'string', default: '1,2' },
    form: { type: 'string', default: 'chosen,portable' },
    rounds: { type: 'string', default: '6' },
    size: { type: 'string' },
    batch: { type: 'string' },
    check: { type: 'boolean', default: false },
  },
});
/** More than this runs beside: ratios say nothing then. */
const BUSY = 1;
const isBusy = loadavg()[0] > BUSY;

const list = (text) => text.split(',');
const torch = torchVersion();
if (options.check) {
  if (!torch) throw new Error('--check compares with PyTorch; set PYTHON to a python3 with torch');
  process.exitCode = (await check()) ? 0 : 1;
} else await measureAll();

async function measureAll() {
  const [batch, size] = [Number(options.batch ?? 8), Number(options.size ?? 256)];
  console.log(`training step, ${size}x${size}, batch ${batch}, in turns, medians of ${options.rounds - 1} rounds`);
  if (isBusy) console.log(`load average ${loadavg()[0].toFixed(1)}: the machine is busy, ratios say nothing`);
  console.log(torch ? `peer: PyTorch ${torch}` : 'no python3 with torch: our own figures only');
  for (const name of list(options.net))
    for (const threads of list(options.threads).map(Number)) {
      const rows = await measureNet(NETS[name], { batch, size, threads });
      print(`(${name}) ${NETS[name].title}, ${threads} thread${threads > 1 ? 's' : ''}`, rows, {
        batch,
        threads,
        name,
      });
    }
}

/** Times of all forms and of the peer's two layouts, by round. */
async function measureNet(net, { batch, size, threads }) {
  const folder = mkdtempSync(join(tmpdir(), 'unet-compress-bench-'));
  const engine = await openEngine({ threads });
  const runners = [];
  try {
    const training = buildTraining(buildNet(net, { batch, size }), { batch, size });
    for (const form of list(options.form)) runners.push(await openOurs(engine, form, training, { batch, size }));
    if (torch) {
      const { layout, data } = runners[0];
      writePeerFiles(folder, { net, training, layout, data, numbers: numbersOf(FIRST_STEP), step: FIRST_STEP });
      for (const format of ['default', 'channels_last']) runners.push(await openTheirs(folder, threads, format));
    }
    const times = runners.map(() => []);
    for (let round = 0; round < options.rounds; round++)
      for (const [i, { step }] of runners.entries()) times[i].push(await step(round));
    const peaks = await Promise.all(runners.map(({ peak }) => peak()));
    return runners.map(({ name, isPeer }, i) => ({ name, isPeer, times: times[i].slice(1), peak: peaks[i] }));
  } finally {
    await Promise.all(runners.map(({ close }) => close()));
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function kernelsOf(engine, form) {
  return form === 'portable' ? { name: 'plain', create: (builder) => new Kernels(builder) } : chooseKernels(engine);
}

async function openOurs(engine, form, training, shape) {
  const kernels = await kernelsOf(engine, form);
  const { graph, layout, carried } = buildTrainingStep(training, kernels.create);
  const data = makeData(training, layout, shape);
  const loaded = await engine.loadStep(graph, carried);
  const vectors = Object.entries(data.state).map(([name, values]) => [name, Tensor.floats(values)]);
  await loaded.setState(new Map(vectors));
  return {
    name: `ours, ${form} (${kernels.name})`,
    form,
    layout,
    data,
    async step(round) {
      const inputs = new Map([...data.inputs, [NUMBERS, Tensor.floats(numbersOf(FIRST_STEP + round))]]);
      const started = performance.now();
      await loaded.run(inputs);
      return performance.now() - started;
    },
    peak: async () => (await loaded.memory()).peakRssBytes,
    close: () => loaded.close(),
  };
}

async function openTheirs(folder, threads, format) {
  const peer = await openPeer(folder, threads, format);
  let peak = 0;
  return {
    name: `PyTorch, ${format}`,
    isPeer: true,
    async step() {
      const { milliseconds, peakRssBytes } = await peer.ask('step');
      peak = peakRssBytes;
      return milliseconds;
    },
    peak: async () => peak,
    close: () => peer.close(),
  };
}

function print(title, rows, { batch, threads, name }) {
  const peer = rows.filter(({ isPeer }) => isPeer).sort((a, b) => median(a.times) - median(b.times))[0];
  const table = new Table({
    head: [title, 'ms (least - most)', 'images/s', 'x peer (by round)', 'required', 'peak RSS'],
    style: { head: [], border: [] },
  });
  for (const row of rows) {
    const middle = median(row.times);
    const [least, most] = [Math.min(...row.times), Math.max(...row.times)].map((time) => time.toFixed(0));
    const speed = ((1000 * batch) / middle).toFixed(1);
    const memory = `${(row.peak / 2 ** 20).toFixed(0)} MiB`;
    const [ratio, required] = row.isPeer ? ['', ''] : against(peer, row, NETS[name].reach[threads]);
    table.push([row.name, `${middle.toFixed(0)} (${least} - ${most})`, speed, ratio, required, memory]);
  }
  console.log(`\n${table}`);
}

/** Ratio of images/s to the peer's better layout, its spread over rounds, and what is required of it. */
function against(peer, { name, times }, reach) {
  const least = name.includes('portable') ? PORTABLE_REACH : reach;
  const required = least === undefined ? '' : `>= ${least}`;
  if (!peer) return ['', required];
  const rounds = times.map((time, i) => peer.times[i] / time).sort((a, b) => a - b);
  const ratio = median(peer.times) / median(times);
  const verdict = least === undefined || isBusy ? '' : ratio >= least ? ' reached' : ' MISSED';
  return [`${ratio.toFixed(2)} (${rounds[0].toFixed(2)} - ${rounds.at(-1).toFixed(2)})`, required + verdict];
}

async function check() {
  const [batch, size] = [Number(options.batch ?? 2), Number(options.size ?? 64)];
  let isRight = true;
  for (const name of list(options.net)) {
    const engine = await openEngine({ threads: 1 });
    try {
      for (const form of list(options.form)) {
        const kernels = await kernelsOf(engine, form);
        console.log(`\n(${name}) ${NETS[name].title}, ${form} (${kernels.name}), ${size}x${size}, batch ${batch}`);
        isRight = (await checkStep(engine, NETS[name], kernels, { batch, size })) && isRight;
      }
    } finally {
      await engine.close();
    }
  }
  return isRight;
}
