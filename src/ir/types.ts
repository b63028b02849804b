/** Element types of ONNX; the sub-byte and float8 types are carried through files but never computed with. */
export type DataType =
  | 'f32'
  | 'f16'
  | 'bf16'
  | 'f64'
  | 'i8'
  | 'u8'
  | 'i16'
  | 'u16'
  | 'i32'
  | 'u32'
  | 'i64'
  | 'u64'
  | 'bool'
  | 'string'
  | 'complex64'
  | 'complex128'
  | 'f8e4m3fn'
  | 'f8e4m3fnuz'
  | 'f8e5m2'
  | 'f8e5m2fnuz'
  | 'f8e8m0'
  | 'f4e2m1'
  | 'u4'
  | 'i4'
  | 'u2'
  | 'i2';

const BITS: Record<DataType, number> = {
  f32: 32,
  f16: 16,
  bf16: 16,
  f64: 64,
  i8: 8,
  u8: 8,
  i16: 16,
  u16: 16,
  i32: 32,
  u32: 32,
  i64: 64,
  u64: 64,
  bool: 8,
  string: 0,
  complex64: 64,
  complex128: 128,
  f8e4m3fn: 8,
  f8e4m3fnuz: 8,
  f8e5m2: 8,
  f8e5m2fnuz: 8,
  f8e8m0: 8,
  f4e2m1: 4,
  u4: 4,
  i4: 4,
  u2: 2,
  i2: 2,
};

export const DATA_TYPES = Object.keys(BITS) as DataType[];

/** Bits of one element; 0 for strings, whose elements have no fixed size. */
export function bitsOf(dtype: DataType): number {
  return BITS[dtype];
}

/** Bytes of `count` packed elements (sub-byte types round up to a whole byte). */
export function byteLength(dtype: DataType, count: number): number {
  return Math.ceil((count * BITS[dtype]) / 8);
}

const FLOATS: ReadonlySet<DataType> = new Set(['f32', 'f16', 'bf16', 'f64']);
const INTEGERS: ReadonlySet<DataType> = new Set(['i8', 'u8', 'i16', 'u16', 'i32', 'u32', 'i64', 'u64']);

export function isFloat(dtype: DataType | null): boolean {
  return dtype !== null && FLOATS.has(dtype);
}

export function isInteger(dtype: DataType | null): boolean {
  return dtype !== null && INTEGERS.has(dtype);
}

/** A dimension: a number, or the text of a symbolic expression over the interface's named dimensions. */
export type Dim = number | string;

export type Shape = readonly Dim[];

/** What is known of a value: `null` says that the type or the rank is unknown (behind an Opaque node). */
export interface ValueType {
  readonly dtype: DataType | null;
  readonly shape: Shape | null;
}

/** The elements of a small integer (or scale) tensor, as far as they are known while shapes are computed. */
export interface KnownValue {
  /** 0-D or 1-D in practice. */
  readonly shape: readonly number[];
  /** Row-major; symbolic elements are expressions over named dimensions, fractions occur in Resize scales. */
  readonly elements: readonly Dim[];
}
