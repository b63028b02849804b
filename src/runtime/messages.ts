import type { ChromiumStart } from './chromium-start.js';
import type { Placed } from './exchange.js';
import type { MemoryUse, NodeTime, RunnerInfo, RuntimeName, StepPlan, Tensors, TimePlan } from './runner.js';

/** What the parent asks of the child process, by the name of the call. */
export interface Calls {
  /** `chromium` null stands for the process itself as the place. */
  load: {
    given: { runtime: RuntimeName; file: string; threads: number; chromium: ChromiumStart | null };
    result: RunnerInfo;
  };
  run: { given: { inputs: Tensors }; result: Tensors };
  /** `inputs` null stands for those of the last `time` call, which the child has kept. */
  time: { given: { inputs: Tensors | null; plan: TimePlan }; result: number[] };
  profile: { given: { inputs: Tensors; runs: number; folder: string }; result: NodeTime[] };
  memory: { given: null; result: MemoryUse };
  /** Ends the browser, if there is one. */
  closePage: { given: null; result: null };
  /** Opens the file that `Placed` tensors of the calls below lie in. */
  openExchange: { given: { path: string }; result: null };
  loadStep: { given: { file: string; threads: number; plan: StepPlan }; result: RunnerInfo };
  unloadStep: { given: null; result: null };
  step: { given: { inputs: Placed }; result: Placed };
  setState: { given: { values: Placed }; result: null };
  state: { given: null; result: Placed };
}

export type CallName = keyof Calls;

export type Request = { [C in CallName]: { id: number; call: C; given: Calls[C]['given'] } }[CallName];

export type Reply = { id: number; result: Calls[CallName]['result'] } | { id: number; error: string };
