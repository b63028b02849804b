import { loadAndCompile, loadLiteRt, Tensor, type TensorDetails } from '@litertjs/core';
import {
  elementCount,
  type LoadInPage,
  TENSOR_ARRAYS,
  type TensorData,
  type Tensors,
  type ValueInfo,
} from './runner.js';

/**
 * Loads a TFLite file into LiteRT.js, with XNNPACK, on one thread, and runs it once. This is the library as pages use
 * it, whose tensors are float32, int32 or uint8: models with inputs or outputs of other types are refused.
 */
export const loadTfliteModel: LoadInPage = async (model, wasm) => {
  const call = failingOnReports();
  await loadLiteRt(wasm, { threads: false });
  const compiled = await call(() => loadAndCompile(model, { accelerator: 'wasm', cpuOptions: { numThreads: 1 } }));
  const inputs = compiled.getInputDetails().map(infoOf);
  const outputs = compiled.getOutputDetails().map(infoOf);
  const put = (tensors: Tensors) => inputs.map(({ name }) => toLiteRt(tensors[name]!));
  const execute = (given: Tensor[]) => call(() => compiled.run(given));
  const runOnce = async (given: Tensor[]): Promise<Tensors> => {
    const results = await execute(given);
    const taken = results.map((tensor, index) => [outputs[index].name, fromLiteRt(tensor)] as const);
    removeAll(results);
    return Object.fromEntries(taken);
  };
  const zeros = compiled.getInputDetails().map(({ dtype, shape }) => {
    return new Tensor(new TENSOR_ARRAYS[dtype](elementCount([...shape])), shape);
  });
  // What LiteRT cannot run, such as an operator that it does not know, it notices at the first run only.
  await runOnce(zeros);
  removeAll(zeros);

  let repeated: Tensor[] = [];
  return {
    info: { inputs, outputs, fullyDelegated: compiled.isFullyAccelerated },
    async run(tensors) {
      const given = put(tensors);
      try {
        return await runOnce(given);
      } finally {
        removeAll(given);
      }
    },
    repeatable(tensors) {
      const given = put(tensors);
      removeAll(repeated);
      repeated = given;
      return async () => removeAll(await execute(given));
    },
  };
};

/** The start of a line in the log that reports an error, with the place in LiteRT's source if it is told. */
const ERROR = /^ERROR:\s*(\[\S+:\d+\]\s*)?/;
const MOST_REPORTED = 3;

/**
 * Returns a function that calls into LiteRT and throws what its log reports meanwhile: most failures there are silent,
 * the call returns, and results are zeros. To be called before LiteRT is loaded.
 */
function failingOnReports() {
  const reported: string[] = [];
  const printErr = (line: string) => {
    if (ERROR.test(line)) reported.push(line.replace(ERROR, '').replace(/[.\s]+$/, ''));
  };
  // The package hands these settings to its WebAssembly module.
  Object.assign(globalThis, { Module: { print: () => {}, printErr } });
  return async <T>(into: () => Promise<T>): Promise<T> => {
    reported.length = 0;
    try {
      const result = await into();
      if (reported.length === 0) return result;
    } catch (error) {
      if (reported.length === 0) throw error;
    }
    throw new Error(reported.slice(0, MOST_REPORTED).join('; '));
  };
}

function infoOf({ name, dtype, shape }: TensorDetails): ValueInfo {
  return { name, type: dtype, shape: [...shape] };
}

function toLiteRt({ type, data, dims }: TensorData): Tensor {
  switch (type) {
    case 'float32':
    case 'int32':
    case 'uint8':
      return Tensor.fromTypedArray(data as Unshared, dims);
    default:
      throw new Error(`tensors of the element type ${type} cannot be passed`);
  }
}

function fromLiteRt(tensor: Tensor): TensorData {
  const type = tensor.type.dtype;
  // The library pairs each element type with its array, which its own types do not express.
  return { type, dims: [...tensor.type.layout.dimensions], data: tensor.toTypedArray() } as TensorData;
}

/** Arrays are never shared between threads here, which the compiler cannot know. */
type Unshared = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** Tensors inside of LiteRT are not collected as garbage. */
function removeAll(tensors: readonly Tensor[]): void {
  for (const tensor of tensors) tensor.delete();
}
