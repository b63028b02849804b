import { badGraph } from '../errors.js';
import { type Bytes, bytesInMemory } from './bytes.js';
import { type AxisWalk, gather } from './gather.js';
import { bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat } from './half.js';
import { bitsOf, byteLength, type DataType } from './types.js';

export type NumericArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

const DTYPE_OF_ARRAY: Record<string, DataType> = {
  Float32Array: 'f32',
  Float64Array: 'f64',
  Int8Array: 'i8',
  Uint8Array: 'u8',
  Int16Array: 'i16',
  Uint16Array: 'u16',
  Int32Array: 'i32',
  Uint32Array: 'u32',
  BigInt64Array: 'i64',
  BigUint64Array: 'u64',
};

/**
 * An immutable, lazily read array: a strided or gathered view over `Bytes`. Permuting axes and taking coordinates copy
 * nothing; bytes are read when values are asked for.
 */
export class Tensor {
  private constructor(
    readonly dtype: DataType,
    readonly shape: readonly number[],
    private readonly source: Bytes,
    private readonly start: number,
    private readonly axes: readonly AxisWalk[],
  ) {}

  /** The whole of `source`, row-major. Throws where its length does not fit the shape. */
  static over(dtype: DataType, shape: readonly number[], source: Bytes): Tensor {
    const count = elementCount(shape);
    if (dtype !== 'string' && source.length !== byteLength(dtype, count))
      throw badGraph(
        `a ${dtype} tensor of shape [${shape}] needs ${byteLength(dtype, count)} bytes, not ${source.length}`,
      );
    return new Tensor(dtype, shape, source, 0, rowMajor(shape));
  }

  /** A tensor in memory; the data type follows the array unless given (f16, bf16 and bool share an array with others). */
  static from(shape: readonly number[], data: NumericArray, dtype = DTYPE_OF_ARRAY[data.constructor.name]): Tensor {
    return Tensor.over(dtype, shape, bytesInMemory(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));
  }

  /** int64, as ONNX wants for shapes, axes and indices. */
  static integers(values: readonly number[], shape: readonly number[] = [values.length]): Tensor {
    return Tensor.encode('i64', shape, values);
  }

  static floats(values: ArrayLike<number>, shape: readonly number[] = [values.length]): Tensor {
    return Tensor.from(shape, Float32Array.from(values));
  }

  /** `values` stored as `dtype` (rounded to nearest where it is narrower than double). */
  static encode(dtype: DataType, shape: readonly number[], values: ArrayLike<number>): Tensor {
    return Tensor.over(dtype, shape, bytesInMemory(encodeNumbers(dtype, values)));
  }

  get size(): number {
    return elementCount(this.shape);
  }

  get byteLength(): number {
    return this.dtype === 'string' ? this.source.length : byteLength(this.dtype, this.size);
  }

  /** Axis i of the result is axis `order[i]` of this tensor. */
  permute(order: readonly number[]): Tensor {
    this.requireAddressable('permuted');
    return this.derive(
      order.map((axis) => this.shape[axis]),
      order.map((axis) => this.axes[axis]),
    );
  }

  /** Keeps the coordinates `indices` (in that order, repeats allowed) of one axis. */
  take(axis: number, indices: ArrayLike<number>): Tensor {
    this.requireAddressable('sliced');
    const walk = this.axes[axis];
    const offsets = Float64Array.from(indices, (index) =>
      'stride' in walk ? index * walk.stride : walk.offsets[index],
    );
    return this.derive(
      this.shape.map((extent, i) => (i === axis ? offsets.length : extent)),
      this.axes.map((old, i) => (i === axis ? { offsets } : old)),
    );
  }

  /** A range of coordinates of one axis. */
  slice(axis: number, start: number, end: number): Tensor {
    return this.take(
      axis,
      Array.from({ length: end - start }, (_, i) => start + i),
    );
  }

  /** The same elements, row-major, in another shape; copies only where the view is not contiguous. */
  reshape(shape: readonly number[]): Tensor {
    if (elementCount(shape) !== this.size)
      throw badGraph(`a tensor of shape [${this.shape}] cannot be seen as [${shape}]`);
    if (this.isContiguous) return new Tensor(this.dtype, shape, this.source, this.start, rowMajor(shape));
    return Tensor.over(this.dtype, shape, bytesInMemory(this.toBytes()));
  }

