import ort from 'onnxruntime-node';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { elementCount, Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { BlockedKernels } from '../../src/training/blocked/kernels.js';
import { blockProbe, readBlock } from '../../src/training/blocked/probe.js';
import { Kernels, type Value } from '../../src/training/kernels.js';

/** Channels in a block here; undefined where the runtime has no such layout. */
export async function probedBlock(): Promise<number | undefined> {
  const graph = blockProbe(semantics);
  const outputs = await run(graph, new Map());
  const { dims, data } = outputs[graph.outputs[0]];
  return readBlock(Tensor.from(dims, data as Float32Array));
}

export interface Comparison {
  /** The largest difference of each output, relative to its largest value. */
  readonly differences: readonly number[];
  /** How many nodes of the blocked graph are the runtime's operators on blocks, by operator. */
  readonly onBlocks: ReadonlyMap<string, number>;
}

/** Writes the same formula in both kernels and runs both on the same normally distributed inputs. */
export async function compareKernels(
  block: number,
  shapes: Readonly<Record<string, readonly number[]>>,
  write: (kernels: Kernels, inputs: Readonly<Record<string, Value>>) => readonly Value[],
): Promise<Comparison> {
  const random = createRandom(11);
  const feeds = new Map(
    Object.entries(shapes).map(([name, shape]) => {
      const data = Float32Array.from({ length: elementCount(shape) }, () => random.normal());
      return [name, new ort.Tensor('float32', data, shape)] as const;
    }),
  );
  const graphOf = (create: (builder: GraphBuilder) => Kernels) => {
    const builder = new GraphBuilder(semantics);
    const kernels = create(builder);
    const inputs = Object.entries(shapes).map(
      ([name, shape]) => [name, kernels.wrap(builder.input(name, { dtype: 'f32', shape }))] as const,
    );
    const values = write(kernels, Object.fromEntries(inputs));
    const outputs = values.map((value, i) => {
      const name = `output/${i}`;
      return builder.add({ op: 'Identity', name, inputs: [kernels.nameOf(value)], outputs: [name], attributes: {} })[0];
    });
    return builder.build(outputs);
  };
  const plain = graphOf((builder) => new Kernels(builder));
  const blocked = graphOf((builder) => new BlockedKernels(builder, block));
  const [expected, actual] = [await run(plain, feeds), await run(blocked, feeds)];
  const onBlocks = new Map<string, number>();
  for (const { foreign } of blocked.nodes)
    if (foreign?.domain === 'com.microsoft.nchwc') onBlocks.set(foreign.op, (onBlocks.get(foreign.op) ?? 0) + 1);
  return { differences: plain.outputs.map((name) => difference(expected[name], actual[name])), onBlocks };
}

async function run(graph: Graph, feeds: ReadonlyMap<string, ort.Tensor>): Promise<Record<string, ort.Tensor>> {
  const options = { logSeverityLevel: 4, graphOptimizationLevel: 'disabled', intraOpNumThreads: 1 } as const;
  const session = await ort.InferenceSession.create(encodeOnnxGraph(graph), options);
  try {
    return { ...(await session.run(Object.fromEntries(feeds))) } as Record<string, ort.Tensor>;
  } finally {
    await session.release();
  }
}

function difference(expected: ort.Tensor, actual: ort.Tensor): number {
  if (expected.dims.join() !== actual.dims.join())
    throw new Error(`a result has shape [${actual.dims}], not [${expected.dims}]`);
  const [a, b] = [expected.data as Float32Array, actual.data as Float32Array];
  const scale = a.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  return (
    a.reduce((most, value, i) => Math.max(most, Number.isNaN(b[i]) ? Infinity : Math.abs(value - b[i])), 0) / scale
  );
}
