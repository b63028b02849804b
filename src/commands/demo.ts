import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Options } from '../options.js';
import { runCompress } from './compress.js';

/** The embedded sample: a small trained U-Net and images of simulated fetal-head ultrasound. */
const SAMPLE = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));

/**
 * Runs the main job on the sample, as a user would on a model of their own; then a milder one, whose accuracy holds
 * without any training.
 */
export async function runDemo(options: Options): Promise<number> {
  const model = join(SAMPLE, 'model.onnx');
  const out = options.out ?? 'demo-output';
  const say = (text: string) => process.stdout.write(`${text}\n`);
  say('unet-compress --thin 0.125 --separable --test-data test model.onnx');
  // One thread: what a phone's core has to do, and half the time to measure.
  const shared = { ...options, threads: 1, testData: join(SAMPLE, 'test') };
  await runCompress(model, { ...shared, out: join(out, 'main'), thin: 0.125, separable: 'depthwise' });
  say('\nunet-compress --thin 0.5 --data train --test-data test model.onnx');
  return runCompress(model, { ...shared, out: join(out, 'mild'), thin: 0.5, data: join(SAMPLE, 'train') });
}