  /** Row-major little-endian bytes, freshly read. */
  toBytes(): Uint8Array {
    if (this.dtype === 'string') return this.source.read(0, this.source.length);
    const out = new Uint8Array(this.byteLength);
    let filled = 0;
    for (const chunk of this.chunks()) {
      out.set(chunk, filled);
      filled += chunk.length;
    }
    return out;
  }

  /** The bytes of `toBytes` piece by piece, so that the whole never stands in memory. Each piece is valid until the next. */
  *chunks(maximum = 4 << 20): Generator<Uint8Array> {
    if (this.isContiguous) {
      const offset = (this.start * bitsOf(this.dtype)) / 8;
      for (let done = 0; done < this.byteLength; done += maximum)
        yield this.source.read(offset + done, Math.min(maximum, this.byteLength - done));
      return;
    }
    for (const slab of this.slabs(maximum)) {
      const bytes = new Uint8Array(slab.byteLength);
      slab.gather(bytes);
      yield bytes;
    }
  }

  /** Views that cut the tensor along axis 0 into pieces of at most about `maximum` bytes. */
  *slabs(maximum = 4 << 20): Generator<Tensor> {
    const [rows = 1] = this.shape;
    const perSlab = Math.max(1, Math.floor(maximum / Math.max(1, this.byteLength / Math.max(1, rows))));
    if (this.shape.length === 0 || perSlab >= rows) {
      yield this;
      return;
    }
    for (let first = 0; first < rows; first += perSlab) yield this.rows(first, Math.min(rows, first + perSlab));
  }

  /** Values as single precision, in whole rows of axis 0, for reading once: each piece is valid until the next. */
  *float32Pieces(maximum = 1 << 18): Generator<Float32Array> {
    let buffer: Float32Array | undefined;
    for (const slab of this.slabs(maximum)) {
      if (slab.dtype !== 'f32' || !slab.isContiguous) {
        yield slab.toFloat32();
        continue;
      }
      // Fresh memory for every piece would cost several times what reading it does.
      buffer = buffer && buffer.length >= slab.size ? buffer : new Float32Array(slab.size);
      const piece = buffer.subarray(0, slab.size);
      slab.source.readInto(new Uint8Array(piece.buffer, 0, piece.byteLength), slab.start * piece.BYTES_PER_ELEMENT);
      yield piece;
    }
  }

  /** Rows `first` to `end` of axis 0 as a view that stays as contiguous as this one. */
  rows(first: number, end: number): Tensor {
    this.requireAddressable('sliced');
    const walk = this.axes[0];
    const shape = [end - first, ...this.shape.slice(1)];
    if ('stride' in walk)
      return new Tensor(this.dtype, shape, this.source, this.start + first * walk.stride, this.axes);
    return this.derive(shape, [{ offsets: walk.offsets.subarray(first, end) }, ...this.axes.slice(1)]);
  }

  /** Values as doubles; integers beyond 2^53 lose digits. Strings, complex and sub-byte types are refused. */
  toFloat64(): Float64Array {
    return Float64Array.from(this.toNumbers() as ArrayLike<number>);
  }

  /**
   * Values as single precision, without a second copy where they are stored so. A `scratch` that is large enough may
   * be used for them, so that walking over slabs allocates nothing.
   */
  toFloat32(scratch?: ArrayBuffer): Float32Array {
    const numbers = decodeNumbers(this.dtype, this.alignedBytes(scratch));
    return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers as ArrayLike<number>);
  }

  /** Values in the narrowest JavaScript array that holds them (64-bit integers as doubles). */
  toNumbers(): Exclude<NumericArray, BigInt64Array | BigUint64Array> {
    return decodeNumbers(this.dtype, this.alignedBytes());
  }

  private alignedBytes(scratch?: ArrayBuffer): Uint8Array {
    if (!this.isContiguous || this.dtype === 'string') return this.toBytes();
    const fits = scratch !== undefined && scratch.byteLength >= this.byteLength;
    const bytes = fits ? new Uint8Array(scratch, 0, this.byteLength) : new Uint8Array(this.byteLength);
    this.source.readInto(bytes, (this.start * bitsOf(this.dtype)) / 8);
    return bytes;
  }

  private get isContiguous(): boolean {
    let expected = 1;
    for (let axis = this.shape.length - 1; axis >= 0; axis--) {
      const walk = this.axes[axis];
      if (this.shape[axis] !== 1 && !('stride' in walk && walk.stride === expected)) return false;
      if (this.shape[axis] === 1 && 'offsets' in walk && walk.offsets[0] !== 0) return false;
      expected *= this.shape[axis];
    }
    return true;
  }

  private derive(shape: readonly number[], axes: readonly AxisWalk[]): Tensor {
    return new Tensor(this.dtype, shape, this.source, this.start, axes);
  }

  private requireAddressable(verb: string): void {
    if (bitsOf(this.dtype) < 8)
      throw badGraph(`a ${this.dtype} tensor cannot be ${verb}: its elements are not whole bytes`);
  }

  /** Copies the view's elements, row-major, into `out`. */
  private gather(out: Uint8Array): void {
    if (out.length) gather(this.source, bitsOf(this.dtype) / 8, this.start, this.shape, this.axes, out);
  }
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

