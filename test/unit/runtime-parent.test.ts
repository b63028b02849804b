import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { writeConvModel, writeLoopModel } from '../support/tiny-onnx.js';

const folder = mkdtempSync(join(tmpdir(), 'runtime-parent-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const spawnModule = new URL('../../dist/runtime/spawn.js', import.meta.url).href;

/** A process that opens a runner for the model, prints the runner's process id, and then does `last`. */
function startParent(model: string, last: string, env: Record<string, string> = {}) {
  const script = `
    const { openRunner } = await import(${JSON.stringify(spawnModule)});
    const runner = await openRunner(${JSON.stringify(model)}, { runtime: 'onnxruntime', threads: 1 });
    console.log(runner.processId);
    ${last}`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ORT_DISABLE_TELEMETRY: undefined, ...env },
  });
  const runnerId = new Promise<number>((resolve) => {
    parent.stdout.setEncoding('utf8').once('data', (text: string) => resolve(Number(text)));
  });
  return { parent, runnerId };
}

async function hasEnded(processId: number): Promise<boolean> {
  for (const start = performance.now(); performance.now() - start < 10_000; await sleep(50)) {
    try {
      process.kill(processId, 0);
    } catch {
      return true;
    }
  }
  return false;
}

const convModel = writeConvModel(join(folder, 'conv.onnx'));
const endlessModel = writeLoopModel(join(folder, 'endless.onnx'), 1e15);
const startEndlessRun = "runner.run({ x: { type: 'float32', dims: [1], data: Float32Array.of(1) } }).catch(() => {});";

it('the runtime leaves no file of its own anywhere', async () => {
  const [temporary, home] = [mkdtempSync(join(folder, 'tmp-')), mkdtempSync(join(folder, 'home-'))];
  const { parent } = startParent(convModel, 'await runner.close();', { TMPDIR: temporary, HOME: home });
  await once(parent, 'close');
  expect([parent.exitCode, readdirSync(temporary), readdirSync(home)]).toEqual([0, [], []]);
});

describe.concurrent('the process of a model ends with its parent', () => {
  it.each([
    ['idle, the parent is killed', convModel, 'process.kill(process.pid, "SIGKILL");'],
    ['idle, the parent exits without closing it', convModel, 'process.exit();'],
    [
      'in a native call, the parent is killed',
      endlessModel,
      `${startEndlessRun} setTimeout(() => process.kill(process.pid, "SIGKILL"), 300);`,
    ],
    ['in a native call, the parent exits', endlessModel, `${startEndlessRun} setTimeout(() => process.exit(), 300);`],
  ])('%s', async (_, model, last) => {
    const { runnerId } = startParent(model, last);
    expect(await hasEnded(await runnerId)).toBe(true);
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'])(
    'and %s, which reaches all of a group, is left to the parent',
    async (signal) => {
      const { parent, runnerId } = startParent(convModel, 'setTimeout(() => {}, 60_000);');
      const id = await runnerId;
      process.kill(id, signal);
      await sleep(300);
      expect(process.kill(id, 0)).toBe(true);
      parent.kill('SIGKILL');
      expect(await hasEnded(id)).toBe(true);
    },
  );
});
