#!/usr/bin/env node
import { overview } from './commands/overview.js';
import { CompressError, messageOf } from './errors.js';
import { VERSION } from './version.js';

/** Exit codes: 0 done, 1 wrong use or bad input, 2 a stated limit is not met, 3 our own bug, 128 + n interrupted by signal n. */
async function main(argv: readonly string[]): Promise<number> {
  const [first, ...more] = argv.slice(2);
  // Loading the parser of arguments takes longer than all else that the overview needs.
  if (more.length === 0 && ['-h', '--help', 'help'].includes(first)) {
    process.stdout.write(overview());
    return 0;
  }
  return (await import('./commands/program.js')).runProgram(argv);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CompressError) {
    process.stderr.write(`error: ${error.message}${error.hint ? `; ${error.hint}` : ''}\n`);
    // What was interrupted has set the code of its signal.
    return error.code === 'interrupted' ? Number(process.exitCode) : 1;
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
