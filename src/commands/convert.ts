import { join } from 'node:path';
import { load } from '../importers/index.js';
import { type Options, withDefaults } from '../options.js';
import { halfWeights } from '../passes/half-weights.js';
import { runPasses, step } from '../passes/run.js';
import { artifactPath, formatsOf, planArtifacts, publishArtifacts, writeArtifacts } from '../recipe/artifacts.js';
import { withDraft } from '../recipe/draft.js';
import { prepareTarget } from '../recipe/prepare-target.js';
import { openTerminal } from './terminal.js';

/** Writes a model again without any pass, so that what the importer and exporters do can be seen alone. */
export async function runConvert(file: string, given: Options): Promise<number> {
  const options = withDefaults(given);
  const terminal = openTerminal(options);
  const targets = formatsOf(options.format).map((format) => ({ format, path: artifactPath(format, file) }));
  for (const { path } of targets) await prepareTarget(file, join(options.out, path));
  const { graph } = await runPasses(load(file), options.fp16 ? [step(halfWeights, {})] : [], { seed: options.seed });
  const artifacts = planArtifacts(targets, graph, options);
  await withDraft(options.out, async ({ folder, publish }) => {
    await publishArtifacts(await writeArtifacts(artifacts, folder), [], publish);
  });
  const files = artifacts.map(({ target }) => target);
  if (options.json) process.stdout.write(`${JSON.stringify({ files })}\n`);
  for (const target of files) terminal.result(target);
  return 0;
}
