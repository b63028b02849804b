import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { configSchema, OPTIONS } from '../../src/options.js';

const file = (name: string) => fileURLToPath(new URL(`../../docs/schema/${name}`, import.meta.url));
const read = (name: string) => JSON.parse(readFileSync(file(name), 'utf8'));

test('the published schema of the configuration is the table of options (UPDATE_SCHEMAS=1 writes it)', () => {
  if (process.env.UPDATE_SCHEMAS)
    writeFileSync(file('config.schema.json'), `${JSON.stringify(configSchema(), null, 2)}\n`);
  expect(read('config.schema.json')).toEqual(JSON.parse(JSON.stringify(configSchema())));
});

test('the schema of the configuration accepts what the table allows, and no more', () => {
  const accepts = new Ajv2020().compile(configSchema());
  expect(accepts({ thin: 0.125, separable: 'auto', rank: 'auto', preprocess: { resize: [256, 256] } })).toBe(true);
  for (const wrong of [{ thin: 0 }, { thin: 2 }, { rank: 0 }, { separable: 'both' }, { unknown: 1 }])
    expect([wrong, accepts(wrong)]).toEqual([wrong, false]);
});

test('the schema of the report compiles', () => {
  expect(() => new Ajv2020().compile(read('report.schema.json'))).not.toThrow();
});

test('README.md names every option', () => {
  const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8');
  const missing = Object.values(OPTIONS).flatMap((option) => {
    const flag = 'flags' in option ? /--[a-z0-9-]+/.exec(option.flags)?.[0] : undefined;
    return flag && !readme.includes(flag) ? [flag] : [];
  });
  expect(missing).toEqual([]);
});
