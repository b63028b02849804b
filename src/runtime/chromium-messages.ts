import type { RunnerInfo, RuntimeName, TimePlan } from './runner.js';

/** What the process that started the browser asks of its page; tensors lie ready on the server. */
export type PageRequest =
  /** The addresses of the model and of the folder with the runtime's WebAssembly files. */
  | { call: 'load'; runtime: RuntimeName; model: string; wasm: string }
  | { call: 'run' }
  /** Takes the inputs of the timings that follow. */
  | { call: 'keepInputs' }
  | { call: 'time'; plan: TimePlan };

export type PageAnswer = { result: RunnerInfo | number[] | null } | { error: string };
