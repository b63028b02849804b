import ort from 'onnxruntime-node';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { elementCount } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { replay } from '../../src/training/differentiate.js';
import { Kernels } from '../../src/training/kernels.js';

export interface GradientCheck {
  readonly seed?: number;
  /** Values for an input or constant; standard normal unless given. Keep away from kinks: finite steps cross them. */
  readonly draw?: (random: () => number, name: string) => number;
  /** Float constants to differentiate by, beside the inputs. */
  readonly variables?: readonly string[];
  /** Length of the finite step along the random direction, per element. Any is right where the node is linear. */
  readonly step?: number;
  readonly kernels?: (builder: GraphBuilder) => Kernels;
}

/**
 * Compares, by input, the gradient that the rules give with the change of the graph itself along a random direction:
 * ⟨∇L, v⟩ against (L(x + hv) − L(x − hv)) / 2h, for L = Σ y·r with random r. Returns the differences relative to
 * ‖∇L‖·‖v‖/√n, the usual size of that product. The graph's shapes must be fixed and its inputs f32.
 */
export async function gradientErrors(graph: Graph, options: GradientCheck = {}): Promise<Map<string, number>> {
  const { seed = 1, step = 1e-2, variables = [] } = options;
  const names = [...graph.inputs, ...variables];
  const random = createRandom(seed);
  const draw = options.draw ?? ((next: () => number) => next());
  const drawn = (name: string, shape: readonly number[]) =>
    Float32Array.from({ length: elementCount(shape) }, () => draw(() => random.normal(), name));
  const shapes = new Map([...names, ...graph.outputs].map((name) => [name, fixedShape(graph, name)]));
  const constants = new Map(variables.map((name) => [name, graph.constants.get(name)!.toFloat32()]));
  const at = new Map(names.map((name) => [name, constants.get(name) ?? drawn(name, shapes.get(name)!)]));
  const weights = new Map(graph.outputs.map((name) => [name, Float32Array.from(normals(random, shapes.get(name)!))]));
  const gradients = await gradientsOf(graph, names, { at, weights, shapes, options });
  const forward = await openForward(graph, names);
  const errors = new Map<string, number>();
  try {
    for (const name of names) {
      const direction = normals(random, shapes.get(name)!);
      const loss = async (by: number) => {
        const moved = Float32Array.from(at.get(name)!, (value, i) => value + by * direction[i]);
        return lossOf(await forward.run(new Map([...at, [name, moved]]), shapes), weights);
      };
      const numeric = ((await loss(step)) - (await loss(-step))) / (2 * step);
      const gradient = gradients.get(name) ?? new Float32Array(direction.length);
      const product = direction.reduce((sum, v, i) => sum + v * gradient[i], 0);
      errors.set(name, Math.abs(product - numeric) / Math.max(1e-6, Math.hypot(...gradient)));
    }
  } finally {
    await forward.close();
  }
  return errors;
}

function normals(random: { normal(): number }, shape: readonly number[]): number[] {
  return Array.from({ length: elementCount(shape) }, () => random.normal());
}

function fixedShape(graph: Graph, name: string): readonly number[] {
  const { shape } = graph.type(name);
  if (!shape?.every((dim) => typeof dim === 'number')) throw new Error(`${name} has no fixed shape`);
  return shape as number[];
}

type Arrays = ReadonlyMap<string, Float32Array>;
type Shapes = ReadonlyMap<string, readonly number[]>;

async function gradientsOf(
  graph: Graph,
  names: readonly string[],
  given: { at: Arrays; weights: Arrays; shapes: Shapes; options: GradientCheck },
): Promise<Map<string, Float32Array>> {
  const builder = new GraphBuilder(semantics);
  const kernels = given.options.kernels?.(builder) ?? new Kernels(builder);
  const input = (name: string, as: string) =>
    kernels.wrap(builder.input(as, { dtype: 'f32', shape: given.shapes.get(name)! }));
  const values = new Map(names.map((name) => [name, input(name, `at/${name}`)]));
  const tape = replay(graph, kernels, values);
  const seeds = new Map(graph.outputs.map((name) => [name, input(name, `weight/${name}`)]));
  const gradients = tape.backward(seeds, names);
  const outputs = [...gradients].map(([name, value]) => {
    if (value.shape.join() !== given.shapes.get(name)!.join())
      throw new Error(`the gradient of ${name} has shape [${value.shape}], not [${given.shapes.get(name)}]`);
    return [name, kernels.nameOf(value)] as const;
  });
  const session = await open(builder.build([...new Set(outputs.map(([, output]) => output))]));
  try {
    const feeds = [...given.at].map(([name, data]) => [`at/${name}`, tensor(data, given.shapes.get(name)!)] as const);
    const rs = [...given.weights].map(
      ([name, data]) => [`weight/${name}`, tensor(data, given.shapes.get(name)!)] as const,
    );
    const results = await session.run(Object.fromEntries([...feeds, ...rs]));
    return new Map(outputs.map(([name, output]) => [name, Float32Array.from(results[output].data as Float32Array)]));
  } finally {
    await session.release();
  }
}

/** The graph with its variables as inputs, run as it is. */
async function openForward(graph: Graph, names: readonly string[]) {
  const constants = new Map([...graph.constants].filter(([name]) => !names.includes(name)));
  const session = await open(graph.with({ inputs: names, constants }));
  return {
    async run(at: Arrays, shapes: Shapes): Promise<Map<string, Float32Array>> {
      const feeds = [...at].map(([name, data]) => [name, tensor(data, shapes.get(name)!)] as const);
      const results = await session.run(Object.fromEntries(feeds));
      return new Map(graph.outputs.map((name) => [name, results[name].data as Float32Array]));
    },
    close: () => session.release(),
  };
}

function open(graph: Graph): Promise<ort.InferenceSession> {
  const options = { logSeverityLevel: 4, graphOptimizationLevel: 'disabled', intraOpNumThreads: 1 } as const;
  return ort.InferenceSession.create(encodeOnnxGraph(graph), options);
}

function tensor(data: Float32Array, shape: readonly number[]): ort.Tensor {
  return new ort.Tensor('float32', data, shape);
}

function lossOf(outputs: Arrays, weights: Arrays): number {
  let loss = 0;
  for (const [name, values] of outputs)
    for (const [i, value] of values.entries()) loss += value * weights.get(name)![i];
  return loss;
}
