/** Numbers of the TFLite schema, version 3: facts that its file schema.fbs states. */

export const TENSOR_TYPES = {
  float32: 0,
  float16: 1,
  int32: 2,
  uint8: 3,
  int64: 4,
  bool: 6,
  int16: 7,
  int8: 9,
} as const;
export type TfliteType = keyof typeof TENSOR_TYPES;

export const PADDINGS = { same: 0, valid: 1 } as const;
export const ACTIVATIONS = { none: 0, relu: 1, relu6: 3 } as const;

/** Places of the kinds of options in the union BuiltinOptions. */
export const OPTIONS = {
  Conv2D: 1,
  DepthwiseConv2D: 2,
  Pool2D: 5,
  FullyConnected: 8,
  Softmax: 9,
  Concatenation: 10,
  Add: 11,
  ResizeBilinear: 15,
  SpaceToDepth: 19,
  Mul: 21,
  Gather: 23,
  Reducer: 27,
  Sub: 28,
  Div: 29,
  StridedSlice: 32,
  Cast: 37,
  ArgMax: 40,
  TransposeConv: 49,
  ArgMin: 57,
  ResizeNearestNeighbor: 74,
  LeakyRelu: 75,
  MirrorPad: 77,
  DepthToSpace: 94,
  BatchMatMul: 101,
  Conv3D: 106,
  Gelu: 116,
} as const;

/** Field numbers of the tables. */
export const MODEL = {
  version: 0,
  operatorCodes: 1,
  subgraphs: 2,
  description: 3,
  buffers: 4,
  metadata: 6,
  signatures: 7,
} as const;
export const OPERATOR_CODE = { deprecatedCode: 0, version: 2, code: 3 } as const;
export const SUBGRAPH = { tensors: 0, inputs: 1, outputs: 2, operators: 3, name: 4 } as const;
export const TENSOR = { shape: 0, type: 1, buffer: 2, name: 3, hasRank: 8 } as const;
export const OPERATOR = { codeIndex: 0, inputs: 1, outputs: 2, optionsType: 3, options: 4 } as const;
export const BUFFER = { data: 0 } as const;
export const METADATA = { name: 0, buffer: 1 } as const;
export const SIGNATURE = { inputs: 0, outputs: 1, key: 2, subgraph: 4 } as const;
export const SIGNATURE_ENTRY = { name: 0, tensor: 1 } as const;

export const FILE_IDENTIFIER = 'TFL3';
export const SCHEMA_VERSION = 3;
