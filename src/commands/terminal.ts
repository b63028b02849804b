import { constants } from 'node:os';
import cliProgress from 'cli-progress';
import { interrupted } from '../errors.js';

/** Where a command's words go: results on stdout, all else on stderr. */
export interface Terminal {
  /** A result; with --json only the object is one. */
  result(text: string): void;
  /** Something worth knowing that is no result; silent with --quiet. */
  say(text: string): void;
  /** Only with --verbose. */
  detail(text: string): void;
  /** A long step: a bar with rate and time left on a terminal, a line a task elsewhere. */
  readonly onProgress: (task: string, done: number, total: number, detail?: string) => void;
  /** A warning, as soon as it is known. */
  readonly onWarning: (message: string) => void;
  /** Removes the bar; call before the result. */
  finish(): void;
}

export interface TerminalOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

export function openTerminal({ json, quiet, verbose }: TerminalOptions): Terminal {
  const error = (text: string) => process.stderr.write(`${text}\n`);
  const progress = quiet ? silent : process.stderr.isTTY ? barProgress() : lineProgress(error);
  return {
    result: (text) => (json ? error(text) : process.stdout.write(`${text}\n`)),
    say: (text) => quiet || error(text),
    detail: (text) => verbose && error(text),
    onProgress: progress.update,
    onWarning(message) {
      if (quiet) return;
      progress.finish();
      error(`warning: ${message}`);
    },
    finish: progress.finish,
  };
}

interface ProgressView {
  readonly update: Terminal['onProgress'];
  readonly finish: () => void;
}

const silent: ProgressView = { update: () => {}, finish: () => {} };

function barProgress(): ProgressView {
  let bar: cliProgress.SingleBar | undefined;
  let task = '';
  let started = 0;
  const finish = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    finish,
    update(name, done, total, detail = '') {
      if (!bar || name !== task) {
        finish();
        task = name;
        const format = `${name} {bar} {value}/{total} | {rate}/s | {eta_formatted} left {detail}`;
        bar = new cliProgress.SingleBar(
          { format, stream: process.stderr, clearOnComplete: true },
          cliProgress.Presets.shades_grey,
        );
        started = performance.now() - 1;
        bar.start(total, done, { detail, rate: '' });
      }
      // What comes before the first step says nothing of how long a step takes.
      if (done === 0) started = performance.now() - 1;
      bar.update(done, { detail, rate: ((1000 * done) / (performance.now() - started)).toPrecision(2) });
    },
  };
}

/** Time between two lines of one task where nothing can be redrawn. */
const LINE_MS = 30_000;

/** Where nothing can be redrawn: a line when a task starts, and now and then one that says how far it has come. */
function lineProgress(print: (text: string) => void): ProgressView {
  let task = '';
  let started = 0;
  let last = 0;
  return {
    finish: () => {},
    update(name, done, total, detail = '') {
      const now = performance.now();
      // What comes before the first step says nothing of how long a step takes.
      if (done === 0) started = now;
      if (name !== task) {
        task = name;
        started = now;
        last = now;
        print(total === 100 ? `${name} …` : `${name}: ${total} …`);
      } else if (now - last >= LINE_MS) {
        last = now;
        print(
          [`${name}: ${Math.round((100 * done) / total)} %`, timeLeft(now - started, done / total), detail]
            .filter(Boolean)
            .join(', '),
        );
      }
    },
  };
}

/** By the time that the part which is done took; nothing at the very start. */
function timeLeft(elapsed: number, fraction: number): string {
  if (fraction <= 0 || fraction >= 1) return '';
  const seconds = Math.round((elapsed * (1 - fraction)) / fraction / 1000);
  return seconds < 90 ? `${seconds} s left` : `${Math.round(seconds / 60)} min left`;
}

const INTERRUPTIONS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Aborts on the first Ctrl-C or request to end, so that files are left whole and temporary ones removed; the second ends
 * the process at once. Sets the exit code to the shells' for that signal.
 */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (name: NodeJS.Signals) => {
    process.exitCode = 128 + constants.signals[name];
    if (controller.signal.aborted) process.exit();
    controller.abort(interrupted());
  };
  for (const name of INTERRUPTIONS) process.on(name, interrupt);
  return controller.signal;
}
