import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import { messageOf } from '../errors.js';
import type { LoadedModel, LoadModel, NodeTime, RunnerInfo, TensorData, Tensors, ValueInfo } from './runner.js';

/**
 * Loads an ONNX file by its path, so that weights beside the file are found. Meant for a process of its own: a run
 * blocks the event loop, and a crash of the native library takes the process with it.
 */
export const loadOnnxModel: LoadModel = async (file, threads) => {
  ort.env.logLevel = 'error';
  const session = await createSession(file, sessionOptions(threads));
  const info: RunnerInfo = {
    inputs: session.inputMetadata.map(valueInfo),
    outputs: session.outputMetadata.map(valueInfo),
  };
  const model: LoadedModel = {
    info,
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

async function createSession(
  file: string,
  options: ort.InferenceSession.SessionOptions,
): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(file, options);
  } catch (error) {
    // Whoever reports this names the file already.
    throw new Error(messageOf(error).replace(`Load model from ${file} failed:`, ''), { cause: error });
  }
}

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

function valueInfo(metadata: ort.InferenceSession.ValueMetadata): ValueInfo {
  if (!metadata.isTensor) return { name: metadata.name, type: 'not a tensor', shape: [] };
  return { name: metadata.name, type: metadata.type, shape: [...metadata.shape] };
}

/** The array of halves that the library insists on where the JavaScript engine has one (Node 24 and later). */
const HalfArray = (
  globalThis as { Float16Array?: new (buffer: ArrayBufferLike, offset: number, length: number) => Uint16Array }
).Float16Array;

function toOrt(tensors: Tensors): Record<string, ort.Tensor> {
  const entries = Object.entries(tensors).map(([name, { type, data, dims }]) => {
    const elements = type === 'float16' && HalfArray ? new HalfArray(data.buffer, data.byteOffset, data.length) : data;
    return [name, new ort.Tensor(type, elements, dims)] as const;
  });
  return Object.fromEntries(entries);
}

function fromOrt(values: Readonly<Record<string, ort.Tensor>>): Tensors {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, tensorData(name, value)]));
}

function tensorData(name: string, { type, data, dims }: ort.Tensor): TensorData {
  if (!ArrayBuffer.isView(data) || type === 'int4' || type === 'uint4') {
    throw new Error(`output ${name} has the element type ${type}, which cannot be read`);
  }
  const elements = type === 'float16' ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
  // The library pairs each element type with its array as `TensorArrays` does, which its own types do not express.
  return { type, dims: [...dims], data: elements } as TensorData;
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
