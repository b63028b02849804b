import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { resolve } from 'node:path';
import { cannotLoad, cannotRead, cannotRun, messageOf, runnerDied, runnerTimedOut } from '../errors.js';
import type { CallName, Calls, Reply, Request } from './messages.js';
import { type Place, RUNTIME_TITLES, type RuntimeName } from './runner.js';

/** @typeParam R the runtimes to choose from */
export interface OpenRunnerOptions<R extends RuntimeName = 'onnxruntime'> {
  runtime: R;
  /**
   * Threads within an operator; operators run one after another. LiteRT and TensorFlow.js always use one, and so does
   * everything in a browser.
   */
  threads: number;
  /** The most that loading, or one run, may take; ten minutes unless given. */
  timeoutMs?: number;
  /** Ends the process; whatever waits for it rejects with the signal's reason. */
  signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 600_000;

/** How much time a call may take: that of `runs` runs, and `extraMs`. */
export interface Allowance {
  runs: number;
  extraMs?: number;
}

/**
 * The file's absolute path.
 *
 * @throws CompressError when the file cannot be read
 */
export async function readablePath(file: string): Promise<string> {
  await access(file, constants.R_OK).catch((cause) => {
    throw cannotRead(file, cause);
  });
  return resolve(file);
}

interface Waiting {
  call: CallName;
  resolve: (result: never) => void;
  reject: (error: unknown) => void;
  timer: NodeJS.Timeout;
}

/** The parent's side of one child process. Whatever ends the process, every open and later call rejects with the reason. */
export class ModelProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #title: string;
  readonly #timeoutMs: number;
  readonly #ended: Promise<void>;
  #calls = 0;
  #reason: unknown;
  #errorOutput = '';

  /** @param file whose model it runs, for messages */
  constructor(
    public file: string,
    { runtime, place, timeoutMs = DEFAULT_TIMEOUT_MS, signal }: OpenRunnerOptions<RuntimeName> & { place?: Place },
  ) {
    this.#title = RUNTIME_TITLES[runtime] + (place === 'chromium' ? ' in Chromium' : '');
    this.#timeoutMs = timeoutMs;
    this.#child = fork(childScript(), {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Not this process's own flags, which may be a debugger's port or a test runner's loader.
      execArgv: ['--expose-gc'],
      env: { ...process.env, ...ALLOCATOR_SETTINGS, ...NO_TELEMETRY },
    });

    const abort = () => this.#kill(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    this.#child.on('message', (reply: Reply) => this.#settle(reply));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errorOutput = (this.#errorOutput + text).slice(-ERROR_OUTPUT_LIMIT);
    });
    this.#ended = new Promise((resolveEnded) => {
      const finish = (reason: () => unknown) => {
        signal?.removeEventListener('abort', abort);
        this.#reason ??= reason();
        this.#rejectAll();
        resolveEnded();
      };
      // `close` comes after `exit`, when the error output has been read to its end.
      this.#child.on('close', (code, name) => finish(() => this.#died(endingOf(code, name))));
      this.#child.on('error', (error) => {
        if (this.#child.pid === undefined) finish(() => this.#died(`could not be started: ${messageOf(error)}`));
      });
    });
  }

  get processId(): number {
    return this.#child.pid ?? 0;
  }

  /** Sends one request; `task` is the verb for the message about a timeout. */
  ask<C extends CallName>(
    call: C,
    given: Calls[C]['given'],
    { task, runs, extraMs = 0 }: Allowance & { task: string },
  ): Promise<Calls[C]['result']> {
    if (this.#reason !== undefined) return Promise.reject(this.#reason);
    const id = this.#calls++;
    const limitMs = Math.min(this.#timeoutMs * runs + extraMs, LONGEST_TIMER_MS);
    return new Promise((resolveCall, reject) => {
      const expire = () => this.#kill(runnerTimedOut(this.file, this.#title, task, limitMs));
      this.#waiting.set(id, { call, resolve: resolveCall, reject, timer: setTimeout(expire, limitMs) });
      // A failure to send means that the process is ending; the reason comes with its end.
      this.#child.send({ id, call, given } as Request, () => {});
    });
  }

  get hasEnded(): boolean {
    return this.#reason !== undefined;
  }

  /** Throws what the next call would reject with, if the process has ended. */
  throwIfEnded(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Kills the process and waits until it is gone. */
  async end(): Promise<void> {
    this.#kill(new Error(`the runner of ${this.file} is closed`));
    await this.#ended;
  }

  #kill(reason: unknown): void {
    this.#reason ??= reason;
    this.#child.kill('SIGKILL');
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    // After a kill the reason of the kill holds, whichever of the two came first.
    if (waiting === undefined || this.#reason !== undefined) return;
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if ('result' in reply) waiting.resolve(reply.result as never);
    else waiting.reject((LOADING.has(waiting.call) ? cannotLoad : cannotRun)(this.file, this.#title, reply.error));
  }

  #rejectAll(): void {
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(this.#reason);
    }
    this.#waiting.clear();
  }

  #died(ending: string): unknown {
    return runnerDied(this.file, this.#title, ending, lastWords(this.#errorOutput));
  }
}

/**
 * For glibc: keep freed memory instead of returning it to the system. Every run makes its outputs anew, and the page
 * faults of fresh memory can take many times as long as the run itself (measured: 34 ms instead of 2 ms for an output
 * of 8 MB), at random. Together with the collection of garbage after each timed run, outputs reuse the same memory.
 */
const ALLOCATOR_SETTINGS = { MALLOC_MMAP_MAX_: '0', MALLOC_TRIM_THRESHOLD_: String(2 ** 40) };

/** ONNX Runtime 1.30 would keep a database and logs of its use and send them to its makers. */
const NO_TELEMETRY = { ORT_DISABLE_TELEMETRY: '1' };

const LOADING: ReadonlySet<CallName> = new Set(['load', 'loadStep']);
const ERROR_OUTPUT_LIMIT = 8192;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

function endingOf(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === 'SIGKILL') return 'was killed (SIGKILL), as the system does when memory runs out; use a smaller input';
  if (signal !== null) return `crashed (${signal})`;
  return `stopped with exit code ${code}`;
}

/** The lines that name the trouble, or else the last ones. */
function lastWords(output: string): string {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const telling = lines.filter((line) => /error|fatal|memory|bad_alloc|assert/i.test(line));
  return (telling.length > 0 ? telling : lines).slice(-3).join(' / ');
}

/**
 * The compiled child lies beside this compiled file. When a test runner executes the TypeScript sources, there is only
 * `child.ts`, which Node 20 cannot run; then the child comes from the build, which the tests' global setup refreshes.
 */
function childScript(): URL {
  const beside = new URL('./child.js', import.meta.url);
  return existsSync(beside) ? beside : new URL('../../dist/runtime/child.js', import.meta.url);
}
