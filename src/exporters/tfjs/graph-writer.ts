import {
  shapeOf,
  type TfjsAttributes,
  type TfjsInterface,
  type TfjsNode,
  type TfjsType,
  type TfjsWeight,
  typeAttribute,
} from '../../formats/tfjs/model.js';
import { Tensor } from '../../ir/tensor.js';
import type { OperationKind, OperationOf, Program, ProgramInterface, ProgramValue } from '../lowering/operations.js';
import { tfjsType, weightData } from './weights.js';

/** A node without a name. */
export interface Call {
  readonly op: string;
  /** Names of nodes. */
  readonly inputs: readonly string[];
  readonly attributes?: TfjsAttributes;
}

/** How an operation is said: adds all nodes but the last one, which is returned. */
export type Writer<K extends OperationKind> = (operation: OperationOf<K>, graph: GraphWriter) => Call;

/** Collects the nodes and weights of a graph model. */
export class GraphWriter {
  readonly nodes: TfjsNode[] = [];
  readonly weights: TfjsWeight[] = [];
  /** Loaders keep nodes in plain objects, which have these names already. */
  private readonly taken = new Set(Object.getOwnPropertyNames(Object.prototype));
  private readonly nodeOf = new Map<string, string>();

  constructor(private readonly program: Program) {}

  value(name: string): ProgramValue {
    const value = this.program.values.get(name);
    if (!value) throw new Error(`the program has no value '${name}'`);
    return value;
  }

  shape(name: string): readonly number[] {
    return this.value(name).shape;
  }

  type(name: string): TfjsType {
    return tfjsType(this.value(name).dtype);
  }

  input({ name, value }: ProgramInterface): TfjsInterface {
    const dtype = this.type(value);
    const shape = this.shape(value);
    const attr = { dtype: typeAttribute(dtype), shape: { shape: shapeOf(shape) } };
    const node = this.define(value, { op: 'Placeholder', inputs: [], attributes: attr });
    return { name, node, dtype, shape };
  }

  output({ name, value }: ProgramInterface): TfjsInterface {
    return { name, node: this.read(value), dtype: this.type(value), shape: this.shape(value) };
  }

  /** The node that makes a value of the program; a constant becomes one when it is first read. */
  read(value: string): string {
    const node = this.nodeOf.get(value);
    if (node !== undefined) return node;
    const { tensor } = this.value(value);
    if (!tensor) throw new Error(`the value '${value}' is read before it is made`);
    return this.arranged(value, value, () => tensor);
  }

  readAll(values: readonly string[]): string[] {
    return values.map((value) => this.read(value));
  }

  /** A constant of the program with its axes in another order. */
  permuted(value: string, order: readonly number[]): string {
    return this.arranged(`${value} ${order}`, value, (tensor) => tensor.permute(order));
  }

  /** A constant of the program in another shape. */
  reshaped(value: string, shape: readonly number[]): string {
    return this.arranged(`${value} as ${shape}`, value, (tensor) => tensor.reshape(shape));
  }

  integers(base: string, values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(base, Tensor.encode('i32', shape, values));
  }

  integer(base: string, value: number): string {
    return this.constant(base, Tensor.encode('i32', [], [value]));
  }

  floats(base: string, values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(base, Tensor.floats(values, shape));
  }

  /** Adds a node whose result is no value of the program. */
  add(base: string, call: Call): string {
    return this.append(this.fresh(base), call);
  }

  /** Adds the node that makes a value of the program. */
  define(value: string, call: Call): string {
    const node = this.append(this.fresh(value), call);
    this.nodeOf.set(value, node);
    return node;
  }

  private arranged(key: string, value: string, arrange: (tensor: Tensor) => Tensor): string {
    const known = this.nodeOf.get(key);
    if (known !== undefined) return known;
    const { tensor } = this.value(value);
    if (!tensor) throw new Error(`the value '${value}' is no constant`);
    const node = this.constant(value, arrange(tensor));
    this.nodeOf.set(key, node);
    return node;
  }

  private constant(base: string, tensor: Tensor): string {
    const isHalf = tensor.dtype === 'f16';
    const dtype = isHalf ? 'float32' : tfjsType(tensor.dtype as ProgramValue['dtype']);
    const name = this.add(base, { op: 'Const', inputs: [], attributes: { dtype: typeAttribute(dtype) } });
    this.weights.push({ name, shape: tensor.shape, dtype, isHalf, data: weightData(tensor) });
    return name;
  }

  private append(name: string, { op, inputs, attributes }: Call): string {
    this.nodes.push({ name, op, ...(inputs.length > 0 && { input: inputs }), attr: attributes ?? {} });
    return name;
  }

  /** A name that TensorFlow takes for a node, and that no other node has. */
  private fresh(base: string): string {
    const legal = base.replace(/[^A-Za-z0-9_./-]/g, '_').replace(/^[^A-Za-z0-9.]/, 'value$&') || 'value';
    let name = legal;
    for (let i = 1; this.taken.has(name); i++) name = `${legal}_${i}`;
    this.taken.add(name);
    return name;
  }
}
