import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bindShapes } from '../../src/analysis/cost.js';
import { compress } from '../../src/compress.js';
import { CompressError } from '../../src/errors.js';
import { exportOnnx } from '../../src/exporters/onnx/index.js';
import { exportTfjs } from '../../src/exporters/tfjs/index.js';
import { exportTflite } from '../../src/exporters/tflite/index.js';
import { load } from '../../src/importers/index.js';
import { prepareChromium, removeFolder } from '../../src/runtime/chromium-start.js';
import type { Runner, RuntimeName, TensorData } from '../../src/runtime/runner.js';
import { openRunner } from '../../src/runtime/spawn.js';
import { fitPreprocess, loadInput } from '../../src/validate/preprocess.js';
import { addGraph, tfliteFile } from '../support/tiny-tflite.js';

const sample = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));

const missing = await prepareChromium('onnxruntime').then(
  async (start) => {
    await removeFolder(start);
    return null;
  },
  (error: Error) => error.message,
);
if (missing !== null) console.warn(`The tests in a browser are skipped: ${missing}.`);

// All that the browsers write goes here, and the name marks their processes.
const folder = mkdtempSync(join(tmpdir(), 'browser-test-'));
const temporary = mkdtempSync(join(folder, 'temporary-'));
const { TMPDIR } = process.env;
process.env.TMPDIR = temporary;
afterAll(() => {
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = TMPDIR;
  rmSync(folder, { recursive: true });
});

const RUNTIMES: RuntimeName[] = ['onnxruntime', 'litert', 'tfjs'];
const START_MS = 120_000;
const artefacts = {} as Record<RuntimeName, string>;
let image: Float32Array;

beforeAll(async () => {
  if (missing !== null) return;
  const { graph } = await compress(bindShapes(load(join(sample, 'model.onnx'))), { thin: 0.5, data: fewImages() });
  [artefacts.onnxruntime] = await exportOnnx(graph, join(folder, 'model.onnx'));
  [artefacts.litert] = await exportTflite(graph, join(folder, 'model.tflite'), { layout: 'nhwc' });
  [artefacts.tfjs] = await exportTfjs(graph, join(folder, 'tfjs'), { layout: 'nhwc', version: '0' });
  const imageFile = join(sample, 'test/images/000.png');
  const shape = [1, 1, 128, 128];
  const taken = { name: '000', imageFile, maskFile: null, group: '', spacing: null };
  image = (await loadInput(taken, fitPreprocess({}, shape), shape)).data;
}, START_MS);

/** Enough to fit what thinning leaves so that there is something in the masks. */
function fewImages(): string {
  const few = join(folder, 'few');
  for (let index = 0; index < 8; index++) {
    const name = join('images', `${String(index).padStart(3, '0')}.png`);
    cpSync(join(sample, 'train', name), join(few, name));
  }
  return few;
}

const inChromium = (runtime: RuntimeName, file = artefacts[runtime]) =>
  openRunner(file, { runtime, place: 'chromium', threads: 1 });

async function inNode<T>(runtime: RuntimeName, use: (runner: Runner) => Promise<T>): Promise<T> {
  const runner = await openRunner(artefacts[runtime], { runtime, threads: 1 });
  try {
    return await use(runner);
  } finally {
    await runner.close();
  }
}

/** The image, of one channel, as an input of a model in either layout. */
function imageFor({ info }: Runner): Record<string, TensorData> {
  const [{ name, shape }] = info.inputs;
  return { [name]: { type: 'float32', dims: shape as number[], data: image } };
}

async function logitsOf(runner: Runner): Promise<Float32Array> {
  const results = await runner.run(imageFor(runner));
  return results[runner.info.outputs[0].name].data as Float32Array;
}

/** The processes that were told of a folder; none where the system has no /proc. */
function processes(mark: string): string[] {
  const ids = process.platform === 'linux' ? readdirSync('/proc').filter((name) => /^\d+$/.test(name)) : [];
  return ids.filter((id) => {
    try {
      return readFileSync(`/proc/${id}/environ`, 'utf8').includes(mark);
    } catch {
      return false;
    }
  });
}

async function expectEnded(mark: string): Promise<void> {
  // The system removes the last processes of a browser when the first has ended.
  const end = performance.now() + 10_000;
  while (processes(mark).length > 0 && performance.now() < end) await sleep(20);
  expect(processes(mark)).toEqual([]);
}

async function failure(promise: Promise<unknown>): Promise<CompressError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CompressError);
  return error as CompressError;
}

it('refuses a missing file before anything starts', async () => {
  const { code, message } = await failure(inChromium('litert', join(folder, 'missing.tflite')));
  expect([code, message]).toEqual(['cannot-read', expect.stringContaining('missing.tflite')]);
});

it('says what to install where Chromium is not to be found', async () => {
  const { CHROME_PATH, PATH } = process.env;
  const file = join(folder, 'any.tflite');
  writeFileSync(file, '');
  try {
    process.env.CHROME_PATH = join(folder, 'no-such-browser');
    const named = await failure(inChromium('litert', file));
    expect(named.code).toBe('not-installed');
    expect(named.message).toMatch(/no-such-browser, which CHROME_PATH names/);
    process.env.CHROME_PATH = '';
    process.env.PATH = folder;
    expect((await failure(inChromium('litert', file))).message).toMatch(
      /Chromium is needed .* apt-get install chromium/,
    );
  } finally {
    process.env.PATH = PATH;
    if (CHROME_PATH === undefined) delete process.env.CHROME_PATH;
    else process.env.CHROME_PATH = CHROME_PATH;
  }
});

