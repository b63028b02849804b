import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compressFile } from '../../src/compress.js';
import { exportOnnx } from '../../src/exporters/onnx/index.js';
import { exportTfjs } from '../../src/exporters/tfjs/index.js';
import { exportTflite } from '../../src/exporters/tflite/index.js';
import { encodePng, readImage } from '../../src/formats/images.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { bake } from '../../src/passes/bake.js';
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

const IMAGES = join(SAMPLE, 'test/images');
const GRAY_IMAGE = join(IMAGES, readdirSync(IMAGES).sort()[0]);

/** The page's own files, the artefacts, and the packages that it asks a CDN for. */
async function serve(page: Page, artefacts: string, image: string): Promise<void> {
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

/** A baked model of colour images, wider than high, with four classes. */
function colourNet(): Graph {
  const random = createRandom(4);
  const builder = new GraphBuilder(semantics);
  builder.input('image', { dtype: 'f32', shape: [1, 3, 24, 40] });
  builder.constant(
    'w',
    Tensor.floats(
      Array.from({ length: 4 * 3 }, () => random.normal()),
      [4, 3, 1, 1],
    ),
  );
  builder.add({ op: 'Conv', name: 'scores', inputs: ['image', 'w'], outputs: ['mask'], attributes: {} });
  const input = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  const output = { name: 'mask', kind: 'logit' as const, threshold: null, channel: null };
  return bake(builder.build(['mask']), semantics, { input, output });
}

/** Every pixel another colour. */
async function colourImage(folder: string): Promise<string> {
  const random = createRandom(5);
  const data = Uint8Array.from({ length: 24 * 40 * 3 }, () => random.integer(256));
  const file = join(folder, 'colour.png');
  writeFileSync(file, await encodePng({ width: 40, height: 24, channels: 3, depth: 8, data }));
  return file;
}

/** What ONNX Runtime makes of an image's bytes. */
async function maskOf(model: string, file: string): Promise<number[]> {
  const { data, height, width, channels } = await readImage(file);
  const planes = Uint8Array.from(
    data,
    (_, i) => data[(i % (height * width)) * channels + Math.floor(i / (height * width))],
  );
  const runner = await openRunner(model, { runtime: 'onnxruntime', threads: 1 });
  const image = { type: 'uint8' as const, dims: [1, channels, height, width], data: planes };
  const [mask] = Object.values(await runner.run({ image }));
  await runner.close();
  return Array.from(mask.data as Uint8Array);
}

describe.skipIf(CHROMIUM === undefined)('the page of docs/deploy/web.md (needs Chromium)', () => {
  let browser: Browser;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'web-snippet-'));
    await compressFile(join(SAMPLE, 'model.onnx'), {
      bake: ['pre', 'post'],
      format: ['onnx', 'tflite', 'tfjs'],
      validate: false,
      out: folder,
    });
    const colour = colourNet();
    await exportOnnx(colour, join(folder, 'colour.onnx'));
    await exportTflite(colour, join(folder, 'colour.tflite'), {});
    await exportTfjs(colour, join(folder, 'colour-tfjs'), { version: '0' });
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--disable-gpu', '--disable-dev-shm-usage'] });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  /** Opens the page, uses it, and sees to it that nothing failed in it. */
  async function onPage<T>(image: string, use: (page: Page) => Promise<T>): Promise<T> {
    const page = await browser.newPage();
    const failures: string[] = [];
    page.on('pageerror', (error) => failures.push(String(error)));
    await serve(page, folder, image);
    await page.goto('http://page.test/index.html');
    const result = await use(page);
    await page.close();
    expect(failures).toEqual([]);
    return result;
  }

  it.each([
    ['model.tflite', 'model.onnx', 2],
    ['model-tfjs/model.json', 'model.onnx', 2],
    ['colour.tflite', 'colour.onnx', 4],
    ['colour-tfjs/model.json', 'colour.onnx', 4],
  ])('%s gives the mask that ONNX Runtime gives', async (name, reference, classes) => {
    const image = reference === 'colour.onnx' ? await colourImage(folder) : GRAY_IMAGE;
    const wanted = await maskOf(join(folder, reference), image);
    expect(new Set(wanted).size).toBe(classes);
    // As text, since the compiler does not know a page's own names.
    const mask = await onPage(image, (page) =>
      page.evaluate(`(async () => {
        const { loadModel } = await import('/segment.js');
        const model = await loadModel(${JSON.stringify(name)});
        const image = await createImageBitmap(await (await fetch('/image.png')).blob());
        return Array.from(await model.segment(image));
      })()`),
    );
    expect(mask).toEqual(wanted);
  });

  it('a chosen file is drawn with its mask over it', async () => {
    const wanted = await maskOf(join(folder, 'model.onnx'), GRAY_IMAGE);
    const { data, width, height } = await readImage(GRAY_IMAGE);
    const drawn = await onPage(GRAY_IMAGE, async (page) => {
      await page.setInputFiles('input', GRAY_IMAGE);
      await page.waitForFunction(`document.querySelector('canvas').width === ${width}`);
      return page.evaluate(`(() => {
        const context = document.querySelector('canvas').getContext('2d');
        return Array.from(context.getImageData(0, 0, ${width}, ${height}).data);
      })()`);
    });
    expect(drawn).toEqual(wanted.flatMap((number, i) => [data[i], number > 0 ? 255 : data[i], data[i], 255]));
  });
});
