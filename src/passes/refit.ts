import { type Layer, layersOf } from '../analysis/layers.js';
import type { Graph } from '../ir/graph.js';
import { withConstants } from '../ir/rewrite.js';
import type { Tensor } from '../ir/tensor.js';
import type { LoadedGraph } from '../training/engine.js';
import type { Observation } from './calibration/observation.js';
import type { Calibration, Pass, PassContext } from './pass.js';
import { FittedLayer } from './refitting/fitted-layer.js';
import { correctionOf, type Sums, sumsGraph } from './refitting/regression.js';
import { Replay } from './refitting/replay.js';
import { KeptCoordinates } from './thinning/apply.js';

/** A relative residual that only rounding leaves: such a layer stays as it is. */
const FITS = 1e-8;

/** Layers with more unknowns for each output stay as they are: their equations take too long and too many images. */
const MOST_UNKNOWNS = 2304;

/**
 * Fits weights and biases anew so that layers make again what the observed network made.
 *
 * Before: layers that read fewer channels than they were trained for, or factors that approximate a kernel. After: for
 * each layer, front to back, W + D and b + d with the least-squares correction D, d from its inputs in the present
 * network to its output in the observed one, over sampled positions of the calibration images (algorithms, A.3; He et
 * al. 2017). Layers that fit already, and those of which the observed network has no output, stay.
 */
export const refit: Pass<Record<string, never>> = {
  name: 'refit',
  summary: 'fits weights by least squares on calibration images',
  keeps: 'approximate',
  async run(graph, _, context) {
    const { calibration } = context;
    const observation = calibration?.observation;
    if (!calibration || !observation) return graph;
    const sums = await calibration.engine.load(sumsGraph(context.semantics));
    try {
      return await refitLayers(graph, observation, calibration, sums, context);
    } finally {
      await sums.close();
    }
  },
};

async function refitLayers(
  graph: Graph,
  observation: Observation,
  calibration: Calibration,
  sums: LoadedGraph,
  context: PassContext,
): Promise<Graph> {
  const kept = observation.kept ?? new KeptCoordinates();
  const layers = layersOf(graph);
  const fitted = layers.flatMap((layer) => fittedLayer(graph, layer, observation, kept, context));
  const replay = new Replay(
    context,
    calibration,
    graph,
    fitted.map(({ input }) => input),
  );
  let current = graph;
  try {
    for (const [done, layer] of fitted.entries()) {
      context.progress(done / fitted.length, `layer ${done + 1} of ${fitted.length}`);
      const inputs = await replay.valuesOf(current, layer.input);
      const found = await layer.sums(current, inputs, sums);
      const changed = correct(current, layer, found, context);
      if (changed) current = current.with({ constants: new Map([...current.constants, ...changed]) });
    }
  } finally {
    replay.close();
  }
  return withConstants(graph, context.semantics, current.constants);
}

function fittedLayer(
  graph: Graph,
  layer: Layer,
  observation: Observation,
  kept: KeptCoordinates,
  context: PassContext,
): FittedLayer[] {
  const targets = observation.targets.get(layer.channels.value);
  const original = targets?.[0]?.shape[0];
  const channels = kept.of(layer.channels) ?? Array.from({ length: original ?? 0 }, (_, c) => c);
  const found = targets && FittedLayer.of(graph, layer, { tensors: targets, channels, seed: observation.seed });
  if (!found) return [];
  if (found.unknowns <= MOST_UNKNOWNS) return [found];
  context.note({ layer: layer.node.name, action: 'kept', reason: `it has ${found.unknowns} weights for each output` });
  return [];
}

/** New constants for the layer; undefined where it stays. */
function correct(
  graph: Graph,
  layer: FittedLayer,
  { groups, energy }: { groups: readonly (readonly Sums[])[]; energy: number },
  context: PassContext,
): Map<string, Tensor> | undefined {
  const residual = groups.flat().reduce((sum, phase) => sum + phase.energy, 0);
  if (residual <= FITS * energy) return undefined;
  const corrections = groups.map((phases) => correctionOf(phases, layer.bias !== undefined));
  const solved = corrections.filter((correction) => correction !== undefined);
  if (solved.length < corrections.length) {
    context.note({ layer: layer.name, action: 'kept', reason: 'its inputs do not determine its weights' });
    return undefined;
  }
  const left = groups.reduce(
    (sum, phases, g) => sum + solved[g].left * phases.reduce((total, phase) => total + phase.energy, 0),
    0,
  );
  context.note({
    layer: layer.name,
    action: 'refitted',
    errorBefore: Math.sqrt(residual / energy),
    errorAfter: Math.sqrt(left / energy),
  });
  return layer.corrected(graph, solved);
}
