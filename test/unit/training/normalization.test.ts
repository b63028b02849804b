import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { load } from '../../../src/importers/index.js';
import type { Graph } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { verify } from '../../../src/ir/verify.js';
import { semantics } from '../../../src/ops/index.js';
import { canonicalize } from '../../../src/passes/canonicalize.js';
import { foldBn } from '../../../src/passes/fold-bn.js';
import { separable } from '../../../src/passes/separable.js';
import { thin } from '../../../src/passes/thin.js';
import {
  type ChannelStatistics,
  type NormalizationSite,
  normalizationSites,
  restoreNormalization,
  statisticsGraph,
  withStatistics,
} from '../../../src/training/normalization.js';
import { patterns } from '../../support/patterns.js';
import { Net } from '../../support/patterns-net.js';
import { largestDifference, type RunOptions, runGraph } from '../../support/run-graph.js';
import { countOf, runPass } from '../../support/run-pass.js';

const sample = fileURLToPath(new URL('../../../fixtures/sample/model.onnx', import.meta.url));

async function folded(graph: Graph): Promise<Graph> {
  const { graph: canonical } = await runPass(canonicalize, graph, {});
  return (await runPass(foldBn, canonical, {})).graph;
}

function pattern(name: string): Graph {
  const found = patterns.find((candidate) => candidate.name === name);
  if (!found) throw new Error(`there is no pattern '${name}'`);
  return found.make();
}

/** A U-Net of one level in any dimension, biases in its convolutions. */
function small(spatial: readonly number[], activate: (net: Net, x: string) => string): Graph {
  const net = new Net('small', 3);
  const block = (x: string, out: number) => activate(net, net.conv(x, out, { bias: true }));
  const skip = block(block(net.input([2, 1, ...spatial]), 4), 4);
  const bottom = block(block(net.maxPool(skip), 6), 6);
  const top = block(net.concat(skip, net.up(bottom, 4)), 4);
  return net.build(net.sigmoid(net.conv(top, 1, { kernel: 1, bias: true })));
}

const relu = (net: Net, x: string) => net.relu(x);
const leaky = (net: Net, x: string) => net.op('LeakyRelu', [x], { alpha: 0.1 });

async function thinnedAndFactorized(): Promise<Graph> {
  const unet = await folded(pattern('unet'));
  const { graph } = await runPass(thin, unet, { keep: 0.5, round: 1, shape: 'proportional' });
  return (await runPass(separable, graph, {})).graph;
}

/** Measures on the inputs of `runGraph`. */
async function measure(graph: Graph, sites: readonly NormalizationSite[], options?: RunOptions) {
  // A graph without outputs cannot be run.
  if (sites.length === 0) return [];
  const outputs = await runGraph(statisticsGraph(graph, sites, semantics), options);
  return sites.map(
    (_, i): ChannelStatistics => ({ mean: outputs[2 * i].values, meanOfSquares: outputs[2 * i + 1].values }),
  );
}

/** Operators and the values that they make, which is what training needs to come back. */
function skeleton(graph: Graph): string[] {
  return graph.nodes.map(({ op, outputs }) => `${op} -> ${outputs}`);
}

function behindNormalizations(graph: Graph): string[] {
  return graph.nodes.flatMap(({ op, outputs }) => (op === 'BatchNormalization' ? outputs : []));
}

interface Case {
  readonly name: string;
  make(): Graph | Promise<Graph>;
  /** The values that BatchNormalizations make in training form. */
  readonly places: readonly string[];
  readonly options?: RunOptions;
}

const blocksOfSample = ['encoder.0', 'encoder.1', 'encoder.2', 'encoder.3', 'decoder.0', 'decoder.1', 'decoder.2'];

const cases: readonly Case[] = [
  {
    name: 'the sample, whose exporter left BatchNormalizations in, once they are folded',
    make: () => folded(load(sample)),
    places: blocksOfSample.flatMap((block) => [1, 4].map((i) => `/${block}/${block}.${i}/BatchNormalization_output_0`)),
    options: { sizes: { batch: 1 } },
  },
  {
    name: 'a thinned and factorized U-Net: behind the second factor only',
    make: thinnedAndFactorized,
    places: ['bn1', 'bn2', 'bn3', 'bn4', 'bn5', 'bn6', 'bn7', 'bn8', 'bn9', 'bn10'],
  },
  {
    name: 'a residual net: in each branch, before the sum',
    make: () => folded(pattern('residual')),
    places: ['bn1', 'bn2', 'bn3', 'bn4', 'bn5', 'bn6'],
  },
  { name: 'a 3-D net', make: () => small([8, 8, 8], relu), places: ['conv1', 'conv2', 'conv3', 'conv4', 'conv5'] },
  {
    name: 'a net with LeakyRelu',
    make: () => small([16, 16], leaky),
    places: ['conv1', 'conv2', 'conv3', 'conv4', 'conv5'],
  },
];

