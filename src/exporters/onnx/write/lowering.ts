import { cannotExport } from '../../../errors.js';
import type { AttributeToWrite } from '../../../formats/onnx/write.js';
import type { AttributeValue, Node } from '../../../ir/graph.js';
import { Tensor } from '../../../ir/tensor.js';
import type { DataType, ValueType } from '../../../ir/types.js';
import { type AttributeSpec, resolveAttributes } from '../../../ops/attributes.js';
import { codeOfDataType } from '../../../ops/data-type.js';
import { operators } from '../../../ops/index.js';

/** A node of the file to be. */
export interface NodeToEncode {
  readonly opType: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: readonly AttributeToWrite[];
}

/** What a writer may ask about the graph. */
export interface ExportScope {
  /** Version of the standard operators that is written. */
  readonly opset: number;
  type(value: string): ValueType;
  constant(value: string): Tensor | undefined;
  /** A name that no value has yet; it is taken from then on. */
  fresh(base: string): string;
}

/** Says one node of the graph with the operators of the version that is written, as one node or as several. */
export class Lowering {
  readonly nodes: NodeToEncode[] = [];
  readonly constants = new Map<string, Tensor>();
  readonly opset: number;
  /** The node's attributes with the defaults filled in. */
  readonly resolved: Readonly<Record<string, AttributeValue | undefined>>;

  constructor(
    readonly node: Node,
    private readonly scope: ExportScope,
  ) {
    this.opset = scope.opset;
    this.resolved = resolveAttributes(tableOf(node.op), node.attributes);
  }

  input(index: number): string {
    return this.node.inputs[index] ?? '';
  }

  type(input: number): ValueType {
    const name = this.input(input);
    return name === '' ? { dtype: null, shape: null } : this.scope.type(name);
  }

  /** The element type of the first input, which decomposed operators need for their constants. */
  get dtype(): DataType {
    return this.type(0).dtype ?? this.fail('the type of its input is not known');
  }

  rank(input = 0): number {
    return this.type(input).shape?.length ?? this.fail('the rank of its input is not known');
  }

  constant(input: number): Tensor | undefined {
    return this.scope.constant(this.input(input));
  }

  /** The integers of a constant operand; an operand that is computed is refused. */
  integers(input: number): number[] | undefined {
    if (this.input(input) === '') return undefined;
    const tensor =
      this.constant(input) ?? this.fail(`'${this.input(input)}' is computed, and must be a constant there`);
    return Array.from(tensor.toNumbers() as ArrayLike<number>);
  }

  number(name: string): number {
    return this.resolved[name] as number;
  }

  text(name: string): string {
    return this.resolved[name] as string;
  }

  /** Whether the attribute says what it says when it is not given: lists of ones are so in all windows. */
  holdsDefault(name: string): boolean {
    const value = this.node.attributes[name];
    if (Array.isArray(value)) return value.every((item) => item === 1);
    const spec = tableOf(this.node.op)[name];
    return value === undefined || (spec !== undefined && 'default' in spec && value === spec.default);
  }

  /** The attributes that the node gives, in the form of the file, without some of them. */
  given(without: readonly string[] = []): AttributeToWrite[] {
    const table = tableOf(this.node.op);
    return Object.entries(this.node.attributes)
      .filter(([name]) => !without.includes(name))
      .map(([name, value]) => attributeToWrite(name, table[name].kind, value));
  }

  /** A small constant made for this node. */
  addConstant(suffix: string, tensor: Tensor): string {
    const name = this.scope.fresh(`${this.node.outputs[0]}_${suffix}`);
    this.constants.set(name, tensor);
    return name;
  }

  /** A scalar of the first input's element type. */
  scalar(suffix: string, value: number): string {
    return this.addConstant(suffix, Tensor.encode(this.dtype, [], [value]));
  }

  /** A node within; returns its one output. */
  apply(opType: string, inputs: readonly string[], attributes: readonly AttributeToWrite[], suffix: string): string {
    const output = this.scope.fresh(`${this.node.outputs[0]}_${suffix}`);
    this.nodes.push({ opType, name: `${this.node.name}_${suffix}`, inputs, outputs: [output], attributes });
    return output;
  }

  /** The node that makes the outputs; returns the lowering, so that a writer can end with it. */
  finish(
    opType: string,
    inputs: readonly string[],
    attributes: readonly AttributeToWrite[],
    outputs: readonly string[] = this.node.outputs,
  ): this {
    const last = inputs.findLastIndex((name) => name !== '');
    this.nodes.push({ opType, name: this.node.name, inputs: inputs.slice(0, last + 1), outputs, attributes });
    return this;
  }

  fail(reason: string): never {
    throw cannotExport(this.node.op, this.node.name, `ONNX operator set ${this.opset}`, reason);
  }
}

function tableOf(op: string): Readonly<Record<string, AttributeSpec>> {
  return operators.get(op)?.attributes ?? {};
}

/** An attribute in the form of the file; `kind` is what its value does not say of itself. */
export function attributeToWrite(name: string, kind: AttributeSpec['kind'], value: AttributeValue): AttributeToWrite {
  switch (kind) {
    case 'int':
      return { name, i: value as number };
    case 'float':
      return { name, f: value as number };
    case 'string':
      return { name, s: value as string };
    case 'ints':
      return { name, ints: value as readonly number[] };
    case 'floats':
      return { name, floats: value as readonly number[] };
    case 'strings':
      return { name, strings: value as readonly string[] };
    case 'tensor': {
      const tensor = value as Tensor;
      return { name, t: tensorToWrite('', tensor) };
    }
  }
}

/** A tensor under a name; its bytes are read piece by piece when they are written. */
export function tensorToWrite(name: string, tensor: Tensor) {
  return {
    name,
    dims: tensor.shape,
    dataType: codeOfDataType(tensor.dtype),
    data: { length: tensor.byteLength, produce: () => tensor.chunks(PIECE) },
  };
}

const PIECE = 1 << 20;
