/** What a runtime does for us: load a model file, run it, time it, and say where the time goes. */

/** The typed array that holds each element type. Halves are their bits; a boolean is one byte, 0 or 1. */
export interface TensorArrays {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  bool: Uint8Array;
}

export type TensorType = keyof TensorArrays;

export const TENSOR_ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} satisfies { [T in TensorType]: new (buffer: ArrayBuffer, offset: number, length: number) => TensorArrays[T] };

/** A dense tensor in row-major order; `data` has as many elements as the product of `dims`. */
export type TensorData = { [T in TensorType]: { type: T; dims: number[]; data: TensorArrays[T] } }[TensorType];

/** Tensors by the name of the model's input or output. */
export type Tensors = Record<string, TensorData>;

export interface ValueInfo {
  name: string;
  /** The runtime's name of the element type; inputs of a type outside `TensorType` (strings) cannot be fed. */
  type: string;
  /** An open dimension is its symbolic name, or '' when it has none. */
  shape: (number | string)[];
}

export interface RunnerInfo {
  inputs: ValueInfo[];
  outputs: ValueInfo[];
  /** Whether XNNPACK runs every operator; LiteRT alone tells. Its own kernels, which run the rest, are slower. */
  fullyDelegated?: boolean;
}

/** How long to go on: a number of runs, or at least one run and then until the time is used up. */
export type TimePlan = { runs: number } | { milliseconds: number };

export interface NodeTime {
  node: string;
  op: string;
  /** Mean over the profiled runs. */
  microseconds: number;
}

export interface Profile {
  /**
   * Longest first. Runtimes fuse, insert and rename nodes: these are the runtime's, not the file's. LiteRT tells no
   * times, so there each operator is run alone on random inputs, and is left out where it cannot run alone.
   */
  nodes: NodeTime[];
  /** The same times summed by operator, longest first. */
  operators: { op: string; microseconds: number }[];
}

export interface MemoryUse {
  /** Resident memory now, and the most there has been. */
  rssBytes: number;
  peakRssBytes: number;
}

/**
 * One loaded model in a process of its own. Make one call at a time. Every method rejects with a CompressError when
 * the model, its input, or the process that runs it fails.
 */
export interface Runner {
  /** The model's file as it was named to `openRunner`. */
  readonly file: string;
  readonly info: RunnerInfo;
  /** The id of the process that runs the model. */
  readonly processId: number;
  run(inputs: Tensors): Promise<Tensors>;
  /**
   * The duration of each run in milliseconds. The clock is read around the run alone, in the process of the model.
   * Passing the same object again does not send the tensors again.
   */
  time(inputs: Tensors, plan: TimePlan): Promise<number[]>;
  /** Time by node, the mean of `runs` runs after one that is left out. */
  profile(inputs: Tensors, runs: number): Promise<Profile>;
  memory(): Promise<MemoryUse>;
  /** Ends the process. Safe to call more than once, and after a failure. */
  close(): Promise<void>;
}

/** How a model is run again and again on its own results. */
export interface StepPlan {
  /** The input that each carried output becomes in the next step, by the output's name. */
  carried: Readonly<Record<string, string>>;
  /** How far the runtime may rewrite the graph; 'all' includes changes of the memory layout. */
  optimization: 'disabled' | 'extended' | 'all';
}

/**
 * One loaded model in a process of its own that is run on its own results, which stay there. Calls are taken one after
 * another. Every method rejects with a CompressError when the model, its input, or the process that runs it fails.
 */
export interface Stepper {
  /** The model's file as it was named to whoever opened it. */
  readonly file: string;
  readonly info: RunnerInfo;
  /** The id of the process that runs the model. */
  readonly processId: number;
  /**
   * One step: takes the inputs that are not carried, returns the outputs that are not. A step that fails leaves the
   * state as it was.
   */
  run(inputs: Tensors): Promise<Tensors>;
  /** Sets carried inputs; those that are not named keep their values. All must be set before the first step. */
  setState(values: Tensors): Promise<void>;
  /** A copy of all carried inputs as the next step will read them. */
  state(): Promise<Tensors>;
  memory(): Promise<MemoryUse>;
  /** Unloads the model, and ends a process that is its own. Safe to call more than once, and after a failure. */
  close(): Promise<void>;
}

export type RuntimeName = 'onnxruntime' | 'litert' | 'tfjs';

export const RUNTIME_TITLES: Readonly<Record<RuntimeName, string>> = {
  onnxruntime: 'ONNX Runtime',
  litert: 'LiteRT',
  tfjs: 'TensorFlow.js',
};

/** Where a runtime runs: natively or as WebAssembly in Node, or as WebAssembly in a page of a headless Chromium. */
export type Place = 'node' | 'chromium';

