import { layersOf } from '../analysis/layers.js';
import { beyondHalf } from '../errors.js';
import type { Graph } from '../ir/graph.js';
import { rewrite } from '../ir/rewrite.js';
import { Tensor } from '../ir/tensor.js';
import type { Pass, PassContext } from './pass.js';

/** Below this many values a Cast costs more bytes than half precision saves. */
const WORTH_STORING = 64;

const LARGEST_HALF = 65504;

/**
 * Stores the layers' weights in half precision; computation stays in single.
 *
 * Before: Conv(x, W f32); after: Conv(x, Cast(W f16 → f32)). Weights are rounded to nearest even, subnormals kept
 * (algorithms, D.8).
 *
 * @throws CompressError where a weight is beyond ±65504
 */
export const halfWeights: Pass<Record<string, never>> = {
  name: 'half-weights',
  summary: 'stores weights in half precision',
  keeps: 'approximate',
  run(graph, _, context) {
    const halves = halvedWeights(graph, context);
    const constants = new Map([...graph.constants].filter(([name]) => !halves.has(name)));
    for (const [name, tensor] of halves) constants.set(`${name}.f16`, tensor);
    const made = new Set<string>();
    return rewrite(graph.with({ constants }), context.semantics, (node, builder) => {
      for (const input of node.inputs)
        if (halves.has(input) && !made.has(input)) {
          made.add(input);
          builder.add({
            op: 'Cast',
            name: `${input}.cast`,
            inputs: [`${input}.f16`],
            outputs: [input],
            attributes: { to: 1 },
          });
        }
      return false;
    });
  },
};

function halvedWeights(graph: Graph, context: PassContext): Map<string, Tensor> {
  const halves = new Map<string, Tensor>();
  for (const { node, weight } of layersOf(graph)) {
    const { name, tensor } = weight;
    if (tensor.dtype !== 'f32' || tensor.size < WORTH_STORING || halves.has(name)) continue;
    const values = tensor.toFloat32();
    const beyond = values.find((value) => Math.abs(value) > LARGEST_HALF);
    if (beyond !== undefined) throw beyondHalf(node.op, node.name, beyond, LARGEST_HALF);
    const half = Tensor.encode('f16', tensor.shape, values);
    halves.set(name, half);
    context.note({ layer: node.name, action: 'stored in half', maxRelativeError: largestRelativeError(values, half) });
  }
  return halves;
}

function largestRelativeError(values: Float32Array, half: Tensor): number {
  const rounded = half.toFloat32();
  return values.reduce(
    (largest, value, i) => (value === 0 ? largest : Math.max(largest, Math.abs(rounded[i] - value) / Math.abs(value))),
    0,
  );
}
