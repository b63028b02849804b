import ort from 'onnxruntime-node';
import { expect } from 'vitest';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Attributes, Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { semantics } from '../../src/ops/index.js';
import { replay } from '../../src/training/differentiate.js';
import { Kernels } from '../../src/training/kernels.js';
import { type GradientCheck, gradientErrors } from './check-gradient.js';

export interface OneNode {
  readonly op: string;
  /** The shape of an input that is differentiated, or a constant. */
  readonly inputs: readonly (readonly number[] | Tensor | undefined)[];
  readonly attributes?: Attributes;
}

/** A graph of one node; its inputs are x0, x1, … by the operands' numbers. */
function oneNode({ op, inputs, attributes = {} }: OneNode): Graph {
  const builder = new GraphBuilder(semantics);
  const names = inputs.map((input, i) => {
    if (!input) return '';
    return input instanceof Tensor
      ? builder.constant(`x${i}`, input)
      : builder.input(`x${i}`, { dtype: 'f32', shape: input });
  });
  return builder.build([builder.apply(op, names, attributes)]);
}

/** Holds for the gradients of all inputs of a node. */
export async function expectGradients(node: OneNode, tolerance: number, options: GradientCheck = {}): Promise<void> {
  const errors = await gradientErrors(oneNode(node), options);
  expect(errors.size).toBeGreaterThan(0);
  for (const [name, error] of errors) expect(error, name).toBeLessThan(tolerance);
}

/** What a node's gradient rule gives for the first operands, constant ones included, at these values, where dY is `dy`. */
export async function gradientsAt(
  node: OneNode,
  values: readonly (readonly number[])[],
  dy = 1,
): Promise<Map<string, number[]>> {
  const graph = oneNode(node);
  const builder = new GraphBuilder(semantics);
  const kernels = new Kernels(builder);
  const names = values.map((_, i) => `x${i}`);
  const wrapped = names.map((name) => [name, kernels.wrap(builder.input(name, graph.type(name)))] as const);
  const tape = replay(graph, kernels, new Map(wrapped));
  const [output] = graph.outputs;
  const { shape } = graph.type(output);
  const seed = kernels.expand(kernels.number(dy), shape as number[]);
  const gradients = [...tape.backward(new Map([[output, seed]]), names)];
  const results = gradients.map(([name, value]) => [name, kernels.nameOf(value)] as const);
  // The same value may be the gradient of several inputs.
  const built = builder.build([...new Set(results.map(([, result]) => result))]);
  const session = await ort.InferenceSession.create(encodeOnnxGraph(built), {
    logSeverityLevel: 4,
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
  });
  try {
    const feeds = names.map(
      (name, i) =>
        [name, new ort.Tensor('float32', Float32Array.from(values[i]), graph.type(name).shape as number[])] as const,
    );
    const outputs = await session.run(Object.fromEntries(feeds));
    return new Map(results.map(([name, result]) => [name, Array.from(outputs[result].data as Float32Array)]));
  } finally {
    await session.release();
  }
}
