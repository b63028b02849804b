import { analyseChannels } from '../analysis/channels.js';
import { layersOf } from '../analysis/layers.js';
import type { Graph } from '../ir/graph.js';
import { applyEdits } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import type { AxisRef } from '../ops/op.js';
import { constantChannels } from './dead-channels/constant-channels.js';
import { type ChannelFacts, type DeadUnit, deadUnits } from './dead-channels/dead-units.js';
import { moveIntoBiases } from './dead-channels/moved-constants.js';
import { ZeroSliceFinder } from './dead-channels/zero-slices.js';
import type { Pass, PassContext } from './pass.js';
import { applyThinning, KeptCoordinates } from './thinning/apply.js';

/**
 * Removes channels that say nothing: those that are the same for all inputs, and those that nothing reads.
 *
 * Before: a convolution with a zero row, or a BatchNormalization with γ = 0; after: without that channel, its constant
 * moved into the biases of the layers that read it, where that is exact: no zero padding, or the constant is 0
 * (algorithms, A.1). Whole coupled groups go, as in thinning; one of each class stays.
 */
export const removeDeadChannels: Pass<Record<string, never>> = {
  name: 'remove-dead-channels',
  summary: 'removes channels that are constant or that nothing reads',
  keeps: 'exact',
  run(graph, _, context) {
    const zeros = new ZeroSliceFinder();
    let thinned = graph;
    // What read only dead channels is dead in the next round.
    for (let next: Graph | undefined = graph; next; next = withoutDeadUnits(thinned, zeros, context.semantics))
      thinned = next;
    noteLayers(graph, thinned, context);
    return thinned;
  },
};

/** Undefined where nothing is dead. */
function withoutDeadUnits(graph: Graph, zeros: ZeroSliceFinder, semantics: Semantics): Graph | undefined {
  const layers = layersOf(graph).map((layer) => [layer.node, { layer, zero: zeros.of(layer) }] as const);
  const byNode = new Map(layers);
  const constants = constantChannels(graph, byNode);
  const facts: ChannelFacts = { graph, layers: byNode, constants };
  if (constants.size === 0 && !layers.some(([, { zero }]) => zero.read.includes(1))) return undefined;
  const dead = deadUnits(facts, analyseChannels(graph));
  return dead.length > 0 ? without(graph, dead, semantics) : undefined;
}

function without(graph: Graph, dead: readonly DeadUnit[], semantics: Semantics): Graph {
  const kept = keptWithout(graph, dead);
  const edits = moveIntoBiases(
    graph,
    dead.flatMap(({ moved }) => moved),
  );
  for (const { layer, bias } of edits) {
    const outputs = kept.of(layer.channels);
    if (outputs) kept.set(bias, outputs);
  }
  return applyThinning(applyEdits(graph, semantics, edits), kept, semantics);
}

function keptWithout(graph: Graph, dead: readonly DeadUnit[]): KeptCoordinates {
  const dropped = new Map<string, { axis: AxisRef; coordinates: Set<number> }>();
  for (const { channelClass, unit } of dead)
    for (const [position, axis] of channelClass.axes.entries()) {
      const key = `${axis.axis} ${axis.value}`;
      const entry = dropped.get(key) ?? { axis, coordinates: new Set<number>() };
      dropped.set(key, entry);
      for (const coordinate of unit.coordinates[position]) entry.coordinates.add(coordinate);
    }
  const kept = new KeptCoordinates();
  for (const { axis, coordinates } of dropped.values()) {
    const extent = graph.type(axis.value).shape?.[axis.axis] as number;
    const all = Array.from({ length: extent }, (_, c) => c);
    kept.set(
      axis,
      all.filter((c) => !coordinates.has(c)),
    );
  }
  return kept;
}

function noteLayers(before: Graph, after: Graph, context: PassContext): void {
  for (const { node, channels } of layersOf(before)) {
    const [old, left] = [before, after].map((graph) => graph.type(channels.value).shape?.[channels.axis]);
    if (left !== undefined && old !== left)
      context.note({ layer: node.name, action: 'dead channels removed', before: old, after: left });
  }
}
