import type { Bytes } from './bytes.js';
import type { Tensor } from './tensor.js';
import type { KnownValue, ValueType } from './types.js';

export type AttributeValue = number | string | readonly number[] | readonly string[] | Tensor;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** An operator without a definition: carried through untouched, every axis that reaches it is fixed. */
export const OPAQUE = 'Opaque';

/**
 * How a node stood in its file. An exporter of the same format writes an untouched node back as it came; a pass that
 * changes a node makes a new one without an origin.
 */
interface NodeOrigin {
  readonly format: string;
  /** The operator's name in the file, e.g. `Upsample` where the IR says `Resize`. */
  readonly op: string;
  readonly domain: string;
  readonly encoded: Bytes;
}

/**
 * An operator that the table does not define and that no file stands behind, e.g. one of a runtime's own. An exporter
 * writes the node from its attributes.
 */
export interface ForeignOperator {
  readonly op: string;
  /** Operator set; '' is the standard one. */
  readonly domain: string;
  /** The version of the operator set that the node is written for. */
  readonly version: number;
  /** Names of the attributes whose numbers are floats; those of all others are integers. */
  readonly floats: readonly string[];
}

export interface Node {
  /** Name of an operator definition, or `Opaque`. */
  readonly op: string;
  readonly name: string;
  /** Value names; '' stands for an optional input that is absent. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Only what the model gave; defaults stand in the operator's definition. */
  readonly attributes: Attributes;
  /** Values that a nested subgraph of an opaque node reads from this graph. */
  readonly captures?: readonly string[];
  readonly origin?: NodeOrigin;
  /** Which operator an opaque node is that comes from no file. */
  readonly foreign?: ForeignOperator;
}

/** An opaque node that comes from no file; its output types must be given to the builder. Named after its first output. */
export function foreignNode({
  op,
  domain,
  version,
  inputs,
  outputs,
  attributes = {},
  floats = [],
}: Omit<ForeignOperator, 'floats'> &
  Pick<Node, 'inputs' | 'outputs'> &
  Partial<Pick<Node, 'attributes'> & Pick<ForeignOperator, 'floats'>>): Node {
  return { op: OPAQUE, name: outputs[0], inputs, outputs, attributes, foreign: { op, domain, version, floats } };
}

/** What a format keeps about the file as a whole, e.g. opsets and unknown fields; only its own exporter looks inside. */
export interface GraphOrigin {
  readonly format: string;
  readonly [detail: string]: unknown;
}

export interface Reader {
  readonly node: Node;
  /** Which input of the node. */
  readonly index: number;
}

export interface GraphParts {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly Node[];
  readonly constants: ReadonlyMap<string, Tensor>;
  readonly types: ReadonlyMap<string, ValueType>;
  /** Elements of small integer values, as far as inference could follow them. */
  readonly known: ReadonlyMap<string, KnownValue>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly origin?: GraphOrigin;
}

/** A network in ONNX semantics: immutable, nodes in topological order, every value typed. */
export class Graph implements GraphParts {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly Node[];
  readonly constants: ReadonlyMap<string, Tensor>;
  readonly types: ReadonlyMap<string, ValueType>;
  readonly known: ReadonlyMap<string, KnownValue>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly origin?: GraphOrigin;

  #producers?: Map<string, Node>;
  #readers?: Map<string, Reader[]>;

  constructor(parts: GraphParts) {
    this.name = parts.name;
    this.inputs = parts.inputs;
    this.outputs = parts.outputs;
    this.nodes = parts.nodes;
    this.constants = parts.constants;
    this.types = parts.types;
    this.known = parts.known;
    this.metadata = parts.metadata;
    this.origin = parts.origin;
  }

  /** The node that makes a value; undefined for inputs and constants. */
  producer(value: string): Node | undefined {
    this.#producers ??= new Map(this.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
    return this.#producers.get(value);
  }

  /** Where a value is read; a node that reads it twice stands twice. Captures count with index -1. */
  readers(value: string): readonly Reader[] {
    if (!this.#readers) {
      this.#readers = new Map();
      for (const node of this.nodes) {
        for (const [index, input] of node.inputs.entries()) this.#addReader(input, { node, index });
        for (const captured of node.captures ?? []) this.#addReader(captured, { node, index: -1 });
      }
    }
    return this.#readers.get(value) ?? [];
  }

  /** Whether the value is read by one node only and is no output of the graph: then its maker may change it. */
  hasOneReader(value: string): boolean {
    return this.readers(value).length === 1 && !this.outputs.includes(value);
  }

  /** The type of a value; unknown for a name that the graph does not have. */
  type(value: string): ValueType {
    return this.types.get(value) ?? { dtype: null, shape: null };
  }

  /** The same graph with other parts. */
  with(parts: Partial<GraphParts>): Graph {
    return new Graph({ ...this, ...parts });
  }

  #addReader(value: string, reader: Reader): void {
    if (value === '') return;
    const list = this.#readers?.get(value);
    if (list) list.push(reader);
    else this.#readers?.set(value, [reader]);
  }
}
