import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { withDraft } from '../../../src/recipe/draft.js';

const root = mkdtempSync(join(tmpdir(), 'draft-'));
afterAll(() => rmSync(root, { recursive: true }));

let out = root;
beforeEach(() => {
  out = mkdtempSync(join(root, 'case-'));
  writeFileSync(join(out, 'report.json'), 'old');
});

it('puts files into their places when all are there, and is gone', async () => {
  await withDraft(out, async ({ folder, publish }) => {
    writeFileSync(join(folder, 'report.json'), 'new');
    writeFileSync(join(folder, 'left'), '');
    expect(readFileSync(join(out, 'report.json'), 'utf8')).toBe('old');
    await publish([join(folder, 'report.json')]);
  });
  expect(readFileSync(join(out, 'report.json'), 'utf8')).toBe('new');
  expect(readdirSync(out)).toEqual(['report.json']);
});

it('leaves nothing of itself after a failure', async () => {
  const failing = withDraft(out, async ({ folder }) => {
    writeFileSync(join(folder, 'report.json'), 'new');
    throw new Error('no more');
  });
  await expect(failing).rejects.toThrow('no more');
  expect(readdirSync(out)).toEqual(['report.json']);
});

it.skipIf(process.platform === 'win32')('leaves nothing of itself when the process is told to end', async () => {
  const program = `
    import { writeFileSync } from 'node:fs';
    import { withDraft } from ${JSON.stringify(new URL('../../../dist/recipe/draft.js', import.meta.url).href)};
    await withDraft('.', async ({ folder }) => {
      writeFileSync(folder + '/report.json', 'new');
      console.log('written');
      await new Promise((resolve) => setTimeout(resolve, 30_000));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: out });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  expect(readdirSync(out)).toHaveLength(2);
  child.kill('SIGTERM');
  expect(await ended).toEqual([null, 'SIGTERM']);
  expect(readdirSync(out)).toEqual(['report.json']);
});
