import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

export const SAMPLE = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));
export const MODEL = join(SAMPLE, 'model.onnx');

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built command as a user would; `signal` (Ctrl-C) comes once what it says on stderr matches `interruptOn`. */
export function runCli(
  args: readonly string[],
  {
    cwd = freshFolder(),
    interruptOn,
    signal = 'SIGINT',
    env,
  }: { cwd?: string; interruptOn?: RegExp; signal?: NodeJS.Signals; env?: Record<string, string> } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, ...args], { cwd, env: { ...process.env, ...env } });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (text) => {
      output.stdout += text;
    });
    child.stderr.on('data', (text) => {
      output.stderr += text;
      if (!interruptOn?.test(output.stderr)) return;
      interruptOn = undefined;
      child.kill(signal);
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...output }));
  });
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder of the test file that asks; gone after its last test. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'unet-compress-test-'));
  folders.push(folder);
  return folder;
}
