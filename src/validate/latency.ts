/**
 * How long models take, measured so that they can be compared: each in a process of its own, warmed up, then timed in
 * turns (A B A B ...), so that whatever else the machine does meets all of them alike.
 */
import { badModelInput, openInputShape } from '../errors.js';
import { createRandom, type Random } from '../math/random.js';
import { quantile } from '../math/statistics.js';
import type {
  Place,
  Runner,
  RuntimeName,
  TensorArrays,
  TensorData,
  Tensors,
  TensorType,
  ValueInfo,
} from '../runtime/runner.js';
import { openRunner } from '../runtime/spawn.js';

export interface LatencyModel {
  file: string;
  /** ONNX Runtime unless given. */
  runtime?: RuntimeName;
  /** Node unless given. */
  place?: Place;
  /** What to run on; unless given, random values. */
  inputs?: Tensors;
  /** The shapes of the random values by input name, for a model whose inputs have open dimensions. */
  shapes?: Record<string, number[]>;
}

export interface LatencyOptions {
  /** Thread counts, each measured on its own. */
  threads: number[];
  /** `quick` takes about 10 s for a model and thread count, `full` up to 60 s; a slow model's fewest runs come first. */
  mode: LatencyMode;
  /** Seed of the random inputs. */
  seed: number;
  signal?: AbortSignal;
  onProgress?: (progress: LatencyProgress) => void;
}

export type LatencyMode = 'quick' | 'full';

export interface LatencyProgress {
  threads: number;
  /** The part of this thread count's measurement that is done, 0 to 1. */
  done: number;
}

/** Durations in milliseconds. */
export interface Latency {
  file: string;
  runtime: RuntimeName;
  place: Place;
  threads: number;
  median: number;
  min: number;
  p90: number;
  /** How many runs these figures rest on; warm-up runs are not among them. */
  runs: number;
  warmUpRuns: number;
  /** Whether three runs in a row came within 10 % of each other before the clock counted. */
  settled: boolean;
  /** How many times faster than the first model: the median, over the turns, of first / this. 1 for the first itself. */
  speedUp: number;
  /** The quartiles of those ratios: how far the machine's noise reaches. */
  speedUpQuartiles: [low: number, high: number];
}

interface Plan {
  /** No fewer turns than this, however slow the models are. */
  fewestTurns: number;
  /** After this many turns more of them would tell nothing new. */
  mostTurns: number;
  /** For one model, in milliseconds. */
  budget: number;
  warmUpBudget: number;
}

const PLANS: Record<LatencyMode, Plan> = {
  quick: { fewestTurns: 5, mostTurns: 50, budget: 7_000, warmUpBudget: 3_000 },
  full: { fewestTurns: 30, mostTurns: 200, budget: 50_000, warmUpBudget: 10_000 },
};

const MOST_WARM_UP_RUNS = 20;
const SETTLED_RUNS = 3;
const SETTLED_SPREAD = 1.1;

/** A fast model runs several times in its turn, so that its turn tells about as much as a slow model's single run. */
const MOST_RUNS_PER_TURN = 10;
const SHORTEST_TURN_MS = 20;

/**
 * Times the models against the first of them.
 *
 * @returns one entry for each thread count and, within it, each model in the order given; runtimes that have one thread
 * only are left out of the counts above.
 * @throws CompressError when a model cannot be loaded or run.
 */
export async function measureLatency(models: LatencyModel[], options: LatencyOptions): Promise<Latency[]> {
  const results: Latency[] = [];
  for (const threads of options.threads) {
    const runners: Runner[] = [];
    const able = models.filter((model) => threads === 1 || hasThreads(model));
    if (able.length === 0) continue;
    try {
      for (const { file, runtime = 'onnxruntime', place = 'node' } of able) {
        runners.push(await openRunner(file, { runtime, place, threads, signal: options.signal }));
      }
      results.push(...(await measureTogether(able, runners, threads, options)));
    } finally {
      await Promise.all(runners.map((runner) => runner.close()));
    }
  }
  return results;
}

interface WarmUp {
  times: number[];
  settled: boolean;
}

/** ONNX Runtime in Node alone uses more than one. */
function hasThreads({ runtime = 'onnxruntime', place = 'node' }: LatencyModel): boolean {
  return runtime === 'onnxruntime' && place === 'node';
}

async function measureTogether(
  models: LatencyModel[],
  runners: Runner[],
  threads: number,
  { mode, seed, onProgress }: LatencyOptions,
): Promise<Latency[]> {
  const inputs = models.map(({ inputs, shapes }, m) => inputs ?? syntheticInputs(runners[m]!, { shapes, seed }));
  const warmUps: WarmUp[] = [];
  for (const [m, runner] of runners.entries()) warmUps.push(await warmUp(runner, inputs[m]!, PLANS[mode].warmUpBudget));
  const runsPerTurn = turnLengths(warmUps.map(({ times }) => Math.min(...times)));

  const turns: number[][][] = models.map(() => []);
  const start = performance.now();
  for (let done = 0, turn = 1; done < 1; turn++) {
    for (const [m, runner] of runners.entries()) {
      turns[m]!.push(await runner.time(inputs[m]!, { runs: runsPerTurn[m]! }));
    }
    done = partDone(mode, turn, (performance.now() - start) / models.length);
    onProgress?.({ threads, done });
  }
  return models.map((model, m) => summarize(model, threads, warmUps[m]!, turns[m]!, turns[0]!));
}

