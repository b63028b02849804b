import ort from 'onnxruntime-node';
import { messageOf } from '../errors.js';
import type { RunnerInfo, TensorData, Tensors, ValueInfo } from './runner.js';

export async function createSession(
  file: string,
  options: ort.InferenceSession.SessionOptions,
): Promise<ort.InferenceSession> {
  ort.env.logLevel = 'error';
  try {
    return await ort.InferenceSession.create(file, options);
  } catch (error) {
    // Whoever reports this names the file already.
    throw new Error(messageOf(error).replace(`Load model from ${file} failed:`, ''), { cause: error });
  }
}

export function infoOf(session: ort.InferenceSession): RunnerInfo {
  return { inputs: session.inputMetadata.map(valueInfo), outputs: session.outputMetadata.map(valueInfo) };
}

function valueInfo(metadata: ort.InferenceSession.ValueMetadata): ValueInfo {
  if (!metadata.isTensor) return { name: metadata.name, type: 'not a tensor', shape: [] };
  return { name: metadata.name, type: metadata.type, shape: [...metadata.shape] };
}

/** The array of halves that the library insists on where the JavaScript engine has one (Node 24 and later). */
const HalfArray = (
  globalThis as { Float16Array?: new (buffer: ArrayBufferLike, offset: number, length: number) => Uint16Array }
).Float16Array;

export function toOrt(tensors: Tensors): Record<string, ort.Tensor> {
  const entries = Object.entries(tensors).map(([name, { type, data, dims }]) => {
    const elements = type === 'float16' && HalfArray ? new HalfArray(data.buffer, data.byteOffset, data.length) : data;
    return [name, new ort.Tensor(type, elements, dims)] as const;
  });
  return Object.fromEntries(entries);
}

export function fromOrt(values: Readonly<Record<string, ort.Tensor>>): Tensors {
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
