import ort from 'onnxruntime-node';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { semantics } from '../../src/ops/index.js';
import { Kernels, type Value } from '../../src/training/kernels.js';

export interface Array32 {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** What ONNX Runtime makes of values that `build` writes with the plain kernels over inputs of these names. */
export async function runKernels(
  inputs: Readonly<Record<string, Array32>>,
  build: (kernels: Kernels, values: Readonly<Record<string, Value>>) => Readonly<Record<string, Value>>,
): Promise<Record<string, number[]>> {
  const builder = new GraphBuilder(semantics);
  const kernels = new Kernels(builder);
  const given = Object.entries(inputs).map(([name, { shape }]) => {
    return [name, kernels.wrap(builder.input(name, { dtype: 'f32', shape }))] as const;
  });
  const made = Object.entries(build(kernels, Object.fromEntries(given)));
  const graph = builder.build([...new Set(made.map(([, value]) => kernels.nameOf(value)))]);
  const options = { logSeverityLevel: 4, graphOptimizationLevel: 'disabled', intraOpNumThreads: 1 } as const;
  const session = await ort.InferenceSession.create(encodeOnnxGraph(graph), options);
  try {
    const feeds = Object.entries(inputs).map(([name, { shape, data }]) => {
      return [name, new ort.Tensor('float32', Float32Array.from(data), shape)] as const;
    });
    const results = await session.run(Object.fromEntries(feeds));
    return Object.fromEntries(
      made.map(([name, value]) => [name, Array.from(results[kernels.nameOf(value)].data as Float32Array)]),
    );
  } finally {
    await session.release();
  }
}