function rowMajor(shape: readonly number[]): AxisWalk[] {
  const axes: AxisWalk[] = [];
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    axes[axis] = { stride };
    stride *= shape[axis];
  }
  return axes;
}

/** `bytes` must start at a multiple of the element size in its buffer. */
function decodeNumbers(dtype: DataType, bytes: Uint8Array): Exclude<NumericArray, BigInt64Array | BigUint64Array> {
  const { buffer, byteOffset, byteLength: size } = bytes;
  switch (dtype) {
    case 'f32':
      return new Float32Array(buffer, byteOffset, size / 4);
    case 'f64':
      return new Float64Array(buffer, byteOffset, size / 8);
    case 'f16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, size / 2), halfToFloat);
    case 'bf16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, size / 2), bfloatToFloat);
    case 'i8':
      return new Int8Array(buffer, byteOffset, size);
    case 'u8':
    case 'bool':
      return new Uint8Array(buffer, byteOffset, size);
    case 'i16':
      return new Int16Array(buffer, byteOffset, size / 2);
    case 'u16':
      return new Uint16Array(buffer, byteOffset, size / 2);
    case 'i32':
      return new Int32Array(buffer, byteOffset, size / 4);
    case 'u32':
      return new Uint32Array(buffer, byteOffset, size / 4);
    case 'i64':
      return bigToDouble(new BigInt64Array(buffer, byteOffset, size / 8));
    case 'u64':
      return bigToDouble(new BigUint64Array(buffer, byteOffset, size / 8));
    default:
      throw badGraph(`values of type ${dtype} cannot be computed with`);
  }
}

function bigToDouble(values: BigInt64Array | BigUint64Array): Float64Array {
  const out = new Float64Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = Number(values[i]);
  return out;
}

function encodeNumbers(dtype: DataType, values: ArrayLike<number>): Uint8Array {
  const array = arrayFor(dtype, values);
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** INT64_MAX, which ONNX uses for "to the end", rounds up as a double and would wrap around. */
function clampBig(value: number, low: bigint, high: bigint): bigint {
  const big = BigInt(value);
  return big < low ? low : big > high ? high : big;
}

function arrayFor(dtype: DataType, values: ArrayLike<number>): NumericArray {
  switch (dtype) {
    case 'f32':
      return Float32Array.from(values);
    case 'f64':
      return Float64Array.from(values);
    case 'f16':
      return Uint16Array.from(values, floatToHalf);
    case 'bf16':
      return Uint16Array.from(values, floatToBfloat);
    case 'i8':
      return Int8Array.from(values);
    case 'u8':
    case 'bool':
      return Uint8Array.from(values);
    case 'i16':
      return Int16Array.from(values);
    case 'u16':
      return Uint16Array.from(values);
    case 'i32':
      return Int32Array.from(values);
    case 'u32':
      return Uint32Array.from(values);
    case 'i64':
      return BigInt64Array.from(Array.from(values, (value) => clampBig(value, -(2n ** 63n), 2n ** 63n - 1n)));
    case 'u64':
      return BigUint64Array.from(Array.from(values, (value) => clampBig(value, 0n, 2n ** 64n - 1n)));
    default:
      throw badGraph(`values cannot be stored as ${dtype}`);
  }
}