const RUNTIMES = { onnx: 'onnxruntime', tflite: 'litert', tfjs: 'tfjs' } as const;

/** The runtime that runs files of a format. */
export function runtimeOf(format: keyof typeof RUNTIMES): RuntimeName {
  return RUNTIMES[format];
}

/** A model that a runtime has loaded into the current process, or into the current page of a browser. */
export interface RepeatableModel {
  readonly info: RunnerInfo;
  run(inputs: Tensors): Promise<Tensors>;
  /**
   * Converts the inputs once and returns a function that runs the model on them and drops the outputs. The function of
   * the call before, whose inputs are dropped, must not be called any more.
   */
  repeatable(inputs: Tensors): () => Promise<void>;
}

/** A model that a runtime has loaded into the current process: what each runtime implements. */
export interface LoadedModel extends RepeatableModel {
  /** As `Runner.profile`, by node; temporary files go into `folder`. */
  profile(inputs: Tensors, runs: number, folder: string): Promise<NodeTime[]>;
}

/** A step that a runtime has loaded into the current process: what each runtime implements. */
export interface LoadedStep {
  readonly info: RunnerInfo;
  run(inputs: Tensors): Promise<Tensors>;
  /** The carried inputs as the next step will read them: who writes into them sets the state. */
  state(): Tensors;
  /** Gives back its memory. */
  release(): Promise<void>;
}

export type LoadStep = (file: string, threads: number, plan: StepPlan) => Promise<LoadedStep>;

export type LoadModel = (file: string, threads: number) => Promise<LoadedModel>;

/** What each runtime implements in a page, from the addresses of the model and of the runtime's WebAssembly files. */
export type LoadInPage = (model: string, wasm: string) => Promise<RepeatableModel>;

/** A model in the page of a browser that the current process has started. */
export interface PageModel {
  readonly info: RunnerInfo;
  run(inputs: Tensors): Promise<Tensors>;
  /** As `Runner.time`; `inputs` null stands for those of the last call. */
  time(inputs: Tensors | null, plan: TimePlan): Promise<number[]>;
  /** Ends the browser. */
  close(): Promise<void>;
}

/** The first thing that is wrong with these inputs for this model, or null. */
export function inputProblem({ inputs: expected }: Pick<RunnerInfo, 'inputs'>, inputs: Tensors): string | null {
  const unknown = unknownName(expected, inputs);
  if (unknown !== null) return `it has no input ${unknown}, its inputs are ${namesOf(expected)}`;
  for (const input of expected) {
    const given = inputs[input.name];
    if (given === undefined) return `input ${input.name} is missing`;
    const problem = tensorProblem(input, given);
    if (problem !== null) return problem;
  }
  return null;
}

/** The first thing that is wrong with these values for some of the inputs that a step carries, or null. */
export function stateProblem(carried: readonly ValueInfo[], values: Tensors): string | null {
  const unknown = unknownName(carried, values);
  if (unknown !== null) return `it carries no input ${unknown}, but ${namesOf(carried)}`;
  for (const input of carried) {
    const given = values[input.name];
    const problem = given === undefined ? null : tensorProblem(input, given);
    if (problem !== null) return problem;
  }
  return null;
}

function unknownName(expected: readonly ValueInfo[], given: Tensors): string | null {
  return Object.keys(given).find((name) => !expected.some((input) => input.name === name)) ?? null;
}

function namesOf(infos: readonly ValueInfo[]): string {
  return infos.map(({ name }) => name).join(', ');
}

function tensorProblem({ name, type, shape }: ValueInfo, given: TensorData): string | null {
  if (given.type !== type) return `input ${name} must be ${type}, not ${given.type}`;
  const fits =
    given.dims.length === shape.length &&
    shape.every((size, axis) => typeof size === 'string' || size === given.dims[axis]);
  if (!fits) return `input ${name} must have the shape [${shape.join(', ')}], not [${given.dims.join(', ')}]`;
  const count = elementCount(given.dims);
  if (given.data.length !== count) {
    return `input ${name} has ${given.data.length} elements, its shape [${given.dims.join(', ')}] needs ${count}`;
  }
  return null;
}

export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}

/** Sums node times by operator, longest first. */
export function profileOf(nodes: NodeTime[]): Profile {
  const byOperator = new Map<string, number>();
  for (const { op, microseconds } of nodes) byOperator.set(op, (byOperator.get(op) ?? 0) + microseconds);
  const operators = [...byOperator].map(([op, microseconds]) => ({ op, microseconds }));
  const longestFirst = (a: { microseconds: number }, b: { microseconds: number }) => b.microseconds - a.microseconds;
  return { nodes: nodes.toSorted(longestFirst), operators: operators.sort(longestFirst) };
}
