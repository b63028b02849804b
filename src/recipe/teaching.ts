import { badDataset } from '../errors.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import type { Teaching } from '../passes/pass.js';
import type { Engine } from '../training/engine.js';
import type { Splits } from '../validate/open-data.js';
import { readingOf } from './reading.js';
import { trainingMaterial } from './training-material.js';

export interface OpenTeaching extends Teaching {
  /** Removes what only an interrupted run would need; call once the result is written. */
  finish(): Promise<void>;
}

/** What `distill` needs, where it is asked for. */
export async function openTeaching(
  teacher: Graph,
  { train, validation }: Splits,
  options: FullOptions,
  engine: Engine,
): Promise<OpenTeaching | undefined> {
  if (!options.distill || !train) return undefined;
  if (!validation) throw badDataset(train.folder, 'leaves no validation images; give more images, or --val-data');
  const reading = await readingOf(teacher, options, train);
  if (!reading) return undefined;
  const { interpretation } = reading;
  const material = await trainingMaterial({ engine, teacher, train, validation, interpretation, options });
  return { teacher, material, finish: () => material.removeCheckpoint() };
}
