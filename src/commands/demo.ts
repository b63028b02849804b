import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CompressError } from '../errors.js';
import { type Options, withDefaults } from '../options.js';
import { measureLatency } from '../validate/latency.js';
import { benchTable, modelOf } from './bench.js';
import { runCompress } from './compress.js';
import { interruptSignal } from './terminal.js';

/** The embedded sample: a small trained U-Net and images of simulated fetal-head ultrasound. */
const SAMPLE = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));

/** Few enough that the demo ends within two minutes, and enough for equivalence. */
const STEPS = 600;

/**
 * Runs the main job on the sample in all formats, as a user would on a model of their own, without data; times what came
 * out in a browser; then a milder job that learns from the original, as it must to hold its accuracy.
 */
export async function runDemo(options: Options): Promise<number> {
  const model = join(SAMPLE, 'model.onnx');
  const out = options.out ?? 'demo-output';
  const say = (text: string) => process.stdout.write(`${text}\n`);
  say('unet-compress --thin 0.125 --separable --format onnx,tflite,tfjs --test-data test model.onnx');
  // One thread: what a phone's core has to do, and half the time to measure.
  const shared = { ...options, threads: 1, testData: join(SAMPLE, 'test') };
  const main = { ...shared, out: join(out, 'main'), format: ['onnx', 'tflite', 'tfjs'] };
  await runCompress(model, { ...main, thin: 0.125, separable: 'depthwise' });
  const artifacts = ['model.onnx', 'model.tflite', 'model-tfjs/model.json'];
  say('\nunet-compress bench --browser --threads 1 model.onnx model.tflite model-tfjs/model.json');
  say(
    await timeInBrowser(
      artifacts.map((name) => join(main.out, name)),
      options,
    ),
  );
  say(`\nunet-compress --thin 0.25 --distill --distill-steps ${STEPS} --data distill --test-data test model.onnx`);
  const learning = { distill: true, distillSteps: STEPS, data: join(SAMPLE, 'distill') };
  return runCompress(model, { ...shared, ...learning, out: join(out, 'distilled'), thin: 0.25 });
}

/** The table of `bench --browser`, or what is missing for it. */
async function timeInBrowser(files: readonly string[], options: Options): Promise<string> {
  const models = files.map((file) => modelOf(file, undefined));
  const everywhere = [...models, ...models.map((model) => ({ ...model, place: 'chromium' as const }))];
  const { seed } = withDefaults(options);
  try {
    return benchTable(
      await measureLatency(everywhere, { threads: [1], mode: 'quick', seed, signal: interruptSignal() }),
    );
  } catch (error) {
    if (!(error instanceof CompressError)) throw error;
    return `Not timed in a browser: ${error.message}`;
  }
}
