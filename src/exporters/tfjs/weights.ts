import type { Part } from '../../formats/files.js';
import type { TfjsType } from '../../formats/tfjs/model.js';
import type { Tensor } from '../../ir/tensor.js';
import type { ProgramType } from '../lowering/operations.js';

/** TensorFlow.js has no integers of one byte; what has them computes with wider ones. */
export function tfjsType(type: ProgramType): TfjsType {
  switch (type) {
    case 'f32':
      return 'float32';
    case 'bool':
      return 'bool';
    default:
      return 'int32';
  }
}

/** Small, as each piece is memory of its own until it is collected. */
const PIECE = 1 << 20;

/** The elements of a constant, read when they are written. */
export function weightData(tensor: Tensor): Part {
  const { dtype } = tensor;
  if (dtype === 'u8' || dtype === 'i8') return { length: tensor.size * 4, produce: () => widened(tensor) };
  return { length: tensor.byteLength, produce: () => tensor.chunks(PIECE) };
}

function* widened(tensor: Tensor): Generator<Uint8Array> {
  for (const { buffer, byteOffset, length } of tensor.chunks(PIECE / 4)) {
    const bytes =
      tensor.dtype === 'i8' ? new Int8Array(buffer, byteOffset, length) : new Uint8Array(buffer, byteOffset, length);
    yield new Uint8Array(Int32Array.from(bytes).buffer);
  }
}
