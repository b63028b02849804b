import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { badModelInput } from '../errors.js';
import { type Allowance, ModelProcess, type OpenRunnerOptions, readablePath } from './model-process.js';
import { inputProblem, profileOf, type Runner, type RuntimeName, type Tensors, type TimePlan } from './runner.js';

/**
 * Loads a model file in a process of its own, which ends with `close`, with this process, or with the first failure.
 *
 * @throws CompressError when the file cannot be read or loaded, or when loading takes too long or kills the process.
 */
export async function openRunner(file: string, options: OpenRunnerOptions<RuntimeName>): Promise<Runner> {
  const path = await readablePath(file);
  options.signal?.throwIfAborted();
  const worker = new ModelProcess(file, options);
  try {
    const { runtime, threads } = options;
    const info = await worker.ask('load', { runtime, file: path, threads }, { task: 'load', runs: 1 });
    return makeRunner(file, worker, info);
  } catch (error) {
    await worker.end();
    throw error;
  }
}

function makeRunner(file: string, worker: ModelProcess, info: Runner['info']): Runner {
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
    close: () => worker.end(),
  };
}

function allowance(plan: TimePlan): Allowance {
  return 'runs' in plan ? { runs: plan.runs } : { runs: 1, extraMs: plan.milliseconds };
}
