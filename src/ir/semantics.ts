import type { Attributes } from './graph.js';
import type { Tensor } from './tensor.js';
import type { KnownValue, ValueType } from './types.js';

/** One operand of a node while shapes are inferred. */
export interface Operand {
  /** Name of the value. */
  readonly name: string;
  readonly type: ValueType;
  /** The elements of a small integer or scale tensor, where known; read from the file when asked for. */
  readonly known: () => KnownValue | undefined;
  /** The constant itself, where the operand is one. */
  readonly constant?: Tensor;
}

/** A node's operands (undefined where an optional one is absent) and attributes. */
export interface Call {
  readonly inputs: readonly (Operand | undefined)[];
  readonly attributes: Attributes;
  /** How many outputs the node has. */
  readonly outputCount: number;
}

interface InferredValue {
  readonly type: ValueType;
  readonly known?: KnownValue;
}

/**
 * What the graph builder asks of the operator table; the table itself stands in src/ops.
 * `infer` throws (badNode) where operands and attributes do not go together.
 */
export interface Semantics {
  infer(op: string, call: Call): InferredValue[];
}
