import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { compressFile } from '../../src/compress.js';
import { encodePng } from '../../src/formats/images.js';
import { load } from '../../src/importers/index.js';

const MODEL = fileURLToPath(new URL('../../fixtures/sample/model.onnx', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'compress-file-'));
afterAll(() => rmSync(root, { recursive: true }));

let out = root;
beforeEach(() => {
  out = mkdtempSync(join(root, 'case-'));
});

const bytesOf = (folder: string) =>
  readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);

it('counts the files that weights lie in, of the original as of the artefact', async () => {
  const [split, again] = [join(out, 'split'), join(out, 'again')];
  const options = { validate: false, externalData: true, thin: 0.5 };
  const first = await compressFile(MODEL, { ...options, out: split });
  expect(readdirSync(split).sort()).toEqual(['model.onnx', 'model.onnx.data', 'report.json']);
  rmSync(join(split, 'report.json'));
  expect(first.artifacts[0].sizeBytes).toBe(bytesOf(split));
  expect(first.original.sizeBytes).toBe(statSync(MODEL).size);

  const second = await compressFile(join(split, 'model.onnx'), { ...options, thin: undefined, out: again });
  expect(second.original.sizeBytes).toBe(bytesOf(split));
  expect(second.original.gzipBytes).toBe(first.artifacts[0].gzipBytes);
  expect(load(join(again, 'model.onnx')).constants.size).toBeGreaterThan(0);
});

it('reports the final names, also where the files were judged before they had them', async () => {
  const report = await compressFile(MODEL, { validate: false, thin: 0.5, out });
  expect(report.artifacts[0].file).toBe(join(out, 'model.onnx'));
  expect(readdirSync(out).sort()).toEqual(['model.onnx', 'report.json']);
  expect(readFileSync(join(out, 'report.json'), 'utf8')).not.toContain('unfinished');
});

it('leaves the results of an earlier run together when judging fails', async () => {
  await compressFile(MODEL, { validate: false, thin: 0.5, out });
  const before = readdirSync(out).map((name) => [name, readFileSync(join(out, name), 'base64')]);
  const testData = mkdtempSync(join(root, 'images-'));
  const image = { width: 128, height: 128, channels: 1, depth: 8, data: new Uint8Array(128 * 128) } as const;
  const png = await encodePng(image);
  writeFileSync(join(testData, '1.png'), png);
  writeFileSync(join(testData, '2.png'), png.subarray(0, png.length / 2));
  const failing = compressFile(MODEL, { testData, latency: 'none', thin: 0.25, out });
  await expect(failing).rejects.toThrow(/2\.png/);
  expect(readdirSync(out).map((name) => [name, readFileSync(join(out, name), 'base64')])).toEqual(before);
});
