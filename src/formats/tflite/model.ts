import type { Part } from '../files.js';
import type { Field } from '../flat-builder.js';
import type { TfliteType } from './schema.js';

export interface TfliteTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: TfliteType;
  /** Little-endian elements in row order, for a constant. */
  readonly data?: Part;
}

export interface TfliteOperator {
  /** Its name in the schema. */
  readonly op: string;
  readonly version: number;
  /** Places in the list of tensors. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly options?: TfliteOptions;
}

export interface TfliteOptions {
  /** Place in the union BuiltinOptions. */
  readonly type: number;
  readonly fields: readonly Field[];
}

/** An input or output: its name in the signature, and its place in the list of tensors. */
export interface TfliteInterface {
  readonly name: string;
  readonly tensor: number;
}

export interface TfliteModel {
  readonly description: string;
  readonly tensors: readonly TfliteTensor[];
  readonly operators: readonly TfliteOperator[];
  readonly inputs: readonly TfliteInterface[];
  readonly outputs: readonly TfliteInterface[];
  /** What stands beside the graph, by name. */
  readonly metadata: ReadonlyMap<string, Uint8Array>;
}
