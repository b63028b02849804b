import type { ByteSource } from '../../formats/bytes.js';
import type { ExternalData } from '../../formats/onnx/external-data.js';
import type { OnnxAttribute, OnnxNode, OnnxTensor } from '../../formats/onnx/structures.js';
import { tensorBytes } from '../../formats/onnx/tensor-data.js';
import { Tensor } from '../../ir/tensor.js';
import { knownDataType } from '../../ops/data-type.js';

/** Makes tensors of the graph out of a file's; their elements are read when they are asked for. */
export class TensorReader {
  constructor(
    readonly source: ByteSource,
    readonly external: ExternalData,
  ) {}

  read(tensor: OnnxTensor): Tensor {
    const dtype = knownDataType(tensor.dataType);
    // The elements of a text have no fixed size; the message as a whole stands for them.
    if (dtype === 'string')
      return Tensor.over(dtype, tensor.dims, this.source.slice(tensor.raw.start, tensor.raw.length));
    const bytes = tensorBytes(tensor, this.source, this.external);
    return Tensor.over(dtype ?? 'u8', tensor.dims, bytes);
  }

  /** The value of a Constant node; null for a kind that is no dense tensor of numbers. */
  readConstant(node: OnnxNode): Tensor | null {
    const [attribute] = node.attributes.values();
    if (node.attributes.size !== 1 || node.inputs.length > 0 || node.outputs.length !== 1) return null;
    if (attribute.t && attribute.name === 'value') return this.read(attribute.t);
    return scalarsOf(attribute);
  }
}

function scalarsOf({ name, i, f, ints, floats }: OnnxAttribute): Tensor | null {
  if (name === 'value_int' && i !== undefined) return int64([i], []);
  if (name === 'value_ints' && ints !== undefined) return int64(ints, [ints.length]);
  if (name === 'value_float' && f !== undefined) return Tensor.floats([f], []);
  if (name === 'value_floats' && floats !== undefined) return Tensor.floats(floats);
  return null;
}

function int64(values: readonly (number | bigint)[], shape: readonly number[]): Tensor {
  return Tensor.from(shape, BigInt64Array.from(values, BigInt));
}
