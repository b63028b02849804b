import { type Layer, layersOf } from '../analysis/layers.js';
import { interrupted } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph } from '../ir/graph.js';
import { copyNode } from '../ir/rewrite.js';
import { Tensor } from '../ir/tensor.js';
import type { Values } from '../training/engine.js';
import { type ChannelMoments, type Observation, SAMPLES, sampledFractions } from './calibration/observation.js';
import { inputAxis, momentsOf, sampleChannels } from './calibration/probes.js';
import type { Calibration, Pass, PassContext } from './pass.js';
import { phasesOf } from './refitting/windows.js';

/** Positions of an image at which the channels that layers read are sampled. */
const MOMENT_SAMPLES = 512;

/**
 * Runs the network on the calibration images and remembers what its layers read and make: the moments over channels by
 * which `thin` chooses, and sampled outputs that `refit` aims at. Changes nothing.
 */
export const observe: Pass<Record<string, never>> = {
  name: 'observe',
  summary: 'runs the network on calibration images',
  keeps: 'exact',
  async run(graph, _, context) {
    const { calibration } = context;
    if (!calibration) return graph;
    calibration.observation = await observation(graph, calibration, context);
    context.note({ layer: 'all layers', action: 'observed', images: calibration.images.length });
    return graph;
  },
};

async function observation(graph: Graph, calibration: Calibration, context: PassContext): Promise<Observation> {
  const probed = probe(graph, context);
  const moments = new Map<string, Moments>();
  const targets = new Map<string, Tensor[]>([...probed.targets.keys()].map((value) => [value, []]));
  const spreads = new Map<string, Spread>();
  const shelf = calibration.engine.shelf();
  const loaded = await calibration.engine.load(probed.graph);
  try {
    for (const [image, load] of calibration.images.entries()) {
      if (context.signal?.aborted) throw interrupted();
      const fractions = [...probed.fractions].map(
        ([count, name]) => [name, Tensor.from([count], sampledFractions(context.seed, image, count))] as const,
      );
      const outputs = await loaded.run(new Map([...(await load()), ...fractions]));
      for (const [value, names] of probed.moments) addMoments(moments, value, names, outputs);
      for (const [value, name] of probed.targets) {
        const samples = outputs.get(name) as Tensor;
        targets.get(value)?.push(shelf.put(samples));
        addSpread(spreads, value, samples);
      }
      context.progress((image + 1) / calibration.images.length, `${image + 1} of ${calibration.images.length} images`);
    }
  } finally {
    await loaded.close();
  }
  const variances = new Map([...spreads].map(([value, spread]) => [value, varianceOf(spread)]));
  return { graph, seed: context.seed, moments, targets, variances };
}

interface Spread {
  count: number;
  readonly sums: Float64Array;
  readonly squares: Float64Array;
}

function addSpread(spreads: Map<string, Spread>, value: string, samples: Tensor): void {
  const [channels, count] = samples.shape;
  const found = spreads.get(value) ?? {
    count: 0,
    sums: new Float64Array(channels),
    squares: new Float64Array(channels),
  };
  spreads.set(value, found);
  found.count += count;
  const values = samples.toFloat32();
  for (let i = 0; i < values.length; i++) {
    const channel = Math.floor(i / count);
    found.sums[channel] += values[i];
    found.squares[channel] += values[i] ** 2;
  }
}

/** Times one less than the number of images is not divided by: only ratios matter. */
function varianceOf({ count, sums, squares }: Spread): Float64Array {
  return squares.map((square, c) => Math.max(0, square / count - (sums[c] / count) ** 2));
}

interface Probed {
  readonly graph: Graph;
  /** Input that takes the sampled fractions, by their number. */
  readonly fractions: ReadonlyMap<number, string>;
  /** Outputs with the moments of a value. */
  readonly moments: ReadonlyMap<string, { gram: string; sums: string }>;
  /** Output with the samples of a value. */
  readonly targets: ReadonlyMap<string, string>;
}

/** The graph with the wanted figures in place of its outputs. */
function probe(graph: Graph, { semantics }: PassContext): Probed {
  const builder = new GraphBuilder(semantics, { name: graph.name, origin: graph.origin });
  builder.reserve(graph.types.keys());
  for (const input of graph.inputs) builder.input(input, graph.type(input));
  for (const [name, tensor] of graph.constants) builder.constant(name, tensor);
  for (const node of graph.nodes) copyNode(graph, node, builder);
  const fractions = new Map<number, string>();
  const fractionsFor = (count: number) => {
    const known = fractions.get(count);
    if (known !== undefined) return known;
    const name = builder.input(builder.fresh(`fractions/${count}`), { dtype: 'f64', shape: [count] });
    fractions.set(count, name);
    return name;
  };
  const moments = new Map<string, { gram: string; sums: string }>();
  const targets = new Map<string, string>();
  for (const layer of layersOf(graph)) {
    const { node, channels } = layer;
    const [input] = node.inputs;
    const axis = inputAxis(layer, graph.type(input).shape?.length ?? 0);
    if (!moments.has(input) && isSampled(graph, input, axis))
      moments.set(input, momentsOf(builder, sampleChannels(builder, input, axis, fractionsFor(MOMENT_SAMPLES))));
    if (isSampled(graph, channels.value, channels.axis))
      targets.set(channels.value, targetProbe(graph, layer, builder, fractionsFor));
  }
  const outputs = [...[...moments.values()].flatMap(({ gram, sums }) => [gram, sums]), ...targets.values()];
  return { graph: builder.build(outputs), fractions, moments, targets };
}

function targetProbe(graph: Graph, layer: Layer, builder: GraphBuilder, fractionsFor: (count: number) => string) {
  const { value, axis } = layer.channels;
  return sampleChannels(builder, value, axis, fractionsFor(SAMPLES * (phasesOf(graph, layer)?.length ?? 1)));
}

/** Only floating-point values of known width that depend on the input can be sampled. */
function isSampled(graph: Graph, value: string, axis: number): boolean {
  const { dtype, shape } = graph.type(value);
  const isActivation = graph.inputs.includes(value) || graph.producer(value) !== undefined;
  return isActivation && (dtype === 'f32' || dtype === 'f16') && typeof shape?.[axis] === 'number';
}

type Moments = { -readonly [K in keyof ChannelMoments]: ChannelMoments[K] };

function addMoments(moments: Map<string, Moments>, value: string, names: { gram: string; sums: string }, from: Values) {
  const gram = from.get(names.gram) as Tensor;
  const [channels] = gram.shape;
  const found = moments.get(value) ?? {
    channels,
    count: 0,
    sums: new Float64Array(channels),
    gram: new Float64Array(channels * channels),
  };
  moments.set(value, found);
  found.count += MOMENT_SAMPLES;
  addTo(found.gram, gram.toFloat32());
  addTo(found.sums, (from.get(names.sums) as Tensor).toFloat32());
}

function addTo(sum: Float64Array, values: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += values[i];
}
