import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { badModelInput, cannotWrite } from '../errors.js';
import { Exchange } from './exchange.js';
import { ModelProcess, type OpenRunnerOptions, readablePath } from './model-process.js';
import { inputProblem, type RunnerInfo, type StepPlan, type Stepper, stateProblem, type Tensors } from './runner.js';

/**
 * Loads a model file in a process of its own to run it on its own results. The process ends with `close`, with this
 * process, or with the first failure of the process itself.
 *
 * @throws CompressError when the file cannot be read or loaded, when an output cannot be carried to its input, or when
 *   loading takes too long or kills the process.
 */
export async function openStepper(file: string, options: OpenRunnerOptions & StepPlan): Promise<Stepper> {
  await readablePath(file);
  const host = await StepHost.start(file, options);
  try {
    return { ...(await host.load(file, options)), close: () => host.end() };
  } catch (error) {
    await host.end();
    throw error;
  }
}

/** A process that runs one step after another: to start one takes longer than to load many a model. */
export class StepHost {
  // Once only: by the second time, the number of the file's handle may be another's.
  private ending: Promise<void> | undefined;

  private constructor(
    private readonly options: OpenRunnerOptions,
    private readonly worker: ModelProcess,
    private readonly exchange: Exchange,
  ) {}

  /**
   * @param file the first that it will load, for messages
   * @throws CompressError where the temporary folder cannot be written, or the process ends
   */
  static async start(file: string, options: OpenRunnerOptions): Promise<StepHost> {
    options.signal?.throwIfAborted();
    const folder = await mkdtemp(join(tmpdir(), 'unet-compress-')).catch((cause) => {
      throw cannotWrite(tmpdir(), cause);
    });
    try {
      const path = join(folder, 'exchange');
      const exchange = attempt(() => new Exchange(path, 'wx+'));
      const host = new StepHost(options, new ModelProcess(file, options), exchange);
      await host.worker.ask('openExchange', { path }, { task: 'start for', runs: 1 }).catch(async (error) => {
        await host.end();
        throw error;
      });
      return host;
    } finally {
      // Both processes hold the file of the exchange open; without a name it is gone with them, however they end.
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Whether it can load another model. */
  get isAlive(): boolean {
    return this.ending === undefined && !this.worker.hasEnded;
  }

  /** Loads a model in place of the last one, whose stepper must have been closed; closing one leaves the process. */
  async load(file: string, { carried, optimization }: StepPlan): Promise<Stepper> {
    const path = await readablePath(file);
    const { worker, exchange } = this;
    worker.file = file;
    const plan = { carried, optimization };
    const { threads } = this.options;
    const info = await worker.ask('loadStep', { file: path, threads, plan }, { task: 'load', runs: 1 });
    return { file, info, processId: worker.processId, ...calls(file, worker, exchange, info, plan) };
  }

  /** Ends the process. Safe to call more than once, and after a failure. */
  end(): Promise<void> {
    this.ending ??= this.worker.end().then(() => this.exchange.close());
    return this.ending;
  }
}

function calls(
  file: string,
  worker: ModelProcess,
  exchange: Exchange,
  info: RunnerInfo,
  plan: StepPlan,
): Pick<Stepper, 'run' | 'setState' | 'state' | 'memory' | 'close'> {
  const unset = new Set(Object.values(plan.carried));
  const isCarried = new Set(unset);
  const carried = info.inputs.filter(({ name }) => isCarried.has(name));
  const inputs = info.inputs.filter(({ name }) => !isCarried.has(name));
  const refuse = (problem: string | null) => {
    if (problem !== null) throw badModelInput(file, problem);
  };
  const requireState = () => {
    const [first] = unset;
    refuse(first === undefined ? null : `its carried input ${first} has no value yet; set the state first`);
  };
  const put = (tensors: Tensors) => {
    worker.throwIfEnded();
    return attempt(() => exchange.put(tensors));
  };
  const inTurn = queue();
  let closing: Promise<void> | undefined;
  return {
    run: (given) =>
      inTurn(async () => {
        requireState();
        refuse(inputProblem({ inputs }, given));
        return exchange.take(await worker.ask('step', { inputs: put(given) }, { task: 'run', runs: 1 }));
      }),
    setState: (values) =>
      inTurn(async () => {
        refuse(stateProblem(carried, values));
        await worker.ask('setState', { values: put(values) }, { task: 'set the state of', runs: 1 });
        for (const name of Object.keys(values)) unset.delete(name);
      }),
    state: () =>
      inTurn(async () => {
        requireState();
        return exchange.take(await worker.ask('state', null, { task: 'read the state of', runs: 1 }));
      }),
    memory: () => inTurn(() => worker.ask('memory', null, { task: 'answer for', runs: 1 })),
    close() {
      // Once only: by the second time, the process may have loaded another. One that has ended has unloaded everything.
      closing ??= inTurn(async () => {
        await worker.ask('unloadStep', null, { task: 'unload', runs: 1 }).catch(() => {});
      });
      return closing;
    },
  };
}

/** Runs tasks one after another: there is one file for what goes either way. */
function queue(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const done = last.then(task);
    last = done.catch(() => {});
    return done;
  };
}

function attempt<T>(write: () => T): T {
  try {
    return write();
  } catch (cause) {
    throw cannotWrite(tmpdir(), cause);
  }
}
