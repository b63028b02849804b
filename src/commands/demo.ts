import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Options } from '../options.js';
import { runCompress } from './compress.js';

/** The embedded sample: a small trained U-Net and images of simulated fetal-head ultrasound. */
const SAMPLE = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));

/** Few enough that the demo ends within two minutes, and enough for equivalence. */
const STEPS = 600;

/**
 * Runs the main job on the sample, as a user would on a model of their own, without data; then a milder one that learns
 * from the original, as it must to hold its accuracy.
 */
export async function runDemo(options: Options): Promise<number> {
  const model = join(SAMPLE, 'model.onnx');
  const out = options.out ?? 'demo-output';
  const say = (text: string) => process.stdout.write(`${text}\n`);
  say('unet-compress --thin 0.125 --separable --test-data test model.onnx');
  // One thread: what a phone's core has to do, and half the time to measure.
  const shared = { ...options, threads: 1, testData: join(SAMPLE, 'test') };
  await runCompress(model, { ...shared, out: join(out, 'main'), thin: 0.125, separable: 'depthwise' });
  say(`\nunet-compress --thin 0.25 --distill --distill-steps ${STEPS} --data distill --test-data test model.onnx`);
  const learning = { distill: true, distillSteps: STEPS, data: join(SAMPLE, 'distill') };
  return runCompress(model, { ...shared, ...learning, out: join(out, 'distilled'), thin: 0.25 });
}
