import { GraphBuilder } from '../../src/ir/builder.js';
import type { Attributes, Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { verify } from '../../src/ir/verify.js';
import { semantics } from '../../src/ops/index.js';
import type { Change, PassContext } from '../../src/passes/pass.js';
import { type SeparableOptions, separable } from '../../src/passes/separable.js';
import { normals } from './low-rank-kernels.js';
import { askOnnxRuntime, type OracleNode, type OracleTensor } from './ort-oracle.js';

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
    progress: () => {},
  };
  const result = separable.run(graph, options, context) as Graph;
  const findings = verify(result, semantics);
  if (findings.length) throw new Error(findings.join('; '));
  return { graph: result, changes };
}

/** The largest difference of output `y` for each pair of float graphs, relative to the largest output; shapes must agree. */
export async function differences(pairs: readonly (readonly [Graph, Graph])[]): Promise<number[]> {
  const tensors: Record<string, OracleTensor> = {};
  const nodes: OracleNode[] = [];
  const results = pairs.map(([a, b], i) => {
    const shape = a.type('x').shape as readonly number[];
    tensors[`x${i}`] = {
      dims: shape,
      values: Array.from(
        normals(
          shape.reduce((p, q) => p * q, 1),
          i,
        ),
      ),
    };
    return [appendGraph(a, `x${i}`, `a${i}_`, tensors, nodes), appendGraph(b, `x${i}`, `b${i}_`, tensors, nodes)];
  });
  const answers = await askOnnxRuntime(tensors, nodes);
  return results.map(([a, b]) => {
    if (String(answers[a].dims) !== String(answers[b].dims))
      throw new Error(`outputs of shapes [${answers[a].dims}] and [${answers[b].dims}]`);
    const scale = Math.max(...answers[a].values.map(Math.abs));
    return Math.max(...answers[a].values.map((value, k) => Math.abs(value - answers[b].values[k]))) / scale;
  });
}

/** Adds the nodes of a graph to the question; returns the number of the node that makes `y`. */
function appendGraph(
  graph: Graph,
  x: string,
  prefix: string,
  tensors: Record<string, OracleTensor>,
  nodes: OracleNode[],
): number {
  const names = new Map([['x', x]]);
  for (const [name, tensor] of graph.constants) {
    tensors[prefix + name] = { dims: tensor.shape, values: Array.from(tensor.toFloat64()) };
    names.set(name, prefix + name);
  }
  for (const node of graph.nodes) {
    names.set(node.outputs[0], `out_${nodes.length}`);
    nodes.push({
      op: node.op,
      inputs: node.inputs.map((input) => names.get(input) ?? ''),
      attributes: node.attributes as OracleNode['attributes'],
    });
  }
  return Number(names.get('y')?.slice('out_'.length));
}
