import { Tensor } from '../ir/tensor.js';
import type { TrainingMaterial } from './material.js';
import { NUMBERS } from './step.js';
import type { StudentStep } from './student-step.js';

/** Steps that are timed, after as many that are not: the first ones wait for memory. */
const TIMED_STEPS = 5;

/** Share of the time that looks at the validation images and the end take. */
const OVERHEAD = 0.15;

/** How many steps fit into so many milliseconds, by the time of a few; the state is as before afterwards. */
export async function stepsWithin(milliseconds: number, training: StudentStep, material: TrainingMaterial) {
  const started = material.now();
  const { loaded, start } = training;
  await loaded.setState(new Map(Object.entries(start).map(([name, vector]) => [name, Tensor.floats(vector)])));
  const times: number[] = [];
  for (let step = 0; step < 2 * TIMED_STEPS; step++) {
    const from = material.now();
    const batch = await training.batch(step, 1);
    await loaded.run(new Map([...batch, [NUMBERS, Tensor.floats(Float32Array.of(0, 1, 1, 1, 0))]]));
    if (step >= TIMED_STEPS) times.push(material.now() - from);
  }
  const left = (milliseconds - (material.now() - started)) * (1 - OVERHEAD);
  const median = times.sort((a, b) => a - b)[TIMED_STEPS >> 1];
  return Math.max(1, Math.floor(left / median));
}
