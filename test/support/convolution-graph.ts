import ort from 'onnxruntime-node';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Attributes, Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { verify } from '../../src/ir/verify.js';
import { semantics } from '../../src/ops/index.js';
import type { Change, PassContext } from '../../src/passes/pass.js';
import { type SeparableOptions, separable } from '../../src/passes/separable.js';
import { normals } from './low-rank-kernels.js';

export interface ConvolutionSpec {
  readonly op: 'Conv' | 'ConvTranspose';
  readonly weight: Tensor;
  /** Sizes of the input's spatial axes. */
  readonly size: readonly (number | string)[];
  readonly attributes?: Attributes;
  readonly bias?: boolean;
}

/** A graph of one convolution `layer` from `x` to `y`, with weight `w` and bias `b`. */
export function convolutionGraph({ op, weight, size, attributes = {}, bias = true }: ConvolutionSpec): Graph {
  const builder = new GraphBuilder(semantics);
  const group = (attributes.group as number | undefined) ?? 1;
  const [first, second] = weight.shape;
  const [inputs, outputs] = op === 'Conv' ? [second * group, first] : [first, second * group];
  builder.input('x', { dtype: weight.dtype, shape: [1, inputs, ...size] });
  builder.constant('w', weight);
  if (bias) builder.constant('b', Tensor.encode(weight.dtype, [outputs], normals(outputs, 77)));
  builder.add({ op, name: 'layer', inputs: bias ? ['x', 'w', 'b'] : ['x', 'w'], outputs: ['y'], attributes });
  return builder.build(['y']);
}

/** The graph after the pass, verified, and what the pass noted. */
export function runSeparable(graph: Graph, options: SeparableOptions): { graph: Graph; changes: Change[] } {
  const changes: Change[] = [];
  const context: PassContext = {
    semantics,
    seed: 0,
    note: (change) => changes.push(change),
    warn: () => {},
    resolve: () => {},
    progress: () => {},
  };
  const result = separable.run(graph, options, context) as Graph;
  const findings = verify(result, semantics);
  if (findings.length) throw new Error(findings.join('; '));
  return { graph: result, changes };
}

/** The largest difference of output `y` of two float graphs in ONNX Runtime, relative to the largest output. */
export async function difference(a: Graph, b: Graph): Promise<number> {
  const [expected, actual] = [await outputOf(a), await outputOf(b)];
  if (String(expected.dims) !== String(actual.dims))
    throw new Error(`outputs of shapes [${expected.dims}] and [${actual.dims}]`);
  let [largest, distance] = [0, 0];
  for (const [i, value] of expected.data.entries()) {
    largest = Math.max(largest, Math.abs(value));
    distance = Math.max(distance, Math.abs(value - actual.data[i]));
  }
  return distance / largest;
}

async function outputOf(graph: Graph): Promise<{ dims: readonly number[]; data: Float32Array }> {
  const session = await ort.InferenceSession.create(encodeOnnxGraph(graph), { graphOptimizationLevel: 'disabled' });
  const shape = graph.type('x').shape as number[];
  const size = shape.reduce((product, extent) => product * extent, 1);
  const { y } = await session.run({ x: new ort.Tensor(Float32Array.from(normals(size, 5)), shape) });
  await session.release();
  return { dims: y.dims, data: y.data as Float32Array };
}
