import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';
import type { LiteRt } from '@litertjs/core';

/** What the WebAssembly module of LiteRT.js offers to its JavaScript classes. */
export type Bindings = LiteRt['liteRtWasm'];
export type Environment = ReturnType<Bindings['LiteRtEnvironment']['create']>;
type ModuleFactory = (settings: { print(line: string): void; printErr(line: string): void }) => Promise<Bindings>;

/**
 * LiteRT in this process. The WebAssembly module is used directly: the classes of the package around it want a browser's
 * page to load it, and pass tensors of three element types only, so that a network of 8-bit integers could not be fed.
 *
 * It is the build for one thread. The other one starts its threads from a script that Node takes for an ES module, which
 * it is not; and it sizes its pool by the machine, whatever number is asked for.
 */
export class LiteRtModule {
  private constructor(
    readonly bindings: Bindings,
    readonly environment: Environment,
    private readonly reported: string[],
  ) {}

  private static started: Promise<LiteRtModule> | undefined;

  /** The one of this process: starting it takes longer than compiling most models. */
  static start(): Promise<LiteRtModule> {
    LiteRtModule.started ??= LiteRtModule.load();
    return LiteRtModule.started;
  }

  private static async load(): Promise<LiteRtModule> {
    allowRelaxedSimd();
    const reported: string[] = [];
    const bindings = await moduleFactory()({
      print: () => {},
      // Everything else is talk about what was registered, created and chosen.
      printErr: (line) => {
        if (ERROR.test(line)) reported.push(line.replace(ERROR, '').replace(/[.\s]+$/, ''));
      },
    });
    bindings.setupLogging();
    return new LiteRtModule(bindings, bindings.LiteRtEnvironment.create(null), reported);
  }

  /**
   * Calls into the module. Most failures there are silent: the call returns, results are zeros, and a line in the log is
   * the only sign. Where it throws, the log says more, too.
   *
   * @param discard frees what the call returned, if it failed silently
   * @throws Error with what the log says, if there is an error in it
   */
  async call<T>(into: () => T | Promise<T>, discard: (result: T) => void): Promise<T> {
    this.reported.length = 0;
    try {
      const result = await into();
      if (this.reported.length === 0) return result;
      discard(result);
    } catch (error) {
      if (this.reported.length === 0 || isTrap(error)) throw error;
    }
    throw new Error(this.reported.slice(0, MOST_REPORTED).join('; '));
  }
}

/** After a trap nothing more can be asked of the module. */
export function isTrap(error: unknown): boolean {
  return error instanceof Error && error.name === 'RuntimeError';
}

/** The start of a line in the log that reports an error, with the place in LiteRT's source if it is told. */
const ERROR = /^ERROR:\s*(\[\S+:\d+\]\s*)?/;
const MOST_REPORTED = 3;

/** V8 11.3 of Node 20 knows the relaxed SIMD instructions of this build, and wants to be told to accept them. */
function allowRelaxedSimd(): void {
  if (Number.parseInt(process.versions.node, 10) < 21) setFlagsFromString('--experimental-wasm-relaxed-simd');
}

/** The package's loader script is neither an ES module nor, to Node, anything else: it is run as a CommonJS module. */
function moduleFactory(): ModuleFactory {
  const folder = join(dirname(createRequire(import.meta.url).resolve('@litertjs/core/package.json')), 'wasm');
  const filename = join(folder, 'litert_wasm_internal.js');
  const source = `(require, __dirname, __filename) => {${readFileSync(filename, 'utf8')}\n;return ModuleFactory;}`;
  const script = runInThisContext(source, { filename }) as (...names: unknown[]) => ModuleFactory;
  return script(createRequire(filename), folder, filename);
}
