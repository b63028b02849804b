import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tfjsModel } from '../../src/exporters/tfjs/model.js';
import { writeTfjs } from '../../src/formats/tfjs/write.js';
import type { RunnerInfo, Tensors } from '../../src/runtime/runner.js';
import { openRunner } from '../../src/runtime/spawn.js';
import { misses, type ProgramCases } from './program-cases.js';

/** What TensorFlow.js makes of the inputs of cases that are written to files. */
export async function runTfjs(cases: ProgramCases): Promise<{ info: RunnerInfo; results: Tensors }> {
  const folder = await mkdtemp(join(tmpdir(), 'run-tfjs-'));
  try {
    const [file] = await writeTfjs(join(folder, 'model'), tfjsModel(cases.program, '1.2.3'));
    const runner = await openRunner(file, { runtime: 'tfjs', threads: 1 });
    try {
      return { info: runner.info, results: await runner.run(cases.given) };
    } finally {
      await runner.close();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The expectations that TensorFlow.js misses. */
export async function missesOf(cases: ProgramCases): Promise<string[]> {
  return misses(cases.expectations, (await runTfjs(cases)).results);
}
