import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SRC = fileURLToPath(new URL('../../src/', import.meta.url));

/**
 * Who may import whom, by folder; data flows one way. Everyone may import errors.ts; the files at the top of
 * src and the recipe may import all but commands.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  ir: [],
  math: [],
  formats: [],
  ops: ['ir'],
  analysis: ['ops', 'ir', 'math'],
  importers: ['formats', 'ops', 'ir'],
  exporters: ['formats', 'ops', 'ir'],
  training: ['analysis', 'ops', 'ir', 'math'],
  passes: ['training', 'analysis', 'ops', 'ir', 'math'],
  runtime: ['formats'],
  validate: ['runtime', 'formats', 'math'],
  report: ['validate', 'runtime', 'passes', 'analysis', 'formats', 'ir'],
};

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? sources(join(folder, entry.name)) : join(folder, entry.name),
  );
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(([, path]) => join(dirname(file), path));
}

/** The folder right below src; '' for the files at the top. */
function folderOf(path: string): string {
  const parts = relative(SRC, path).split(sep);
  return parts.length > 1 ? parts[0] : '';
}

test('imports follow the arrows of docs/architecture.md', () => {
  const wrong = sources(SRC).flatMap((file) => {
    const folder = folderOf(file);
    return importsOf(file)
      .filter((target) => {
        const to = folderOf(target);
        if (to === folder || /errors\.js$/.test(target)) return false;
        if (folder === 'commands' || folder === 'recipe') return to === 'commands' && folder === 'recipe';
        return folder === '' ? to === 'commands' && !file.endsWith('cli.ts') : !MAY_IMPORT[folder]?.includes(to);
      })
      .map((target) => `${relative(SRC, file)} must not import ${relative(SRC, target)}`);
  });
  expect(wrong).toEqual([]);
});
