import { type NamedTensorMap, type Tensor, tensor } from '@tensorflow/tfjs-core';
import type { TensorData, Tensors } from './runner.js';

/** Copies of the tensors inside of TensorFlow.js, to be disposed of after use. */
export function toTfjs(tensors: Tensors): NamedTensorMap {
  const entries = Object.entries(tensors).map(([name, given]) => {
    switch (given.type) {
      case 'float32':
      case 'int32':
      case 'bool':
        return [name, tensor(given.data, given.dims, given.type)] as const;
      default:
        throw new Error(`input ${name} has the element type ${given.type}, which it does not know`);
    }
  });
  return Object.fromEntries(entries);
}

/** A copy of what a tensor holds. */
export function fromTfjs(name: string, given: Tensor): TensorData {
  const { dtype, shape: dims } = given;
  const data: unknown = given.dataSync();
  if (dtype === 'float32' && data instanceof Float32Array) return { type: dtype, dims, data };
  if (dtype === 'int32' && data instanceof Int32Array) return { type: dtype, dims, data };
  if (dtype === 'bool' && data instanceof Uint8Array) return { type: dtype, dims, data };
  throw new Error(`output ${name} has the element type ${dtype}, which cannot be read`);
}
