import { fileURLToPath } from 'node:url';
import type { Options } from '../options.js';
import { runCompress } from './compress.js';

/** The embedded sample: a small trained U-Net and images of simulated fetal-head ultrasound. */
const SAMPLE = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));

/** Runs the main job on the sample, as a user would on a model of their own. */
export function runDemo(options: Options): Promise<number> {
  return runCompress(`${SAMPLE}model.onnx`, {
    ...options,
    out: options.out ?? 'demo-output',
    thin: 0.125,
    separable: 'depthwise',
    data: `${SAMPLE}train`,
    testData: `${SAMPLE}test`,
  });
}
