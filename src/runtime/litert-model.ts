import type { Bindings, LiteRtModule } from './litert-module.js';
import { elementCount, TENSOR_ARRAYS, type TensorData, type Tensors, type TensorType } from './runner.js';

type TensorBuffer = ReturnType<Bindings['LiteRtTensorBuffer']['createManaged']>;
type RankedTensorType = ReturnType<TensorBuffer['tensorType']>;
type Model = ReturnType<Bindings['loadModel']>;
type CompiledModel = Awaited<ReturnType<Bindings['compileModel']>>;

/** Element types by their numbers in LiteRT. */
const ELEMENT_TYPES: Readonly<Partial<Record<number, TensorType>>> = {
  1: 'float32',
  2: 'int32',
  3: 'uint8',
  4: 'int64',
  6: 'bool',
  7: 'int16',
  9: 'int8',
  10: 'float16',
  11: 'float64',
  13: 'uint64',
  16: 'uint32',
  17: 'uint16',
};

/** An input or output; `rankedType` stands for its type and shape inside of LiteRT. */
export interface Port {
  readonly name: string;
  readonly type: TensorType;
  readonly dims: number[];
  readonly rankedType: RankedTensorType;
}

/** A model that LiteRT has compiled, by its default signature if it has one. */
export class CompiledTflite {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];

  private constructor(
    private readonly litert: LiteRtModule,
    private readonly model: Model,
    private readonly compiled: CompiledModel,
    private readonly address: number,
  ) {
    const signature = model.getSignature(0);
    const ports = (names: string[], typeAt: (index: number) => RankedTensorType) =>
      distinct(names).map((name, index) => portOf(name, typeAt(index)));
    this.inputs = ports(listOf(signature.inputNames()), (index) => model.getInputTensorType(0, index));
    this.outputs = ports(listOf(signature.outputNames()), (index) => model.getOutputTensorType(0, index));
    signature.delete();
  }

  /** @throws Error when LiteRT does not take the model */
  static async compile(litert: LiteRtModule, bytes: Uint8Array): Promise<CompiledTflite> {
    const { bindings, environment } = litert;
    const address = bindings._malloc(bytes.length);
    if (address === 0) throw new Error(`${bytes.length} bytes are more than WebAssembly has room for`);
    let model: Model | undefined;
    try {
      bindings.HEAPU8.set(bytes, address);
      // LiteRT goes on reading the constants there.
      const loaded = await litert.call(() => bindings.loadModel(environment, address, bytes.length), remove);
      model = loaded;
      const compiled = await litert.call(() => bindings.compileModel(environment, loaded, OPTIONS), remove);
      return new CompiledTflite(litert, loaded, compiled, address);
    } catch (error) {
      model?.delete();
      bindings._free(address);
      throw error;
    }
  }

  get fullyDelegated(): boolean {
    return this.compiled.isFullyAccelerated();
  }

  /** Copies of the inputs inside of LiteRT, to be removed after use; runs leave them as they are. */
  put(tensors: Tensors): TensorBuffer[] {
    return this.inputs.map(({ name, rankedType }) => {
      const { data } = tensors[name]!;
      const size = rankedType.bytes();
      if (data.byteLength !== size) throw new Error(`input ${name} has ${data.byteLength} bytes instead of ${size}`);
      const { LiteRtTensorBuffer, LiteRtTensorBufferType, LiteRtTensorBufferLockMode } = this.litert.bindings;
      const kind = LiteRtTensorBufferType.HOST_MEMORY;
      const buffer = LiteRtTensorBuffer.createManaged(this.litert.environment, kind, rankedType, size);
      const address = buffer.lock(LiteRtTensorBufferLockMode.WRITE);
      this.litert.bindings.HEAPU8.set(new Uint8Array(data.buffer, data.byteOffset, size), address);
      buffer.unlock();
      return buffer;
    });
  }

  /** The outputs inside of LiteRT, to be removed after use. */
  run(inputs: TensorBuffer[]): Promise<TensorBuffer[]> {
    return this.litert.call(() => this.compiled.run(0, inputs), removeAll);
  }

  take(outputs: readonly TensorBuffer[]): Tensors {
    return Object.fromEntries(this.outputs.map(({ name }, index) => [name, this.read(name, outputs[index])]));
  }

  release(): void {
    removeAll([...this.inputs, ...this.outputs].map(({ rankedType }) => rankedType));
    removeAll([this.compiled, this.model]);
    this.litert.bindings._free(this.address);
  }

  private read(name: string, buffer: TensorBuffer): TensorData {
    const { type, dims, rankedType } = portOf(name, buffer.tensorType());
    const address = buffer.lock(this.litert.bindings.LiteRtTensorBufferLockMode.READ);
    const bytes = this.litert.bindings.HEAPU8.slice(address, address + rankedType.bytes());
    buffer.unlock();
    rankedType.delete();
    // The table pairs each type with its array, which the compiler cannot follow.
    return { type, dims, data: new TENSOR_ARRAYS[type](bytes.buffer, 0, elementCount(dims)) } as TensorData;
  }
}

const OPTIONS = { accelerator: 'wasm' as const, cpuOptions: { numThreads: 1 }, gpuOptions: {}, webNNOptions: {} };

interface Removable {
  delete(): void;
}

function remove(item: Removable): void {
  item.delete();
}

/** Objects inside of LiteRT are not collected as garbage. */
export function removeAll(items: readonly Removable[]): void {
  items.forEach(remove);
}

/** Inputs of which `element` gives each element, of 64-bit integers as well. */
export function filled(ports: readonly Port[], element: (type: TensorType) => number): Tensors {
  const entries = ports.map(({ name, type, dims }) => {
    const data = new TENSOR_ARRAYS[type](elementCount(dims));
    const isBig = data instanceof BigInt64Array || data instanceof BigUint64Array;
    for (let index = 0; index < data.length; index++) data[index] = isBig ? BigInt(element(type)) : element(type);
    // The table pairs each type with its array, which the compiler cannot follow.
    return [name, { type, dims, data } as TensorData];
  });
  return Object.fromEntries(entries);
}

function portOf(name: string, rankedType: RankedTensorType): Port {
  // Of types that it does not know itself it tells nothing.
  const number = rankedType.elementType()?.value;
  const type = ELEMENT_TYPES[number ?? 0];
  if (type === undefined) throw new Error(`${name} has the element type number ${number}, which cannot be passed`);
  const layout = rankedType.layout();
  const dims = listOf(layout.dimensions());
  layout.delete();
  return { name, type, dims, rankedType };
}

function listOf<T>(vector: { size(): number; get(index: number): T } & Removable): T[] {
  const list = Array.from({ length: vector.size() }, (_, index) => vector.get(index));
  vector.delete();
  return list;
}

/** Tensors go by name, and files without a signature may call two tensors the same. */
function distinct(names: string[]): string[] {
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) throw new Error(`two of its inputs, or two of its outputs, are called '${twice}'`);
  return names;
}
