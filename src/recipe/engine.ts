import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { badGraph, cannotRead, cannotWrite } from '../errors.js';
import { exportOnnx } from '../exporters/onnx/index.js';
import type { Bytes } from '../ir/bytes.js';
import type { Graph } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { DataType } from '../ir/types.js';
import { TENSOR_ARRAYS, type TensorArrays, type TensorData, type Tensors, type TensorType } from '../runtime/runner.js';
import { openStepper, StepHost } from '../runtime/stepper.js';
import type { Engine, LoadedGraph, LoadedStep, Shelf, StepOptions, Values } from '../training/engine.js';

export interface EngineOptions {
  readonly threads: number;
  readonly signal?: AbortSignal;
}

export interface OpenEngine extends Engine {
  /** Ends what is still loaded and removes the temporary files. */
  close(): Promise<void>;
}

/**
 * Runs graphs in ONNX Runtime: each is exported to a file of its own in a temporary folder, and loaded in a child
 * process. Threads split an operator's outputs among them and never a sum, so their number does not change the bits.
 *
 * @throws CompressError where the folder cannot be made or a graph cannot be written, loaded or run
 */
export async function openEngine(options: EngineOptions): Promise<OpenEngine> {
  const folder = await mkdtemp(join(tmpdir(), 'unet-compress-')).catch((cause) => {
    throw cannotWrite(tmpdir(), cause);
  });
  const open = new Set<{ close(): Promise<void> | void }>();
  const register = <T extends { close(): Promise<void> | void }>(opened: T): T => {
    open.add(opened);
    return opened;
  };
  const newFile = () => join(folder, `${randomUUID()}.onnx`);
  const hosts = new Hosts(options);
  register(hosts);
  return {
    load: async (graph) => loadGraph(graph, newFile(), hosts),
    async loadStep(graph, carried, more) {
      // A training step takes most of the memory that there is.
      await hosts.endFree();
      return register(await loadStep(graph, carried, newFile(), { ...options, ...more }));
    },
    shelf: () => register(new FileShelf(join(folder, randomUUID()))),
    async close() {
      await Promise.all([...open].map((opened) => opened.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Processes that run graphs; one that has become free waits for the next graph. */
class Hosts {
  private readonly all = new Set<StepHost>();
  private readonly free: StepHost[] = [];

  constructor(private readonly options: EngineOptions) {}

  /** @param file what it will load, for messages */
  async take(file: string): Promise<StepHost> {
    const free = this.free.pop();
    if (free) return free;
    const host = await StepHost.start(file, { runtime: 'onnxruntime', ...this.options });
    this.all.add(host);
    return host;
  }

  async giveBack(host: StepHost): Promise<void> {
    if (host.isAlive) this.free.push(host);
    else await this.end(host);
  }

  async endFree(): Promise<void> {
    await Promise.all(this.free.splice(0).map((host) => this.end(host)));
  }

  async close(): Promise<void> {
    await Promise.all([...this.all].map((host) => this.end(host)));
  }

  private async end(host: StepHost): Promise<void> {
    this.all.delete(host);
    await host.end();
  }
}

async function loadGraph(graph: Graph, file: string, hosts: Hosts): Promise<LoadedGraph> {
  const host = await hosts.take(file);
  try {
    const stepper = await fromFile(graph, file, () => host.load(file, { carried: {}, optimization: 'all' }));
    let closing: Promise<void> | undefined;
    return {
      async run(inputs) {
        return fromTensorData(await stepper.run(toTensorData(inputs)));
      },
      close() {
        closing ??= stepper.close().then(() => hosts.giveBack(host));
        return closing;
      },
    };
  } catch (error) {
    await hosts.giveBack(host);
    throw error;
  }
}

async function loadStep(
  graph: Graph,
  carried: ReadonlyMap<string, string>,
  file: string,
  { optimization = 'extended', ...options }: EngineOptions & StepOptions,
): Promise<LoadedStep> {
  const plan = { carried: Object.fromEntries(carried), optimization };
  const stepper = await fromFile(graph, file, () => openStepper(file, { runtime: 'onnxruntime', ...options, ...plan }));
  return {
    async run(inputs) {
      return fromTensorData(await stepper.run(toTensorData(inputs)));
    },
    async setState(values) {
      await stepper.setState(toTensorData(values));
    },
    async state() {
      return fromTensorData(await stepper.state());
    },
    memory: () => stepper.memory(),
    close: () => stepper.close(),
  };
}

/** Opens what reads the graph from the file, which is gone afterwards. */
async function fromFile<T>(graph: Graph, file: string, open: () => Promise<T>): Promise<T> {
  const written = await exportOnnx(graph, file);
  try {
    return await open();
  } finally {
    await Promise.all(written.map((path) => rm(path, { force: true })));
  }
}

const RUNTIME_TYPES: Partial<Record<DataType, TensorType>> = {
  f32: 'float32',
  f64: 'float64',
  f16: 'float16',
  i8: 'int8',
  u8: 'uint8',
  i16: 'int16',
  u16: 'uint16',
  i32: 'int32',
  u32: 'uint32',
  i64: 'int64',
  u64: 'uint64',
  bool: 'bool',
};

function toTensorData(values: Values): Tensors {
  return Object.fromEntries(
    [...values].map(([name, tensor]) => {
      const type = RUNTIME_TYPES[tensor.dtype];
      if (!type) throw badGraph(`value '${name}' has type ${tensor.dtype}, which cannot be given to the runtime`);
      const bytes = tensor.toBytes();
      const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
      const data = new TENSOR_ARRAYS[type](aligned.buffer as ArrayBuffer, aligned.byteOffset, tensor.size);
      // The table pairs each type with its array as `TensorArrays` does, which its own type does not express.
      return [name, { type, dims: [...tensor.shape], data: data as TensorArrays[typeof type] } as TensorData];
    }),
  );
}

function fromTensorData(tensors: Tensors): Values {
  const types = new Map(Object.entries(RUNTIME_TYPES).map(([dtype, type]) => [type, dtype as DataType]));
  return new Map(
    Object.entries(tensors).map(([name, { type, dims, data }]) => [name, Tensor.from(dims, data, types.get(type))]),
  );
}

/** One file, written at its end only. */
class FileShelf implements Shelf {
  #handle: number | undefined;
  #length = 0;

  constructor(private readonly path: string) {}

  put(tensor: Tensor): Tensor {
    const start = this.#length;
    const handle = this.#open();
    try {
      for (const chunk of tensor.chunks())
        for (let done = 0; done < chunk.length; ) {
          const count = writeSync(handle, chunk, done, chunk.length - done, this.#length);
          done += count;
          this.#length += count;
        }
    } catch (cause) {
      throw cannotWrite(this.path, cause);
    }
    return Tensor.over(tensor.dtype, tensor.shape, this.#range(start, this.#length - start));
  }

  clear(): void {
    if (this.#handle !== undefined) ftruncateSync(this.#handle, 0);
    this.#length = 0;
  }

  close(): void {
    if (this.#handle !== undefined) closeSync(this.#handle);
    this.#handle = undefined;
  }

  #open(): number {
    try {
      this.#handle ??= openSync(this.path, 'wx+', 0o600);
    } catch (cause) {
      throw cannotWrite(this.path, cause);
    }
    return this.#handle;
  }

  #range(start: number, length: number): Bytes {
    const readInto = (target: Uint8Array, offset: number) => {
      for (let done = 0; done < target.length; ) {
        const count = readSync(this.#open(), target, done, target.length - done, start + offset + done);
        if (count === 0) throw cannotRead(this.path, 'it was cut short by another program');
        done += count;
      }
    };
    return {
      length,
      readInto,
      read(offset, count) {
        const target = new Uint8Array(count);
        readInto(target, offset);
        return target;
      },
    };
  }
}
