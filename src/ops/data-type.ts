import { badNode } from '../errors.js';
import type { DataType } from '../ir/types.js';

/** Element types by the number that attributes such as Cast's `to` hold (TensorProto.DataType). */
const BY_CODE: ReadonlyMap<number, DataType> = new Map([
  [1, 'f32'],
  [2, 'u8'],
  [3, 'i8'],
  [4, 'u16'],
  [5, 'i16'],
  [6, 'i32'],
  [7, 'i64'],
  [8, 'string'],
  [9, 'bool'],
  [10, 'f16'],
  [11, 'f64'],
  [12, 'u32'],
  [13, 'u64'],
  [14, 'complex64'],
  [15, 'complex128'],
  [16, 'bf16'],
  [17, 'f8e4m3fn'],
  [18, 'f8e4m3fnuz'],
  [19, 'f8e5m2'],
  [20, 'f8e5m2fnuz'],
  [21, 'u4'],
  [22, 'i4'],
  [23, 'f4e2m1'],
  [24, 'f8e8m0'],
  [25, 'u2'],
  [26, 'i2'],
]);

/** The element type of an attribute's number; an unknown number is refused. */
export function dataTypeOfCode(attribute: string, code: number): DataType {
  const dtype = BY_CODE.get(code);
  if (!dtype) throw badNode(`attribute '${attribute}' is ${code}, which is no element type`);
  return dtype;
}

/** The element type of a TensorProto.DataType; null for a number that stands for none. */
export function knownDataType(code: number): DataType | null {
  return BY_CODE.get(code) ?? null;
}

const CODES: ReadonlyMap<DataType, number> = new Map([...BY_CODE].map(([code, dtype]) => [dtype, code]));

/** The TensorProto.DataType of an element type. */
export function codeOfDataType(dtype: DataType): number {
  return CODES.get(dtype) as number;
}
