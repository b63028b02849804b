import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compressFile } from '../../src/compress.js';
import { readImage } from '../../src/formats/images.js';
import { openRunner } from '../../src/runtime/spawn.js';

const SNIPPET = fileURLToPath(new URL('../../docs/deploy/web/', import.meta.url));
const SAMPLE = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));
const MODULES = fileURLToPath(new URL('../../node_modules/', import.meta.url));
const CHROMIUM = [process.env.CHROME_PATH ?? '', '/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

const images = join(SAMPLE, 'test/images');
const image = join(images, readdirSync(images).sort()[0]);

/** The page's own files, the artefacts, and the packages that it asks a CDN for. */
async function serve(page: Page, artefacts: string): Promise<void> {
  const answer = (path: string) => ({
    status: existsSync(path) ? 200 : 404,
    contentType: TYPES[extname(path)] ?? 'application/octet-stream',
    headers: { 'Access-Control-Allow-Origin': '*' },
    body: existsSync(path) ? readFileSync(path) : '',
  });
  await page.route('http://page.test/**', (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    const own = join(SNIPPET, name);
    return route.fulfill(answer(name === 'image.png' ? image : existsSync(own) ? own : join(artefacts, name)));
  });
  await page.route('https://cdn.jsdelivr.net/npm/**', (route) => {
    const [, packageName, version, path] =
      /\/npm\/((?:@[^/]+\/)?[^/@]+)@([^/]+)\/(.*)$/.exec(new URL(route.request().url()).pathname) ?? [];
    const installed = createRequire(import.meta.url)(join(MODULES, packageName, 'package.json')).version;
    expect([packageName, version]).toEqual([packageName, installed]);
    return route.fulfill(answer(join(MODULES, packageName, path)));
  });
}

describe.skipIf(CHROMIUM === undefined)('the page of docs/deploy/web.md (needs Chromium)', () => {
  let browser: Browser;
  let folder: string;
  let wanted: number[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'web-snippet-'));
    await compressFile(join(SAMPLE, 'model.onnx'), {
      bake: ['pre', 'post'],
      format: ['onnx', 'tflite', 'tfjs'],
      validate: false,
      out: folder,
    });
    const runner = await openRunner(join(folder, 'model.onnx'), { runtime: 'onnxruntime', threads: 1 });
    const { data, height, width } = await readImage(image);
    const pixels = { type: 'uint8' as const, dims: [1, 1, height, width], data: Uint8Array.from(data) };
    const { logits } = await runner.run({ image: pixels });
    wanted = Array.from(logits.data as Uint8Array);
    await runner.close();
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--disable-gpu', '--disable-dev-shm-usage'] });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  it.each(['model.tflite', 'model-tfjs/model.json'])('%s gives the mask that ONNX Runtime gives', async (name) => {
    const page = await browser.newPage();
    const failures: string[] = [];
    page.on('pageerror', (error) => failures.push(String(error)));
    await serve(page, folder);
    await page.goto('http://page.test/index.html');
    // As text, since the compiler does not know a page's own names.
    const classes = await page.evaluate(`(async () => {
      const { drawMask, loadModel } = await import('/segment.js');
      const model = await loadModel(${JSON.stringify(name)});
      const image = await createImageBitmap(await (await fetch('/image.png')).blob());
      const mask = await model.segment(image);
      drawMask(document.querySelector('canvas'), image, mask, model);
      return Array.from(mask);
    })()`);
    await page.close();
    expect(failures).toEqual([]);
    expect(wanted.filter((one) => one === 1).length).toBeGreaterThan(100);
    expect(classes).toEqual(wanted);
  });
});
