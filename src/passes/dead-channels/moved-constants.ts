import type { Layer } from '../../analysis/layers.js';
import type { Graph } from '../../ir/graph.js';
import type { Edit } from '../../ir/rewrite.js';
import { Tensor } from '../../ir/tensor.js';
import type { AxisRef } from '../../ops/op.js';
import { createScope } from '../folding/scope.js';
import { biasOf } from './constant-channels.js';
import type { MovedConstant } from './dead-units.js';
import { groupsOf } from './zero-slices.js';

/** A layer with another bias, as an edit, and the axis of that bias. */
export interface BiasEdit extends Edit {
  readonly layer: Layer;
  readonly bias: AxisRef;
}

/** W·(x + c) + b = W·x + (b + W·c) for channels that always are c: their constants go into the layer's bias. */
export function moveIntoBiases(graph: Graph, moved: readonly MovedConstant[]): BiasEdit[] {
  const byLayer = new Map<Layer, MovedConstant[]>();
  for (const constant of moved) byLayer.set(constant.layer, [...(byLayer.get(constant.layer) ?? []), constant]);
  const { fresh } = createScope(graph);
  return [...byLayer].map(([layer, constants]) => {
    const { node, weight } = layer;
    const old = node.inputs[2] ?? '';
    const base = old || `${weight.name.replace(/\.weight$/, '')}.bias`;
    const name = old !== '' && graph.hasOneReader(old) ? old : fresh(base);
    const numbers = biasWith(graph, layer, constants);
    const replacement = { ...node, inputs: [...node.inputs.slice(0, 2), name], origin: undefined };
    return {
      layer,
      bias: { value: name, axis: 0 },
      replace: new Map([[node, [replacement]]]),
      constants: new Map([[name, Tensor.encode(weight.tensor.dtype, [numbers.length], numbers)]]),
    };
  });
}

function biasWith(graph: Graph, layer: Layer, constants: readonly MovedConstant[]): Float64Array {
  const { node, weight, outAxis, inAxis } = layer;
  const groups = groupsOf(node);
  const outputs = weight.tensor.shape[outAxis];
  const bias = biasOf(graph, node, outputs) ?? new Float64Array(outputs);
  const inputs = weight.tensor.shape[inAxis];
  const block = outputs / groups;
  for (const { channel, constant } of constants) {
    const read = weight.tensor.slice(inAxis, channel % inputs, (channel % inputs) + 1).toFloat64();
    const taps = read.length / outputs;
    const first = Math.floor(channel / inputs) * block;
    for (let o = first; o < first + block; o++)
      for (let k = o * taps; k < (o + 1) * taps; k++) bias[o] += constant * read[k];
  }
  return bias;
}
