import type { ChannelAffine } from './affine.js';
import { foldIntoOutput, isFoldable } from './linear.js';
import { concatenatedChannels, refusal } from './passing.js';
import { type FoldScope, nothingTaken, type Taken, takeLayer } from './scope.js';

/** No network has longer stretches between a layer and its BatchNormalization. */
const MOST_STEPS = 64;

/**
 * Moves an affine of `value` back into the layers that make it: through what it commutes with, and range by range onto
 * the branches of a Concat. The value that stands where the affine stood is called `output`. Returns the reason where
 * that is not exact.
 */
export function takeBack(
  scope: FoldScope,
  value: string,
  affine: ChannelAffine,
  output = value,
  steps = 0,
): Taken | string {
  const { graph } = scope;
  const node = graph.producer(value);
  if (!node) return `no layer makes '${value}'`;
  if (!graph.hasOneReader(value)) return `'${value}' is read elsewhere too`;
  if (steps > MOST_STEPS) return `the next layer before '${value}' is too far away`;
  if (isFoldable(graph, node)) {
    const folded = foldIntoOutput(graph, node, affine);
    if (!folded) return `the weights of ${node.op} '${node.name}' would overflow`;
    const taken = nothingTaken();
    takeLayer(scope, taken, node, folded, { outputs: [output] });
    return taken;
  }
  const channels = concatenatedChannels(graph, node);
  const stop = channels ? undefined : refusal(graph, node, affine);
  if (stop) return stop;
  const taken = nothingTaken();
  let first = 0;
  for (const [i, input] of (channels ? node.inputs : node.inputs.slice(0, 1)).entries()) {
    const end = channels ? first + channels[i] : affine.scale.length;
    const range = { scale: affine.scale.slice(first, end), shift: affine.shift.slice(first, end) };
    const branch = takeBack(scope, input, range, input, steps + 1);
    if (typeof branch === 'string') return branch;
    merge(taken, branch);
    first = end;
  }
  taken.through.add(node.op);
  taken.replace.set(node, [output === value ? node : { ...node, outputs: [output], origin: undefined }]);
  return taken;
}

function merge(into: Taken, from: Taken): void {
  for (const [node, nodes] of from.replace) into.replace.set(node, nodes);
  for (const [name, tensor] of from.constants) into.constants.set(name, tensor);
  for (const op of from.through) into.through.add(op);
  into.layers.push(...from.layers);
}