describe('restoreNormalization, statistics, fold-bn', () => {
  it.each(cases)('$name', async ({ make, places, options }) => {
    const graph = await make();
    expect(countOf(graph, 'BatchNormalization')).toBe(0);
    const { graph: restored, sites } = restoreNormalization(graph, semantics);
    expect(verify(restored, semantics)).toEqual([]);
    expect(behindNormalizations(restored).sort()).toEqual([...places].sort());
    expect(sites).toEqual(normalizationSites(restored));

    const expected = await runGraph(graph, options);
    expect(largestDifference(expected, await runGraph(restored, options))).toBeLessThan(1e-6);
    const measured = withStatistics(restored, sites, await measure(restored, sites, options));
    expect(largestDifference(expected, await runGraph(measured, options))).toBeLessThan(1e-5);
    const { graph: again } = await runPass(foldBn, measured, {});
    expect(skeleton(again)).toEqual(skeleton(graph));
    expect(largestDifference(expected, await runGraph(again, options))).toBeLessThan(1e-5);
  });

  it.each(patterns)('$name: comes back as it was, with nothing left to fold', async ({ make, sizes }) => {
    const graph = await folded(make());
    const { graph: restored, sites } = restoreNormalization(graph, semantics);
    expect(countOf(restored, 'BatchNormalization')).toBe(sites.length + countOf(graph, 'BatchNormalization'));
    const all = normalizationSites(restored);
    const measured = withStatistics(restored, all, await measure(restored, all, { sizes }));
    const expected = await runGraph(graph, { sizes });
    expect(largestDifference(expected, await runGraph(measured, { sizes }))).toBeLessThan(1e-5);
    const { graph: again } = await runPass(foldBn, measured, {});
    expect(skeleton(again)).toEqual(skeleton(graph));
    expect(largestDifference(expected, await runGraph(again, { sizes }))).toBeLessThan(1e-5);
  });
});

describe('statistics', () => {
  it('are means over batch and space, each channel by itself, in the order of the sites', async () => {
    const graph = small([16, 16], leaky);
    const { graph: restored, sites } = restoreNormalization(graph, semantics);
    const statistics = await measure(restored, sites);
    expect(statistics).toHaveLength(5);
    const [{ dims, values }] = await runGraph(restored.with({ outputs: [sites[2].value] }));
    const [images, channels, ...spatial] = dims;
    const positions = spatial.reduce((product, extent) => product * extent, 1);
    for (let c = 0; c < channels; c++) {
      const own = values.filter((_, i) => Math.floor(i / positions) % channels === c);
      expect(own).toHaveLength(images * positions);
      const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
      expect(statistics[2].mean[c]).toBeCloseTo(mean(own), 6);
      expect(statistics[2].meanOfSquares[c]).toBeCloseTo(mean(own.map((value) => value ** 2)), 6);
    }
  });

  it('leave a normalized value with mean b and deviation s behind', async () => {
    const { graph, sites } = restoreNormalization(small([16, 16], leaky), semantics);
    const measured = withStatistics(graph, sites, await measure(graph, sites));
    const [output] = behindNormalizations(measured);
    const [{ mean, meanOfSquares }] = await measure(measured, [{ ...sites[0], value: output }]);
    const [scale, bias] = [sites[0].scale, sites[0].bias].map((name) => measured.constants.get(name)!.toFloat64());
    for (let c = 0; c < sites[0].channels; c++) {
      expect(mean[c]).toBeCloseTo(bias[c], 5);
      expect(Math.sqrt(meanOfSquares[c] - mean[c] ** 2 + 0)).toBeCloseTo(scale[c], 3);
    }
  });

  it('can be set where the model has normalizations of its own, even with constants in common', async () => {
    const net = new Net('own', 4);
    const ones = net.constant('ones', Tensor.floats(new Float32Array(4).fill(1)));
    const zeros = net.constant('zeros', Tensor.floats(new Float32Array(4)));
    const block = (x: string) =>
      net.relu(net.op('BatchNormalization', [net.conv(x, 4), ones, zeros, zeros, ones], { epsilon: 1e-3 }));
    const graph = net.build(net.conv(block(block(net.input([2, 1, 12, 12]))), 1));
    const { graph: restored, sites: added } = restoreNormalization(graph, semantics);
    expect(added).toEqual([]);
    const sites = normalizationSites(restored);
    expect(new Set(sites.flatMap(({ scale, bias, mean, variance }) => [scale, bias, mean, variance])).size).toBe(8);
    const statistics = await measure(restored, sites);
    const measured = withStatistics(restored, sites, statistics);
    expect(Math.abs(statistics[1].mean[0])).toBeGreaterThan(1e-3);
    expect(measured.constants.get(sites[1].mean)!.toFloat64()).toEqual(Float64Array.from(statistics[1].mean));
    expect(largestDifference(await runGraph(graph), await runGraph(measured))).toBeLessThan(1e-5);
  });

  it('of a channel that never varies leave it as it is', async () => {
    const net = new Net('constant', 6);
    const weight = net.constant('weight', Tensor.floats(new Float32Array(2 * 9), [2, 1, 3, 3]));
    const bias = net.constant('bias', Tensor.floats([0.75, -0.25]));
    const x = net.op('Conv', [net.input([2, 1, 8, 8]), weight, bias], { pads: [1, 1, 1, 1] });
    const graph = net.build(net.conv(leaky(net, x), 1));
    const { graph: restored, sites } = restoreNormalization(graph, semantics);
    const measured = withStatistics(restored, sites, await measure(restored, sites));
    expect(measured.constants.get(sites[0].variance)!.toFloat64()).toEqual(new Float64Array(2));
    const outputs = await runGraph(measured);
    expect(outputs[0].values.every(Number.isFinite)).toBe(true);
    expect(largestDifference(await runGraph(graph), outputs)).toBeLessThan(1e-6);
  });

  it('below zero by rounding count as zero; those that are not finite are refused by name', () => {
    const { graph, sites } = restoreNormalization(small([16, 16], relu), semantics);
    const flat = { mean: [3, 3, 3, 3], meanOfSquares: [8.999999, 9, 9, 9] };
    const measured = withStatistics(graph, sites.slice(0, 1), [flat]);
    expect(measured.constants.get(sites[0].variance)!.toFloat64()).toEqual(new Float64Array(4));
    const broken = { mean: [0, 0, 0, 0], meanOfSquares: [1, 1, Number.POSITIVE_INFINITY, 1] };
    expect(() => withStatistics(graph, sites.slice(0, 1), [broken])).toThrow(`'${sites[0].value}'`);
  });
});
