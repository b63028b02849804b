import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { badModelInput } from '../errors.js';
import { type ChromiumStart, prepareChromium, removeFolder } from './chromium-start.js';
import { type Allowance, ModelProcess, type OpenRunnerOptions, readablePath } from './model-process.js';
import {
  inputProblem,
  type Place,
  profileOf,
  type Runner,
  type RuntimeName,
  type Tensors,
  type TimePlan,
} from './runner.js';

export interface PlacedRunnerOptions extends OpenRunnerOptions<RuntimeName> {
  /**
   * Node unless given. In Chromium models can neither be profiled nor measured in memory; it is the user's own, as are
   * the packages playwright-core and, for ONNX files, onnxruntime-web.
   */
  place?: Place;
}

/**
 * Loads a model file in a process of its own, or in the browser of one. The process ends with `close`, with this
 * process, or with the first failure, and the browser with it.
 *
 * @throws CompressError when the file cannot be read or loaded, when loading takes too long or kills the process, or
 *   when the browser or a package for it is not installed.
 */
export async function openRunner(file: string, options: PlacedRunnerOptions): Promise<Runner> {
  const path = await readablePath(file);
  options.signal?.throwIfAborted();
  const { runtime, threads, place = 'node' } = options;
  const chromium = place === 'chromium' ? await prepareChromium(runtime) : null;
  const worker = new ModelProcess(file, options);
  const close = () => (chromium === null ? worker.end() : endWithBrowser(worker, chromium));
  try {
    const info = await worker.ask('load', { runtime, file: path, threads, chromium }, { task: 'load', runs: 1 });
    return makeRunner(file, worker, info, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** The most that a browser may take to end by itself. */
const BROWSER_END_MS = 5000;

async function endWithBrowser(worker: ModelProcess, chromium: ChromiumStart): Promise<void> {
  // Where it cannot answer any more, the end of the process ends the browser.
  await worker.ask('closePage', null, { task: 'close', runs: 0, extraMs: BROWSER_END_MS }).catch(() => {});
  await worker.end();
  await removeFolder(chromium);
}

function makeRunner(file: string, worker: ModelProcess, info: Runner['info'], close: () => Promise<void>): Runner {
  let lastTimed: Tensors | null = null;
  const check = (inputs: Tensors) => {
    const problem = inputProblem(info, inputs);
    if (problem !== null) throw badModelInput(file, problem);
  };
  return {
    file,
    info,
    processId: worker.processId,
    async run(inputs) {
      check(inputs);
      return worker.ask('run', { inputs }, { task: 'run', runs: 1 });
    },
    async time(inputs, plan) {
      check(inputs);
      const sent = inputs === lastTimed ? null : inputs;
      lastTimed = null; // until it is sure that the child holds them
      const times = await worker.ask('time', { inputs: sent, plan }, { task: 'run', ...allowance(plan) });
      lastTimed = inputs;
      return times;
    },
    async profile(inputs, runs) {
      check(inputs);
      // This process owns the folder, because the other may be killed before it could tidy up.
      const folder = await mkdtemp(join(tmpdir(), 'unet-compress-'));
      try {
        return profileOf(await worker.ask('profile', { inputs, runs, folder }, { task: 'profile', runs: runs + 2 }));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    async memory() {
      return worker.ask('memory', null, { task: 'answer for', runs: 1 });
    },
    close,
  };
}

function allowance(plan: TimePlan): Allowance {
  return 'runs' in plan ? { runs: plan.runs } : { runs: 1, extraMs: plan.milliseconds };
}
