import type { Attributes, AttributeValue } from '../../../ir/graph.js';
import type { Tensor } from '../../../ir/tensor.js';
import type { ValueType } from '../../../ir/types.js';

/** A node of the file with its attributes read. */
export interface FileNode {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

/** A node of the graph to be. */
export interface NewNode {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

/** What a rule may ask about the graph so far. */
export interface LiftScope {
  type(value: string): ValueType;
  constant(value: string): Tensor | undefined;
  /** Whether anything reads the value, or the graph gives it out. */
  isRead(value: string): boolean;
  fresh(base: string): string;
}

/**
 * How an operator of a certain version is said with the signatures of operator set 21. A rule answers false, before it
 * adds anything, where that cannot be said; the node is then carried through as it is.
 */
export type Lift = (lifting: Lifting) => boolean;

/** What becomes of one node: nodes with canonical signatures, and constants in place of attributes. */
export class Lifting {
  readonly nodes: NewNode[] = [];
  readonly constants = new Map<string, Tensor>();

  constructor(
    readonly node: FileNode,
    private readonly scope: LiftScope,
  ) {}

  get rank(): number | null {
    return this.type(0).shape?.length ?? null;
  }

  type(input: number): ValueType {
    const name = this.input(input);
    return name === '' ? { dtype: null, shape: null } : this.scope.type(name);
  }

  input(index: number): string {
    return this.node.inputs[index] ?? '';
  }

  constant(input: number): Tensor | undefined {
    return this.scope.constant(this.input(input));
  }

  /** Whether anything reads the output. */
  isRead(output: number): boolean {
    const name = this.node.outputs[output];
    return name !== undefined && this.scope.isRead(name);
  }

  number(name: string): number | undefined {
    const value = this.node.attributes[name];
    return typeof value === 'number' ? value : undefined;
  }

  ints(name: string): readonly number[] | undefined {
    const value = this.node.attributes[name];
    return Array.isArray(value) && value.every(Number.isInteger) ? (value as readonly number[]) : undefined;
  }

  floats(name: string): readonly number[] | undefined {
    const value = this.node.attributes[name];
    return Array.isArray(value) && value.every((item) => typeof item === 'number') ? (value as number[]) : undefined;
  }

  text(name: string): string | undefined {
    const value = this.node.attributes[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** The attributes without some of them, and with others. */
  attributesWithout(names: readonly string[], added: Readonly<Record<string, AttributeValue>> = {}): Attributes {
    const kept = Object.entries(this.node.attributes).filter(([name]) => !names.includes(name));
    return { ...Object.fromEntries(kept), ...added };
  }

  /** A constant named after the node's first output. */
  addConstant(suffix: string, tensor: Tensor): string {
    const name = this.scope.fresh(`${this.node.outputs[0]}_${suffix}`);
    this.constants.set(name, tensor);
    return name;
  }

  /** A node within, whose one output gets a name of its own. */
  apply(op: string, inputs: readonly string[], attributes: Attributes, suffix: string): string {
    const output = this.scope.fresh(`${this.node.outputs[0]}_${suffix}`);
    this.nodes.push({ op, name: `${this.node.name}_${suffix}`, inputs, outputs: [output], attributes });
    return output;
  }

  /** The node that makes the original outputs; true, so that a rule can end with it. */
  finish(
    op: string,
    inputs: readonly string[],
    attributes: Attributes,
    outputs: readonly string[] = this.node.outputs,
  ): true {
    this.nodes.push({
      op,
      name: this.node.name,
      inputs: withoutTail(inputs),
      outputs: withoutTail(outputs),
      attributes,
    });
    return true;
  }
}

/** Absent operands at the end are left out. */
function withoutTail(names: readonly string[]): readonly string[] {
  const last = names.findLastIndex((name) => name !== '');
  return names.slice(0, last + 1);
}

/** The node as it is: its signature is the canonical one. */
export const unchanged: Lift = (lifting) => {
  const { op, inputs, attributes } = lifting.node;
  return lifting.finish(op, inputs, attributes);
};
