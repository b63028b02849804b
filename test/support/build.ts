import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';

const root = fileURLToPath(new URL('../../', import.meta.url));
const state = `${root}.cache/test-build.tsbuildinfo`;
const child = `${root}dist/runtime/child.js`;

/**
 * Global setup of the tests: brings dist/ up to date, because the child processes that tests start run compiled files.
 * Only changed files are written, so that test runs side by side do not disturb each other.
 */
export default async function setup(project: TestProject): Promise<void> {
  await build();
  project.onTestsRerun(build);
}

async function build(): Promise<void> {
  // The compiler trusts its record of what it wrote; without the output the record is wrong.
  if (!existsSync(child)) await rm(state, { force: true });
  const compiler = `${root}node_modules/typescript/bin/tsc`;
  const settings = ['-p', 'tsconfig.build.json', '--incremental', '--tsBuildInfoFile', state];
  try {
    await promisify(execFile)(process.execPath, [compiler, ...settings], { cwd: root });
  } catch (error) {
    // A type error does not stop the compiler from writing JavaScript; `npm run types` is where it fails the check.
    if (!existsSync(child)) throw error;
  }
}
