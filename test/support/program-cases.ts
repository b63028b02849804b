import type {
  AttributesOf,
  Operation,
  OperationKind,
  Program,
  ProgramInterface,
  ProgramType,
  ProgramValue,
} from '../../src/exporters/lowering/operations.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import type { TensorData, Tensors } from '../../src/runtime/runner.js';
import { elements, type NdArray } from './nd-array.js';

export interface Expectation {
  readonly output: string;
  /** What it is, e.g. the operation and its attributes. */
  readonly title: string;
  readonly expected: NdArray;
}

const random = createRandom(11);

/** Seeded normal numbers. */
export function normals(...shape: number[]): NdArray {
  return { shape, data: Float32Array.from({ length: elements(shape) }, () => random.normal()) };
}

/** Seeded whole numbers in [low, high). */
export function wholes(shape: readonly number[], low: number, high: number): NdArray {
  return { shape, data: Float64Array.from({ length: elements(shape) }, () => low + random.integer(high - low)) };
}

/** Many operations in one program, each on inputs and constants of its own and with what it should give. */
export class ProgramCases {
  readonly given: Tensors = {};
  readonly expectations: Expectation[] = [];
  metadata: ReadonlyMap<string, string> = new Map();
  private readonly values = new Map<string, ProgramValue>();
  private readonly inputs: ProgramInterface[] = [];
  private readonly outputs: ProgramInterface[] = [];
  private readonly operations: Operation[] = [];

  /** @param nameValue names the values of the program by their numbers */
  constructor(private readonly nameValue = (number: number) => `value${number}`) {}

  input(array: NdArray, dtype: ProgramType = 'f32', name = `input${this.inputs.length}`): string {
    const value = this.define({ dtype, shape: array.shape });
    this.inputs.push({ name, value, channelsMoved: false });
    this.given[name] = tensorData(array, dtype);
    return value;
  }

  constant(array: NdArray, dtype: Tensor['dtype'] = 'f32'): string {
    const tensor = Tensor.encode(dtype, array.shape, array.data);
    return this.define({ dtype: dtype === 'f16' ? 'f32' : (dtype as ProgramType), shape: array.shape, tensor });
  }

  /** An operation whose result is not looked at. */
  apply<K extends OperationKind>(
    kind: K,
    inputs: readonly string[],
    attributes: AttributesOf<K>,
    shape: readonly number[],
    dtype: ProgramType = 'f32',
  ): string {
    const output = this.define({ dtype, shape });
    const operation = { ...attributes, kind, inputs, output, node: { name: output, op: kind } };
    this.operations.push(operation as unknown as Operation);
    return output;
  }

  expect<K extends OperationKind>(
    kind: K,
    inputs: readonly string[],
    attributes: AttributesOf<K>,
    expected: NdArray,
    dtype: ProgramType = 'f32',
    name?: string,
  ): string {
    const value = this.apply(kind, inputs, attributes, expected.shape, dtype);
    const output = name ?? `output${this.outputs.length}`;
    this.outputs.push({ name: output, value, channelsMoved: false });
    this.expectations.push({ output, title: `${kind} ${JSON.stringify(attributes)} ${dtype}`, expected });
    return value;
  }

  get program(): Program {
    const { inputs, outputs, operations, values, metadata } = this;
    return { name: 'cases', inputs, outputs, operations, values, metadata };
  }

  private define(value: ProgramValue): string {
    const name = this.nameValue(this.values.size);
    this.values.set(name, value);
    return name;
  }
}

/** Integers of one byte as wide ones, as TensorFlow.js has no others. */
function tensorData({ shape, data }: NdArray, dtype: ProgramType): TensorData {
  const dims = [...shape];
  if (dtype === 'f32') return { type: 'float32', dims, data: Float32Array.from(data) };
  if (dtype === 'bool') return { type: 'bool', dims, data: Uint8Array.from(data) };
  return { type: 'int32', dims, data: Int32Array.from(data) };
}

/** The expectations that an actual result misses by more than `tolerance` of its largest number, one line each. */
export function misses(expectations: readonly Expectation[], actual: Tensors, tolerance = 2e-6): string[] {
  return expectations.flatMap(({ output, title, expected }) => {
    const { dims, data } = actual[output];
    if (dims.join() !== expected.shape.join()) return [`${title}: shape [${dims}] and not [${expected.shape}]`];
    const values = Array.from(data as ArrayLike<number>, Number);
    const scale = Math.max(1, ...Array.from(expected.data, Math.abs));
    const worst = Math.max(...values.map((value, i) => Math.abs(value - expected.data[i])));
    return worst <= tolerance * scale ? [] : [`${title}: off by ${worst}, at most ${scale}`];
  });
}
