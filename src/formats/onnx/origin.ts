import type { ByteSource } from '../bytes.js';

// What the importer notes about a file, so that the exporter can write back as it came what nothing has touched. Tensors
// and nodes stand here as plain objects: the exporter only asks whether they are still the same ones.

/** A field of a message as it stands in the file: tag, length and payload. */
export interface RawField {
  readonly number: number;
  readonly encoded: ByteSource;
}

/** A node of the file's main graph, and what it became; a call of a function may become many nodes. */
export interface SourceNode {
  /** Place in the file's list of nodes. */
  readonly index: number;
  readonly encoded: ByteSource;
  /** Values that the encoded node reads, by its inputs or within its subgraphs. */
  readonly reads: readonly string[];
  readonly makes: readonly string[];
  readonly became: readonly object[];
  /** Constants that stand for attributes of the encoded node, by name. */
  readonly constants: ReadonlyMap<string, object>;
  /** Whether the node calls one of the file's own functions. */
  readonly callsFunction: boolean;
}

export interface OnnxNodeOrigin {
  readonly format: 'onnx';
  readonly op: string;
  readonly domain: string;
  readonly overload: string;
  readonly encoded: ByteSource;
  /** Payloads of the attributes, and whole other fields; kept for a node without a definition only. */
  readonly attributes: readonly ByteSource[];
  readonly other: readonly RawField[];
  /** Version of the standard operators that the node was written for. */
  readonly opset: number;
  readonly hasSubgraph: boolean;
  readonly callsFunction: boolean;
  readonly source: SourceNode;
}

export interface SourceTensor {
  readonly tensor: object;
  readonly encoded: ByteSource;
  /** Place in the file's list of nodes; absent for an initializer. */
  readonly index?: number;
  /** Whether the data lies in a file beside the model, where a copy of the model would not find it. */
  readonly isExternal: boolean;
}

export interface SourceValueInfo {
  readonly encoded: ByteSource;
  /** The type that the value had when the file was imported; null for a value that the graph does not have. */
  readonly type: SourceType | null;
}

export interface SourceType {
  readonly dtype: string | null;
  readonly shape: readonly (number | string)[] | null;
}

/** A type alias, so that it passes for a record with any keys. */
export type OnnxGraphOrigin = {
  readonly format: 'onnx';
  readonly file: string;
  /** Paths of the files beside it that weights lie in. */
  readonly externalFiles: readonly string[];
  readonly irVersion: number;
  /** Version of the standard operators. */
  readonly opset: number;
  /** Version of each operator set by its domain; the standard one is the empty string. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly metadata: readonly (readonly [key: string, value: string])[];
  /** Operator sets, metadata and all fields without a place in the graph, in the order of the file. */
  readonly modelFields: readonly RawField[];
  readonly graphFields: readonly RawField[];
  readonly functions: readonly ByteSource[];
  /** Initializers and Constant nodes by the value that they give, in the order of the file. */
  readonly constants: ReadonlyMap<string, SourceTensor>;
  readonly inputInfos: ReadonlyMap<string, SourceValueInfo>;
  readonly outputInfos: ReadonlyMap<string, SourceValueInfo>;
  readonly valueInfos: ReadonlyMap<string, SourceValueInfo>;
  /** Text of each dimension's symbol in the file; null for a dimension that has none there. */
  readonly symbols: ReadonlyMap<string, string | null>;
  /** All names of values in the file; new values take others. */
  readonly names: ReadonlySet<string>;
};
