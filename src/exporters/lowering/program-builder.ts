import { Tensor } from '../../ir/tensor.js';
import type {
  AttributesOf,
  Operation,
  OperationKind,
  OperationOf,
  ProgramInterface,
  ProgramType,
  ProgramValue,
  SourceNode,
} from './operations.js';

/** A type that programs compute with, and what a constant of another type becomes. */
export function programConstant(tensor: Tensor): ProgramValue {
  const { shape } = tensor;
  switch (tensor.dtype) {
    case 'f32':
    case 'f16':
      return { dtype: 'f32', shape, tensor };
    case 'i32':
    case 'u8':
    case 'i8':
    case 'bool':
      return { dtype: tensor.dtype, shape, tensor };
    case 'bf16':
    case 'f64':
      return { dtype: 'f32', shape, tensor: Tensor.from(shape, tensor.toFloat32()) };
    default:
      return { dtype: 'i32', shape, tensor: Tensor.encode('i32', shape, tensor.toNumbers() as ArrayLike<number>) };
  }
}

/** Collects the operations and values of a program; every value has one name and one maker. */
export class ProgramBuilder {
  readonly operations: Operation[] = [];
  readonly values = new Map<string, ProgramValue>();
  readonly inputs: ProgramInterface[] = [];
  readonly outputs: ProgramInterface[] = [];

  fresh(base: string): string {
    let name = base;
    for (let i = 1; this.values.has(name); i++) name = `${base}_${i}`;
    return name;
  }

  value(name: string): ProgramValue {
    const value = this.values.get(name);
    if (!value) throw new Error(`the program has no value '${name}'`);
    return value;
  }

  define(name: string, value: ProgramValue): string {
    this.values.set(name, value);
    return name;
  }

  constant(base: string, tensor: Tensor): string {
    return this.define(this.fresh(base), programConstant(tensor));
  }

  /** Adds an operation that makes a new value of this shape and type. */
  apply<K extends OperationKind>(
    kind: K,
    inputs: readonly string[],
    attributes: AttributesOf<K>,
    made: { readonly name: string; readonly shape: readonly number[]; readonly dtype?: ProgramType },
    node: SourceNode,
  ): string {
    const dtype = made.dtype ?? this.value(inputs[0]).dtype;
    const output = this.define(this.fresh(made.name), { dtype, shape: made.shape });
    const operation = { ...attributes, kind, inputs, output, node } as OperationOf<K>;
    // The compiler cannot see that an operation of one kind is one of all operations.
    this.operations.push(operation as unknown as Operation);
    return output;
  }
}
