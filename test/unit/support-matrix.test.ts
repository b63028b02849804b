import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { supportMatrix } from '../support/support-matrix.js';

const page = fileURLToPath(new URL('../../docs/operators.md', import.meta.url));

test('the page of operators is what the tables say (UPDATE_OPERATORS=1 writes it)', () => {
  if (process.env.UPDATE_OPERATORS) writeFileSync(page, supportMatrix());
  expect(readFileSync(page, 'utf8')).toBe(supportMatrix());
});

test('the page names what one format has and another lacks', () => {
  const row = supportMatrix()
    .split('\n')
    .find((line) => line.startsWith('| `ConvTranspose`'));
  expect(row).toBe(
    '| `ConvTranspose` | yes | yes | yes: at most 3 spatial axes; weights must be constants | yes, but not in 3-D: at most 3 spatial axes; weights must be constants |',
  );
});
