import type { Field } from '../../formats/flat-builder.js';
import type { TfliteInterface, TfliteOperator, TfliteOptions, TfliteTensor } from '../../formats/tflite/model.js';
import { ACTIVATIONS, OPTIONS, type TfliteType } from '../../formats/tflite/schema.js';
import { Tensor } from '../../ir/tensor.js';
import type {
  Activation,
  OperationKind,
  OperationOf,
  Program,
  ProgramInterface,
  ProgramType,
  ProgramValue,
} from '../lowering/operations.js';

/** An operator without its output, which the writer's caller knows. */
export interface Call {
  /** Its name in the schema. */
  readonly op: string;
  /** Places in the list of tensors. */
  readonly inputs: readonly number[];
  /** 1 unless given: the lowest that says it, so that old interpreters take it. */
  readonly version?: number;
  readonly options?: TfliteOptions;
}

/** How an operation is said: adds all operators but the last one, which is returned. */
export type Writer<K extends OperationKind> = (operation: OperationOf<K>, graph: GraphWriter) => Call;

const TYPES: Readonly<Record<ProgramType, TfliteType>> = {
  f32: 'float32',
  i32: 'int32',
  u8: 'uint8',
  i8: 'int8',
  bool: 'bool',
};

/** Collects the tensors and operators of a file. */
export class GraphWriter {
  readonly tensors: TfliteTensor[] = [];
  readonly operators: TfliteOperator[] = [];
  private readonly places = new Map<string, number>();

  constructor(private readonly program: Program) {}

  shape(value: string): readonly number[] {
    return this.value(value).shape;
  }

  type(value: string): TfliteType {
    return TYPES[this.value(value).dtype];
  }

  input({ name, value }: ProgramInterface): TfliteInterface {
    return { name, tensor: this.define(value) };
  }

  output({ name, value }: ProgramInterface): TfliteInterface {
    return { name, tensor: this.read(value) };
  }

  /** The tensor of a value; a constant becomes one when it is first read, and halves are widened once. */
  read(value: string): number {
    const place = this.places.get(value);
    if (place !== undefined) return place;
    const { tensor } = this.value(value);
    if (!tensor) throw new Error(`the value '${value}' is read before it is made`);
    const made = this.constant(value, tensor);
    this.places.set(value, made);
    return made;
  }

  integers(name: string, values: readonly number[], shape: readonly number[] = [values.length]): number {
    return this.constant(name, Tensor.encode('i32', shape, values));
  }

  floats(name: string, values: readonly number[], shape: readonly number[] = [values.length]): number {
    return this.constant(name, Tensor.floats(values, shape));
  }

  /** Adds the operator that makes a value of the program. */
  write(output: string, { op, version = 1, inputs, options }: Call): void {
    this.operators.push({ op, version, inputs, outputs: [this.define(output)], options });
  }

  /** Adds an operator whose result is no value of the program. */
  add(name: string, { op, version = 1, inputs, options }: Call, shape: readonly number[], type: TfliteType): number {
    const place = this.tensors.push({ name, shape, type }) - 1;
    this.operators.push({ op, version, inputs, outputs: [place], options });
    return place;
  }

  private value(name: string): ProgramValue {
    const value = this.program.values.get(name);
    if (!value) throw new Error(`the program has no value '${name}'`);
    return value;
  }

  private define(value: string): number {
    const place = this.tensors.push({ name: value, shape: this.shape(value), type: this.type(value) }) - 1;
    this.places.set(value, place);
    return place;
  }

  private constant(name: string, tensor: Tensor): number {
    const data = { length: tensor.byteLength, produce: () => tensor.chunks() };
    const { shape } = tensor;
    if (tensor.dtype !== 'f16')
      return this.tensors.push({ name, shape, type: TYPES[tensor.dtype as ProgramType], data }) - 1;
    const half = this.tensors.push({ name: `${name}/half`, shape, type: 'float16', data }) - 1;
    return this.add(name, { op: 'DEQUANTIZE', version: 3, inputs: [half] }, shape, 'float32');
  }
}

export function options(kind: keyof typeof OPTIONS, fields: readonly Field[]): TfliteOptions {
  return { type: OPTIONS[kind], fields };
}

/** The number of an activation that the operator applies itself. */
export function activationCode(activation: Activation | undefined): number {
  if (!activation) return ACTIVATIONS.none;
  if (activation.function !== 'relu' && activation.function !== 'relu6')
    throw new Error(`TFLite has no operator with ${activation.function} within`);
  return ACTIVATIONS[activation.function];
}