describe.skipIf(missing !== null)(`artefacts in Chromium${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  const runners = {} as Record<RuntimeName, Runner>;
  let expected: Float32Array;

  beforeAll(async () => {
    await Promise.all(
      RUNTIMES.map(async (runtime) => {
        runners[runtime] = await inChromium(runtime);
      }),
    );
    expected = await inNode('onnxruntime', logitsOf);
  }, START_MS);

  it.each(RUNTIMES)('%s gives the mask that ONNX Runtime gives in Node', async (runtime) => {
    const logits = await logitsOf(runners[runtime]);
    const inside = expected.filter((value) => value > 0).length;
    expect(inside).toBeGreaterThan(1000);
    expect(inside).toBeLessThan(expected.length / 2);
    expect(logits.length).toBe(expected.length);
    expect(logits.filter((value, index) => value > 0 !== expected[index] > 0)).toHaveLength(0);
    const range = Math.max(...expected) - Math.min(...expected);
    const difference = Math.max(...logits.map((value, index) => Math.abs(value - expected[index])));
    expect(difference / range).toBeLessThan(1e-4);
  });

  it.each(RUNTIMES)('%s tells the same interface as in Node', async (runtime) => {
    expect(runners[runtime].info).toEqual(await inNode(runtime, async ({ info }) => info));
  });

  it.each(RUNTIMES)('%s is timed in the page, and only there', async (runtime) => {
    const runner = runners[runtime];
    const inputs = imageFor(runner);
    expect(await runner.time(inputs, { runs: 3 })).toHaveLength(3);
    const start = performance.now();
    const times = await runner.time(inputs, { milliseconds: 1000 });
    const elapsed = performance.now() - start;
    const total = times.reduce((sum, time) => sum + time, 0);
    expect(times.length).toBeGreaterThan(1);
    expect(total).toBeLessThan(elapsed);
    expect(total - times.at(-1)!).toBeLessThan(1000);
    // Some 30 million multiplications.
    expect(Math.min(...times)).toBeGreaterThan(0.5);
    // The clock of a page that is not isolated goes by 0.1 ms.
    expect(times.some((time) => Math.abs(time * 10 - Math.round(time * 10)) > 0.01)).toBe(true);
    expect((await failure(runner.profile(inputs, 1))).message).toMatch(/in a browser a model cannot be profiled/);
    expect((await failure(runner.memory())).message).toMatch(/in a browser a model cannot be measured/);
  });

  it('leaves nothing behind when it is closed', async () => {
    const folders = readdirSync(temporary);
    expect(folders).toHaveLength(3);
    if (process.platform === 'linux') for (const each of folders) expect(processes(each).length).toBeGreaterThan(2);
    await Promise.all([runners.onnxruntime.close(), runners.litert.close()]);
    await expect(logitsOf(runners.litert)).rejects.toThrow(/is closed/);
    const left = readdirSync(temporary);
    expect(left).toHaveLength(1);
    for (const each of folders) if (!left.includes(each)) await expectEnded(each);
  });

  it('leaves nothing behind when its process is killed during a run', async () => {
    const runner = runners.tfjs;
    const timing = failure(runner.time(imageFor(runner), { milliseconds: 60_000 }));
    await sleep(200);
    process.kill(runner.processId, 'SIGKILL');
    expect((await timing).code).toBe('runner-died');
    await runner.close();
    await expectEnded(temporary);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('refuses in one sentence what is no model, and leaves nothing behind', async () => {
    const unprepared = tfliteFile(addGraph([2, 3], [2, 4]));
    const cases: [RuntimeName, string, string | Uint8Array, RegExp][] = [
      [
        'litert',
        'garbage.tflite',
        'no model',
        /^LiteRT in Chromium cannot load .*garbage.tflite: Failed to load model/,
      ],
      // LiteRT itself says so in its log alone, and would return zeros.
      ['litert', 'unprepared.tflite', unprepared, /^LiteRT in Chromium .*unprepared.tflite: .*prepare/],
      ['onnxruntime', 'garbage.onnx', 'no model', /^ONNX Runtime in Chromium .*garbage.onnx: .*protobuf/],
      ['tfjs', 'garbage.json', 'no model', /^TensorFlow.js in Chromium .*garbage.json: .*JSON/],
      ['tfjs', 'no-nodes.json', '{"modelTopology":{}}', /no-nodes.json: it has no nodes/],
    ];
    const refuse = async ([runtime, name, content, message]: (typeof cases)[number]) => {
      const file = join(folder, name);
      writeFileSync(file, content);
      const error = await failure(inChromium(runtime, file));
      expect(error.code).toBe('cannot-load');
      expect(error.message).toMatch(message);
      expect(error.message).not.toMatch(/\n|\bat .*:\d+/);
    };
    await Promise.all(cases.map(refuse));
    await expectEnded(temporary);
    expect(readdirSync(temporary)).toEqual([]);
  });
});
