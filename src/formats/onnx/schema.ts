// Facts of onnx.proto: field numbers and enumerations. onnx-proto's generated classes hold the older of the enumerations,
// but take longer to load than a whole model; a test holds these tables to them.

export const AttributeType = {
  UNDEFINED: 0,
  FLOAT: 1,
  INT: 2,
  STRING: 3,
  TENSOR: 4,
  GRAPH: 5,
  FLOATS: 6,
  INTS: 7,
  STRINGS: 8,
  TENSORS: 9,
  GRAPHS: 10,
  SPARSE_TENSOR: 11,
  SPARSE_TENSORS: 12,
  TYPE_PROTO: 13,
  TYPE_PROTOS: 14,
} as const;

export const MODEL = {
  irVersion: 1,
  producerName: 2,
  producerVersion: 3,
  graph: 7,
  opsetImport: 8,
  metadata: 14,
  functions: 25,
} as const;

export const GRAPH = {
  node: 1,
  name: 2,
  initializer: 5,
  input: 11,
  output: 12,
  valueInfo: 13,
  sparseInitializer: 15,
} as const;

export const NODE = { input: 1, output: 2, name: 3, opType: 4, attribute: 5, domain: 7, overload: 8 } as const;

export const ATTRIBUTE = {
  name: 1,
  f: 2,
  i: 3,
  s: 4,
  t: 5,
  g: 6,
  floats: 7,
  ints: 8,
  strings: 9,
  tensors: 10,
  graphs: 11,
  typeProto: 14,
  typeProtos: 15,
  type: 20,
  reference: 21,
  sparseTensor: 22,
  sparseTensors: 23,
} as const;

export const TENSOR = {
  dims: 1,
  dataType: 2,
  floatData: 4,
  int32Data: 5,
  stringData: 6,
  int64Data: 7,
  name: 8,
  rawData: 9,
  doubleData: 10,
  uint64Data: 11,
  externalData: 13,
  dataLocation: 14,
} as const;

export const SPARSE_TENSOR = { values: 1 } as const;
export const VALUE_INFO = { name: 1, type: 2 } as const;
export const TYPE = { tensor: 1 } as const;
export const TENSOR_TYPE = { elemType: 1, shape: 2 } as const;
export const SHAPE = { dim: 1 } as const;
export const DIMENSION = { value: 1, symbol: 2 } as const;
export const OPERATOR_SET = { domain: 1, version: 2 } as const;
export const ENTRY = { key: 1, value: 2 } as const;

export const FUNCTION = {
  name: 1,
  input: 4,
  output: 5,
  attribute: 6,
  node: 7,
  opsetImport: 9,
  domain: 10,
  defaults: 11,
  overload: 13,
} as const;

/** `TensorProto.DataLocation.EXTERNAL`. */
export const EXTERNAL = 1;

export interface DataTypeFacts {
  readonly name: string;
  /** Bits of an element in raw data, where sub-byte elements are packed from the low end of a byte. */
  readonly bits: number;
  /** The typed field of TensorProto that holds such elements: one entry each, two for complex, one a byte for sub-byte. */
  readonly field: number;
}

const { floatData, int32Data, stringData, int64Data, doubleData, uint64Data } = TENSOR;
const facts = (name: string, bits: number, field: number): DataTypeFacts => ({ name, bits, field });

/** Element types by `TensorProto.DataType`; codes from 17 on came with ONNX 1.14 to 1.20. */
export const DATA_TYPES: ReadonlyMap<number, DataTypeFacts> = new Map([
  [1, facts('FLOAT', 32, floatData)],
  [2, facts('UINT8', 8, int32Data)],
  [3, facts('INT8', 8, int32Data)],
  [4, facts('UINT16', 16, int32Data)],
  [5, facts('INT16', 16, int32Data)],
  [6, facts('INT32', 32, int32Data)],
  [7, facts('INT64', 64, int64Data)],
  [8, facts('STRING', 0, stringData)],
  [9, facts('BOOL', 8, int32Data)],
  [10, facts('FLOAT16', 16, int32Data)],
  [11, facts('DOUBLE', 64, doubleData)],
  [12, facts('UINT32', 32, uint64Data)],
  [13, facts('UINT64', 64, uint64Data)],
  [14, facts('COMPLEX64', 64, floatData)],
  [15, facts('COMPLEX128', 128, doubleData)],
  [16, facts('BFLOAT16', 16, int32Data)],
  [17, facts('FLOAT8E4M3FN', 8, int32Data)],
  [18, facts('FLOAT8E4M3FNUZ', 8, int32Data)],
  [19, facts('FLOAT8E5M2', 8, int32Data)],
  [20, facts('FLOAT8E5M2FNUZ', 8, int32Data)],
  [21, facts('UINT4', 4, int32Data)],
  [22, facts('INT4', 4, int32Data)],
  [23, facts('FLOAT4E2M1', 4, int32Data)],
  [24, facts('FLOAT8E8M0', 8, int32Data)],
  [25, facts('UINT2', 2, int32Data)],
  [26, facts('INT2', 2, int32Data)],
]);
