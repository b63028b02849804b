import { badGraph, CompressError, messageOf } from '../errors.js';
import { type Attributes, Graph, type GraphOrigin, type Node, OPAQUE } from './graph.js';
import type { Call, Operand, Semantics } from './semantics.js';
import type { Tensor } from './tensor.js';
import { isFloat, type KnownValue, type ValueType } from './types.js';

/** Shape arithmetic works on small tensors; larger integer constants (index tables) are never read for it. */
const KNOWN_LIMIT = 1024;

export interface BuilderOptions {
  readonly name?: string;
  readonly metadata?: ReadonlyMap<string, string>;
  readonly origin?: GraphOrigin;
}

/** Builds a graph node by node; shapes are checked as each node is added, so an ill-typed graph cannot be built. */
export class GraphBuilder {
  readonly #nodes: Node[] = [];
  readonly #constants = new Map<string, Tensor>();
  readonly #types = new Map<string, ValueType>();
  readonly #known = new Map<string, KnownValue | undefined>();
  readonly #inputs: string[] = [];
  readonly #reserved = new Set<string>();

  constructor(
    private readonly semantics: Semantics,
    private readonly options: BuilderOptions = {},
  ) {}

  /** Names that fresh names must not take, e.g. those of the graph that is being replayed. */
  reserve(names: Iterable<string>): void {
    for (const name of names) this.#reserved.add(name);
  }

  input(name: string, type: ValueType): string {
    this.#define(name, type);
    this.#inputs.push(name);
    return name;
  }

  constant(name: string, tensor: Tensor): string {
    this.#define(name, { dtype: tensor.dtype, shape: tensor.shape });
    this.#constants.set(name, tensor);
    return name;
  }

  has(value: string): boolean {
    return this.#types.has(value);
  }

  type(value: string): ValueType {
    const type = this.#types.get(value);
    if (!type) throw badGraph(`value '${value}' is used before anything makes it`);
    return type;
  }

  /** Adds a node whose output names are given; `types` replaces inference for opaque nodes. */
  add(node: Node, types?: readonly ValueType[]): readonly string[] {
    for (const value of [...node.inputs, ...(node.captures ?? [])]) if (value !== '') this.type(value);
    if (node.op === OPAQUE) {
      node.outputs.forEach((output, i) => {
        if (output !== '') this.#define(output, types?.[i] ?? { dtype: null, shape: null });
      });
    } else {
      const inferred = this.#infer(node);
      node.outputs.forEach((output, i) => {
        if (output === '') return;
        this.#define(output, inferred[i].type);
        if (inferred[i].known) this.#known.set(output, inferred[i].known);
      });
    }
    this.#nodes.push(node);
    return node.outputs;
  }

  /** Adds a one-output node and returns its value; the output is named after `name` unless that is taken. */
  apply(op: string, inputs: readonly string[], attributes: Attributes = {}, name = op.toLowerCase()): string {
    const output = this.fresh(name);
    return this.add({ op, name: output, inputs, outputs: [output], attributes })[0];
  }

  /** A name that no value has, nor any reserved one. */
  fresh(base: string): string {
    let name = base;
    for (let i = 1; this.#types.has(name) || this.#reserved.has(name); i++) name = `${base}_${i}`;
    return name;
  }

  /** The finished graph; nodes and constants that no output needs are left out. */
  build(outputs: readonly string[]): Graph {
    for (const output of outputs) this.type(output);
    const { nodes, used } = reachable(this.#nodes, outputs);
    const keep = <T>(map: ReadonlyMap<string, T>) => new Map([...map].filter(([name]) => used.has(name)));
    return new Graph({
      name: this.options.name ?? 'graph',
      inputs: this.#inputs,
      outputs,
      nodes,
      constants: keep(this.#constants),
      types: new Map([...this.#types].filter(([name]) => used.has(name) || this.#inputs.includes(name))),
      known: new Map([...this.#known].filter((entry): entry is [string, KnownValue] => entry[1] !== undefined)),
      metadata: this.options.metadata ?? new Map(),
      origin: this.options.origin,
    });
  }

  /** The node's operands as inference sees them. */
  call(node: Node): Call {
    return {
      inputs: node.inputs.map((input) => (input === '' ? undefined : this.#operand(input))),
      attributes: node.attributes,
      outputCount: node.outputs.length,
    };
  }

  #infer(node: Node) {
    try {
      return this.semantics.infer(node.op, this.call(node));
    } catch (error) {
      if (!(error instanceof CompressError)) throw error;
      throw new CompressError(error.code, `${node.op} node '${node.name}': ${messageOf(error)}`, {
        ...error.where,
        node: node.name,
        op: node.op,
      });
    }
  }

  #operand(name: string): Operand {
    return { name, type: this.type(name), known: () => this.#knownValue(name), constant: this.#constants.get(name) };
  }

  #knownValue(name: string): KnownValue | undefined {
    if (!this.#known.has(name)) this.#known.set(name, knownConstant(this.#constants.get(name)));
    return this.#known.get(name);
  }

  #define(name: string, type: ValueType): void {
    if (name === '') throw badGraph('a value must have a name');
    if (this.#types.has(name)) throw badGraph(`two values are called '${name}'`);
    this.#types.set(name, type);
  }
}

/** The elements of a small numeric constant; undefined for anything else. */
export function knownConstant(tensor: Tensor | undefined): KnownValue | undefined {
  if (!tensor || tensor.size > (isFloat(tensor.dtype) ? 16 : KNOWN_LIMIT) || tensor.dtype === 'string')
    return undefined;
  return { shape: tensor.shape, elements: [...(tensor.toNumbers() as Iterable<number>)] };
}

function reachable(nodes: readonly Node[], outputs: readonly string[]): { nodes: Node[]; used: Set<string> } {
  const used = new Set(outputs);
  const kept: Node[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i];
    if (!node.outputs.some((output) => used.has(output))) continue;
    kept.push(node);
    for (const value of [...node.inputs, ...node.outputs, ...(node.captures ?? [])]) if (value !== '') used.add(value);
  }
  return { nodes: kept.reverse(), used };
}
