import { join, parse } from 'node:path';
import { exportOnnx } from '../exporters/onnx/index.js';
import { load } from '../importers/index.js';
import { type Options, withDefaults } from '../options.js';
import { halfWeights } from '../passes/half-weights.js';
import { runPasses, step } from '../passes/run.js';
import { prepareTarget } from '../recipe/prepare-target.js';
import { checkFormats } from './compress.js';
import { openTerminal } from './terminal.js';

/** Writes a model again without any pass, so that what the importer and exporter do can be seen alone. */
export async function runConvert(file: string, given: Options): Promise<number> {
  checkFormats(given.format);
  const options = withDefaults(given);
  const terminal = openTerminal(options);
  const target = join(options.out, `${parse(file).name}.onnx`);
  await prepareTarget(file, target);
  const { graph } = await runPasses(load(file), options.fp16 ? [step(halfWeights, {})] : [], { seed: options.seed });
  await exportOnnx(graph, target, { externalData: options.externalData });
  if (options.json) process.stdout.write(`${JSON.stringify({ file: target })}\n`);
  terminal.result(target);
  return 0;
}
