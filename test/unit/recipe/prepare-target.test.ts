import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { makeFolder } from '../../../src/recipe/prepare-target.js';

const root = mkdtempSync(join(tmpdir(), 'prepare-target-'));
afterAll(() => rmSync(root, { recursive: true }));

it('makes a folder and those above it, once', async () => {
  const folder = join(root, 'a/b/c');
  await Promise.all([makeFolder(folder), makeFolder(folder)]);
  expect(statSync(folder).isDirectory()).toBe(true);
});

it('refuses a folder within a file', async () => {
  writeFileSync(join(root, 'file'), '');
  await expect(makeFolder(join(root, 'file/folder'))).rejects.toThrow(/cannot write .*file/);
});

it.runIf(existsSync('/proc/self'))('ends where the file system denies the folder above', async () => {
  await expect(makeFolder('/proc/results/distill')).rejects.toThrow(/cannot write \/proc\/results/);
});
