#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { addOptions, readOptions } from './commands/arguments.js';
import { CompressError, messageOf } from './errors.js';
import type { CommandName, Options } from './options.js';
import { VERSION } from './version.js';

/** Exit codes: 0 done, 1 wrong use or bad input, 2 a stated limit is not met, 3 our own bug, 130 interrupted. */
async function main(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command('unet-compress')
    .description('Makes a trained U-Net small and fast, and proves what that cost.')
    .version(VERSION)
    .exitOverride();
  const command = (
    name: CommandName,
    usage: string,
    description: string,
    run: (files: string[], options: Options) => Promise<number>,
  ) =>
    addOptions(
      program
        .command(usage, { isDefault: name === 'compress' })
        .description(description)
        .exitOverride(),
      name,
    ).action(async (...args: unknown[]) => {
      const files = args
        .slice(0, -2)
        .flat()
        .filter((file): file is string => typeof file === 'string');
      exitCode = await run(files, readOptions(args.at(-2) as Record<string, unknown>, name));
    });
  // Each command's module, and what it needs, is loaded only when that command runs: --help must be quick.
  command('compress', 'compress <model>', 'compress a model (the default command)', async ([file], options) =>
    (await import('./commands/compress.js')).runCompress(file, options),
  );
  command(
    'inspect',
    'inspect <model>',
    'show layers, shapes, costs, channel classes and kernel ranks',
    async ([file], options) => (await import('./commands/inspect.js')).runInspect(file, options),
  );
  command('convert', 'convert <model>', 'write a model again, without any pass', async ([file], options) =>
    (await import('./commands/convert.js')).runConvert(file, options),
  );
  command('validate', 'validate <original> <compressed>', 'compare two models on images', async ([a, b], options) =>
    (await import('./commands/validate.js')).runValidate(a, b, options),
  );
  command('bench', 'bench <models...>', 'time models against the first of them', async (files, options) =>
    (await import('./commands/bench.js')).runBench(files, options),
  );
  command('demo', 'demo', 'run the main job on the embedded sample', async (_, options) =>
    (await import('./commands/demo.js')).runDemo(options),
  );
  await program.parseAsync(argv as string[]);
  return exitCode;
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
  if (error instanceof CompressError) {
    process.stderr.write(`error: ${error.message}${error.hint ? `; ${error.hint}` : ''}\n`);
    return error.code === 'interrupted' ? 130 : 1;
  }
  process.stderr.write(
    `internal error: ${messageOf(error)}\nThis is a bug in unet-compress ${VERSION}; please report it with the command and the model.\n${error instanceof Error ? error.stack : ''}\n`,
  );
  return 3;
}

// The reader of our output may go (`| head`): then there is nobody left to tell.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
});

main(process.argv).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.exitCode = exitCodeOf(error);
  },
);
