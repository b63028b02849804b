import { badDataset } from '../errors.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import type { Teaching } from '../passes/pass.js';
import type { Engine } from '../training/engine.js';
import { allOf, type Splits } from '../validate/open-data.js';
import { readingOf } from './reading.js';
import { trainingMaterial } from './training-material.js';

export interface OpenTeaching extends Teaching {
  /** Removes what only an interrupted run would need; call once the result is written. */
  finish(): Promise<void>;
}

/** What `distill` needs, where it is asked for. */
export async function openTeaching(
  teacher: Graph,
  splits: Splits,
  options: FullOptions,
  engine: Engine,
): Promise<OpenTeaching | undefined> {
  const { train, validation } = splits;
  if (!options.distill || !train) return undefined;
  if (!validation) throw badDataset(train.folder, 'leaves no validation images; give more images, or --val-data');
  const reading = await readingOf(teacher, options, allOf(splits));
  if (!reading) return undefined;
  const { interpretation } = reading;
  const material = await trainingMaterial({ engine, teacher, train, validation, interpretation, options });
  return { teacher, material, finish: () => material.removeCheckpoint() };
}