/** How much of the measurement is done after so many turns and milliseconds for each model; 1 is all. */
export function partDone(mode: LatencyMode, turns: number, milliseconds: number): number {
  const { fewestTurns, mostTurns, budget } = PLANS[mode];
  return Math.min(1, turns / fewestTurns, Math.max(turns / mostTurns, milliseconds / budget));
}

/** Runs until three runs in a row are within 10 % of each other, or 20 runs, or the budget is used up. */
async function warmUp(runner: Runner, inputs: Tensors, budget: number): Promise<WarmUp> {
  const times: number[] = [];
  const start = performance.now();
  while (times.length < MOST_WARM_UP_RUNS && (times.length === 0 || performance.now() - start < budget)) {
    times.push(...(await runner.time(inputs, { runs: 1 })));
    const last = times.slice(-SETTLED_RUNS);
    if (last.length === SETTLED_RUNS && Math.max(...last) <= SETTLED_SPREAD * Math.min(...last)) {
      return { times, settled: true };
    }
  }
  return { times, settled: false };
}

/** Runs in a turn for each model, from what one run of each takes (milliseconds): turns come near the slowest's run. */
export function turnLengths(milliseconds: number[]): number[] {
  const turn = Math.max(SHORTEST_TURN_MS, ...milliseconds);
  return milliseconds.map((one) => Math.min(MOST_RUNS_PER_TURN, Math.max(1, Math.round(turn / one))));
}

function summarize(
  { file, runtime = 'onnxruntime', place = 'node' }: LatencyModel,
  threads: number,
  warmUp: WarmUp,
  turns: number[][],
  firstTurns: number[][],
): Latency {
  const times = turns.flat();
  const ratios = pairwiseRatios(firstTurns, turns);
  return {
    file,
    runtime,
    place,
    threads,
    median: quantile(times, 0.5),
    min: Math.min(...times),
    p90: quantile(times, 0.9),
    runs: times.length,
    warmUpRuns: warmUp.times.length,
    settled: warmUp.settled,
    speedUp: quantile(ratios, 0.5),
    speedUpQuartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
  };
}

/** For each turn, the median of the first model's runs over the median of the other's. */
export function pairwiseRatios(firstTurns: number[][], turns: number[][]): number[] {
  return turns.map((times, turn) => quantile(firstTurns[turn]!, 0.5) / quantile(times, 0.5));
}

/** More elements than any input has; a mistyped shape must not take gigabytes. */
const MOST_ELEMENTS = 2 ** 28;

/**
 * Seeded random inputs for a model. Floats are in [0, 1), as the intensities of an image; 8-bit integers fill their
 * range; wider integers, which are sizes or indices, are 1. An open first dimension, the batch, is 1 unless `shapes` says otherwise.
 *
 * @throws CompressError for another open dimension without a shape, or a type that cannot be fed.
 */
export function syntheticInputs(
  model: Pick<Runner, 'file' | 'info'>,
  { shapes = {}, seed }: { shapes?: Record<string, number[]>; seed: number },
): Tensors {
  const random = createRandom(seed);
  return Object.fromEntries(
    model.info.inputs.map((input) => {
      const dims = shapes[input.name] ?? boundShape(model.file, input);
      return [input.name, randomTensor(model.file, input, dims, random)];
    }),
  );
}

function boundShape(file: string, { name, shape }: ValueInfo): number[] {
  return shape.map((size, axis) => {
    if (typeof size === 'number') return size;
    if (axis === 0) return 1;
    throw openInputShape(file, name, shape.map((dim) => dim || '?').join(', '));
  });
}

const makers: { [T in TensorType]: (count: number, random: Random) => TensorArrays[T] } = {
  float32: (count, random) => new Float32Array(count).map(random.next),
  float64: (count, random) => new Float64Array(count).map(random.next),
  // 0x3800 is 0.5; ten random bits of fraction make it uniform in [0.5, 1).
  float16: (count, random) => new Uint16Array(count).map(() => 0x3800 + random.integer(1024)),
  int8: (count, random) => new Int8Array(count).map(() => random.integer(256) - 128),
  uint8: (count, random) => new Uint8Array(count).map(() => random.integer(256)),
  int16: (count) => new Int16Array(count).fill(1),
  uint16: (count) => new Uint16Array(count).fill(1),
  int32: (count) => new Int32Array(count).fill(1),
  uint32: (count) => new Uint32Array(count).fill(1),
  int64: (count) => new BigInt64Array(count).fill(1n),
  uint64: (count) => new BigUint64Array(count).fill(1n),
  bool: (count, random) => new Uint8Array(count).map(() => random.integer(2)),
};

function randomTensor(file: string, { name, type }: ValueInfo, dims: number[], random: Random): TensorData {
  if (!isTensorType(type))
    throw badModelInput(file, `input ${name} has the type ${type}, for which no values can be made`);
  const count = dims.reduce((product, size) => product * size, 1);
  if (!dims.every((size) => Number.isInteger(size) && size > 0) || count > MOST_ELEMENTS) {
    throw badModelInput(
      file,
      `the shape [${dims.join(', ')}] for input ${name} is not one of a tensor of sensible size`,
    );
  }
  return { type, dims, data: makers[type](count, random) } as TensorData;
}

function isTensorType(type: string): type is TensorType {
  return Object.hasOwn(makers, type);
}
