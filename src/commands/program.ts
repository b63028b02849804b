import { Command, CommanderError } from 'commander';
import type { CommandName, Options } from '../options.js';
import { VERSION } from '../version.js';
import { addOptions, fillBareChoices, readOptions } from './arguments.js';
import { COMMANDS, overview } from './overview.js';

/** What a command does; its exit code comes back. */
type Run = (files: readonly string[], options: Options) => Promise<number>;

/** Each command's module, and what it needs, is loaded only when that command runs. */
const RUNS: Readonly<Record<CommandName, Run>> = {
  compress: async ([file], options) => (await import('./compress.js')).runCompress(file, options),
  inspect: async ([file], options) => (await import('./inspect.js')).runInspect(file, options),
  convert: async ([file], options) => (await import('./convert.js')).runConvert(file, options),
  validate: async ([original, compressed], options) =>
    (await import('./validate.js')).runValidate(original, compressed, options),
  bench: async (files, options) => (await import('./bench.js')).runBench(files, options),
  demo: async (_, options) => (await import('./demo.js')).runDemo(options),
};

/**
 * Parses a command line and runs its command. Wrong use is reported on stderr.
 *
 * @throws CompressError for bad input, and what is a bug of ours
 */
export async function runProgram(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command('unet-compress').version(VERSION).exitOverride();
  program.helpInformation = overview;
  for (const name of Object.keys(COMMANDS) as CommandName[]) {
    const { usage, description } = COMMANDS[name];
    const command = program
      .command(usage, { isDefault: name === 'compress' })
      .description(description)
      .exitOverride();
    addOptions(command, name).action(async (...args: unknown[]) => {
      const files = args
        .slice(0, -2)
        .flat()
        .filter((file): file is string => typeof file === 'string');
      exitCode = await RUNS[name](files, readOptions(args.at(-2) as Record<string, unknown>, name));
    });
  }
  try {
    await program.parseAsync(fillBareChoices(argv));
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    throw error;
  }
  return exitCode;
}
