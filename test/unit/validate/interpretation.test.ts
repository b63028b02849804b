import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodePng } from '../../../src/formats/images.js';
import type { Dataset } from '../../../src/validate/dataset.js';
import { interpret } from '../../../src/validate/interpretation.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'interpretation-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function splitWithMask(name: string, values: readonly number[]): Promise<Dataset> {
  const maskFile = join(folder, `${name}.png`);
  const image = { width: values.length, height: 1, channels: 1, depth: 8, data: Uint8Array.from(values) } as const;
  await writeFile(maskFile, await encodePng(image));
  return {
    folder: name,
    samples: [{ name, imageFile: maskFile, maskFile, group: name, spacing: null }],
    groupsFile: null,
  };
}

const info = {
  inputs: [{ name: 'image', type: 'float32', shape: [1, 1, 8, 8] }],
  outputs: [{ name: 'scores', type: 'float32', shape: [1, 3, 8, 8] }],
};

it('a class that the masks of one split lack keeps its number', async () => {
  const [train, test] = [await splitWithMask('train', [0, 2, 2]), await splitWithMask('test', [0, 1, 2])];
  const { interpretation } = await interpret(info, [train, test], {}, () => 'Conv');
  expect(interpretation.labels).toEqual({ 0: 0, 1: 1, 2: 2 });
});

it('there are no labels without masks', async () => {
  const { interpretation } = await interpret(info, [], {}, () => 'Conv');
  expect(interpretation.labels).toBeNull();
});
