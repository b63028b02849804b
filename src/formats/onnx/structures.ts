import type { Range } from '../bytes.js';
import type { Integer } from './wire.js';

// What a model file says, one structure a message. `raw` is where a message's payload lies in the file; `other` is where
// the fields lie that the structure does not hold (tag and all), so that they can be written back as they came.

export interface OnnxModel {
  irVersion: number;
  /** Version of each operator set by its domain; the standard domain is the empty string. */
  opsets: Map<string, number>;
  producerName: string;
  producerVersion: string;
  graph: OnnxGraph;
  functions: OnnxFunction[];
  metadata: [key: string, value: string][];
  other: Range[];
}

export interface OnnxGraph {
  name: string;
  nodes: OnnxNode[];
  initializers: OnnxTensor[];
  sparseInitializers: OnnxSparseTensor[];
  inputs: OnnxValueInfo[];
  outputs: OnnxValueInfo[];
  valueInfo: OnnxValueInfo[];
  other: Range[];
}

export interface OnnxNode {
  name: string;
  opType: string;
  domain: string;
  /** Distinguishes functions of one name; empty for operators. */
  overload: string;
  /** Names of values; an empty one is an optional input that is left out. */
  inputs: string[];
  outputs: string[];
  attributes: Map<string, OnnxAttribute>;
  /** Names that subgraphs of this node use and do not define, each once. */
  implicitInputs: string[];
  raw: Range;
  other: Range[];
}

/** The field that goes with `type` is set; the others are not. */
export interface OnnxAttribute {
  name: string;
  /** An `AttributeProto.AttributeType`; inferred from the fields for old files that do not say it. */
  type: number;
  i?: Integer;
  f?: number;
  /** Absent when it is longer than 1 MiB; it then lies in `raw` only. */
  s?: Uint8Array;
  t?: OnnxTensor;
  g?: OnnxGraph;
  ints?: Integer[];
  floats?: number[];
  strings?: Uint8Array[];
  tensors?: OnnxTensor[];
  graphs?: OnnxGraph[];
  /** In a function's body: the attribute of the function that gives the value. */
  reference?: string;
  raw: Range;
}

export interface OnnxTensor {
  name: string;
  dims: number[];
  /** A `TensorProto.DataType`; see `DATA_TYPES`. */
  dataType: number;
  location: TensorLocation;
  raw: Range;
}

export type TensorLocation =
  /** Little-endian elements, as they will be in memory. */
  | { kind: 'raw'; start: number; length: number }
  /** Elements in a typed field (varints, or several runs), to be decoded from the tensor's `raw` range. */
  | { kind: 'typed'; field: number }
  /** Elements in another file; `length` is null where the model does not say it. */
  | { kind: 'external'; location: string; offset: number; length: number | null };

export interface OnnxSparseTensor {
  name: string;
  raw: Range;
}

export interface OnnxValueInfo {
  name: string;
  /** A `TensorProto.DataType`, or null for a value that is no tensor or has no type. */
  elemType: number | null;
  /** Null for an unknown rank; a dimension is a number, a symbol, or null for unknown. */
  dims: (number | string | null)[] | null;
  raw: Range;
}

export interface OnnxFunction {
  name: string;
  domain: string;
  overload: string;
  inputs: string[];
  outputs: string[];
  /** Attributes that a call must give, and those that have a default. */
  attributes: string[];
  defaults: Map<string, OnnxAttribute>;
  opsets: Map<string, number>;
  nodes: OnnxNode[];
  raw: Range;
}
