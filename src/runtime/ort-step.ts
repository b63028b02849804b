import type ort from 'onnxruntime-node';
import { createSession, fromOrt, infoOf, toOrt } from './ort-session.js';
import {
  elementCount,
  type LoadedStep,
  type LoadStep,
  type RunnerInfo,
  type StepPlan,
  TENSOR_ARRAYS,
  type TensorData,
  type Tensors,
  type TensorType,
  type ValueInfo,
} from './runner.js';

/**
 * Loads an ONNX file that is run on its own results. There are two sets of memory for them: a run reads one and writes
 * the other, so a run that fails leaves the state whole.
 */
export const loadOnnxStep: LoadStep = async (file, threads, plan) => {
  const session = await createSession(file, stepOptions(threads, plan));
  const info = infoOf(session);
  const carried = Object.entries(plan.carried);
  const twice = carried.find(([output, input]) => carried.some(([other, to]) => to === input && other !== output));
  if (twice) throw new Error(`two outputs are carried to its input ${twice[1]}`);
  const emptySet = (): Tensors =>
    Object.fromEntries(carried.map(([output, input]) => [input, emptyTensor(carriedInput(info, output, input))]));
  const free = session.outputNames.filter((name) => !Object.hasOwn(plan.carried, name));
  const turns = [emptySet(), emptySet()].map((set) => {
    const tensors = toOrt(set);
    return { set, tensors, fetches: Object.fromEntries(carried.map(([output, input]) => [output, tensors[input]])) };
  });
  let [current, next] = turns;
  const fresh = Object.fromEntries(free.map((name) => [name, null]));
  const step: LoadedStep = {
    info,
    async run(inputs) {
      const outputs = await session.run({ ...toOrt(inputs), ...current.tensors }, { ...fresh, ...next.fetches });
      [current, next] = [next, current];
      return fromOrt(Object.fromEntries(free.map((name) => [name, outputs[name]])));
    },
    state: () => current.set,
    release: () => session.release(),
  };
  return step;
};

/**
 * Memory patterns doubled the resident memory of a training step for no speed; without the arena a step took 1.5 times
 * as long; and threads that spin while they wait slow each other down where others use the processor too.
 */
function stepOptions(threads: number, { optimization }: StepPlan): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: optimization,
    enableMemPattern: false,
    enableCpuMemArena: true,
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  };
}

/** The input that an output becomes; the two must be tensors of one type and one fixed shape. */
function carriedInput({ inputs, outputs }: RunnerInfo, outputName: string, inputName: string): ValueInfo {
  const output = outputs.find(({ name }) => name === outputName);
  const input = inputs.find(({ name }) => name === inputName);
  if (output === undefined) throw new Error(`it has no output ${outputName} to carry`);
  if (input === undefined) throw new Error(`it has no input ${inputName} to carry output ${outputName} to`);
  const isOne = output.type === input.type && String(output.shape) === String(input.shape);
  if (!isOne || !input.shape.every((size) => typeof size === 'number') || !(input.type in TENSOR_ARRAYS)) {
    const text = ({ type, shape }: ValueInfo) => `${type} [${shape.join(', ')}]`;
    throw new Error(`output ${outputName} of ${text(output)} cannot become input ${inputName} of ${text(input)}`);
  }
  return input;
}

function emptyTensor(info: ValueInfo): TensorData {
  const type = info.type as TensorType;
  const dims = info.shape as number[];
  // The table pairs each type with its array, which the compiler cannot follow.
  return { type, dims, data: new TENSOR_ARRAYS[type](elementCount(dims)) } as TensorData;
}
