import { badDataset } from '../errors.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import type { Teaching } from '../passes/pass.js';
import type { Engine } from '../training/engine.js';
import type { Splits } from '../validate/open-data.js';
import { readingOf } from './reading.js';
import { trainingMaterial } from './training-material.js';

/** What `distill` needs, where it is asked for. */
export async function openTeaching(
  teacher: Graph,
  { train, validation }: Splits,
  options: FullOptions,
  engine: Engine,
): Promise<Teaching | undefined> {
  if (!options.distill || !train) return undefined;
  if (!validation) throw badDataset(train.folder, 'leaves no validation images; give more images, or --val-data');
  const reading = await readingOf(teacher, options, train);
  if (!reading) return undefined;
  const { interpretation } = reading;
  return { teacher, material: await trainingMaterial({ engine, teacher, train, validation, interpretation, options }) };
}
