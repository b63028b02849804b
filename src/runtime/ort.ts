import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type ort from 'onnxruntime-node';
import { createSession, fromOrt, infoOf, toOrt } from './ort-session.js';
import type { LoadedModel, LoadModel, NodeTime } from './runner.js';

/**
 * Loads an ONNX file by its path, so that weights beside the file are found. Meant for a process of its own: a run
 * blocks the event loop, and a crash of the native library takes the process with it.
 */
export const loadOnnxModel: LoadModel = async (file, threads) => {
  const session = await createSession(file, sessionOptions(threads));
  const model: LoadedModel = {
    info: infoOf(session),
    async run(inputs) {
      return fromOrt(await session.run(toOrt(inputs)));
    },
    repeatable(inputs) {
      const feeds = toOrt(inputs);
      return async () => {
        await session.run(feeds);
      };
    },
    profile: (inputs, runs, folder) => profileOnnxModel(file, threads, toOrt(inputs), runs, folder),
  };
  return model;
};

function sessionOptions(threads: number): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    // Idle worker threads would go on spinning for a while and slow down the next process that is timed.
    extra: { session: { force_spinning_stop: '1' } },
  };
}

/** Profiling is fixed when a session is made, so this loads the model once more. */
async function profileOnnxModel(
  file: string,
  threads: number,
  feeds: Record<string, ort.Tensor>,
  runs: number,
  folder: string,
): Promise<NodeTime[]> {
  const options = { ...sessionOptions(threads), enableProfiling: true, profileFilePrefix: join(folder, 'profile') };
  const session = await createSession(file, options);
  for (let run = 0; run < runs + 1; run++) await session.run(feeds);
  session.endProfiling();
  await session.release();
  const [written] = await readdir(folder);
  if (written === undefined) throw new Error('the profiler wrote no file');
  return nodeTimes(JSON.parse(await readFile(join(folder, written), 'utf8')) as ProfilerEvent[], runs);
}

/** A row of the profiler's file; times are in microseconds. */
interface ProfilerEvent {
  cat: string;
  name: string;
  ts: number;
  dur: number;
  args?: { op_name?: string };
}

const KERNEL = '_kernel_time';

function nodeTimes(events: ProfilerEvent[], runs: number): NodeTime[] {
  const firstRun = events.filter((event) => event.name === 'model_run').sort((a, b) => a.ts - b.ts)[0];
  const measuredFrom = firstRun === undefined ? 0 : firstRun.ts + firstRun.dur;
  const times = new Map<string, NodeTime>();
  for (const { cat, name, ts, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith(KERNEL) || ts < measuredFrom) continue;
    const node = name.slice(0, -KERNEL.length);
    const time = times.get(node) ?? { node, op: args?.op_name ?? 'unknown', microseconds: 0 };
    time.microseconds += dur / runs;
    times.set(node, time);
  }
  return [...times.values()];
}
