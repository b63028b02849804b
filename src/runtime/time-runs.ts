import type { TimePlan } from './runner.js';

/** The duration of each run in milliseconds; the clock is read around the run alone. */
export async function timeRuns(run: () => Promise<void>, plan: TimePlan): Promise<number[]> {
  const times: number[] = [];
  const start = performance.now();
  const done = () => ('runs' in plan ? times.length >= plan.runs : performance.now() - start >= plan.milliseconds);
  do {
    const before = performance.now();
    await run();
    times.push(performance.now() - before);
    // Frees the outputs, so that the next run need not wait for new memory; see the allocator's settings in
    // model-process.ts.
    globalThis.gc?.({ execution: 'sync', type: 'minor' });
  } while (!done());
  return times;
}
