import ort from 'onnxruntime-node';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { createRandom } from '../../src/math/random.js';

export interface RunOptions {
  readonly seed?: number;
  /** What the symbols of the inputs' shapes stand for. */
  readonly sizes?: Readonly<Record<string, number>>;
}

export interface Output {
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

const DEFAULT_SIZES = { n: 2, h: 16, w: 16 };

/** What ONNX Runtime, without its own rewriting, makes of a graph and seeded normal inputs: one entry an output. */
export async function runGraph(graph: Graph, { seed = 5, sizes = {} }: RunOptions = {}): Promise<Output[]> {
  const options = { logSeverityLevel: 4, graphOptimizationLevel: 'disabled', intraOpNumThreads: 1 } as const;
  const session = await ort.InferenceSession.create(encodeOnnxGraph(graph), options);
  try {
    const results = await session.run(inputsFor(graph, seed, { ...DEFAULT_SIZES, ...sizes }));
    return graph.outputs.map((name) => ({
      dims: results[name].dims,
      values: Array.from(results[name].data as Iterable<number | bigint>, Number),
    }));
  } finally {
    await session.release();
  }
}

/** Seeded normal values for every input. */
export function inputsFor(
  graph: Graph,
  seed: number,
  sizes: Readonly<Record<string, number>>,
): Record<string, ort.Tensor> {
  const random = createRandom(seed);
  return Object.fromEntries(
    graph.inputs.map((name) => {
      const dims = (graph.type(name).shape ?? []).map((dim) => (typeof dim === 'number' ? dim : sizes[dim]));
      const count = dims.reduce((product, size) => product * size, 1);
      const values = Float32Array.from({ length: count }, () => random.normal());
      return [name, new ort.Tensor('float32', values, dims)];
    }),
  );
}

/** The largest difference over all outputs, relative to the largest value of each; shapes must agree. */
export function largestDifference(expected: readonly Output[], actual: readonly Output[]): number {
  return Math.max(
    ...expected.map(({ dims, values }, i) => {
      if (dims.join() !== actual[i].dims.join())
        throw new Error(`output ${i} has shape [${actual[i].dims}], not [${dims}]`);
      const scale = Math.max(...values.map(Math.abs)) || 1;
      return Math.max(...values.map((value, k) => Math.abs(value - actual[i].values[k]))) / scale;
    }),
  );
}
