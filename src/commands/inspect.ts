import { analyseChannels } from '../analysis/channels.js';
import { bindShapes, costOf } from '../analysis/cost.js';
import { type Layer, layersOf } from '../analysis/layers.js';
import { rankSpectrum } from '../analysis/rank-spectrum.js';
import { load } from '../importers/index.js';
import type { Graph } from '../ir/graph.js';
import { printType } from '../ir/print.js';
import { type Options, withDefaults } from '../options.js';
import { thinnableClasses } from '../passes/thin.js';
import { readInputShapes } from '../recipe/input-shapes.js';
import { count } from '../report/table.js';
import { textTable } from '../report/text-table.js';
import { openTerminal } from './terminal.js';

interface LayerReport {
  readonly layer: string;
  readonly op: string;
  readonly output: string;
  readonly kernel: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly macs: number | null;
  /** Where the layer's BatchNormalization stands. */
  readonly batchNorm: 'after' | 'after the activation' | 'folded or none';
  /** Number of the channel class, or why its channels are fixed. */
  readonly channels: { readonly channelClass: number } | { readonly fixed: string };
  /** Singular values of the kernels (depthwise unfolding), the largest as 1; null for kernels of one position. */
  readonly rankSpectrum: readonly number[] | null;
}

/** Shows what a model is made of and what could be taken away. */
export async function runInspect(file: string, given: Options): Promise<number> {
  const options = withDefaults(given);
  const terminal = openTerminal(options);
  const graph = load(file);
  const bound = bindShapes(graph, readInputShapes(options.inputShape, graph.inputs));
  const layers = inspectLayers(graph, bound);
  const cost = costOf(bound);
  const interfaces = (names: readonly string[]) => names.map((name) => `${name}: ${printType(graph.type(name))}`);
  const opaque = [
    ...new Set(graph.nodes.filter(({ op }) => op === 'Opaque').map(({ origin }) => origin?.op ?? 'Opaque')),
  ];
  const summary = {
    file,
    inputs: interfaces(graph.inputs),
    outputs: interfaces(graph.outputs),
    nodes: graph.nodes.length,
    parameters: cost.parameters,
    parameterBytes: cost.parameterBytes,
    macs: cost.macs,
    batchNormalizations: graph.nodes.filter(({ op }) => op === 'BatchNormalization').length,
    opaque,
  };
  if (options.json) process.stdout.write(`${JSON.stringify({ ...summary, layers })}\n`);
  terminal.result(`${summary.inputs.join(', ')} -> ${summary.outputs.join(', ')}`);
  terminal.result(layerTable(layers));
  terminal.result(
    `${count(cost.parameters)} parameters, ${count(cost.macs)} MACs, ${graph.nodes.length} nodes, ${summary.batchNormalizations} BatchNormalizations`,
  );
  if (opaque.length) terminal.result(`carried through without being understood: ${opaque.join(', ')}`);
  for (const { layer, channels } of layers)
    if ('fixed' in channels) terminal.result(`fixed: ${layer}: ${channels.fixed}`);
  return 0;
}

function inspectLayers(graph: Graph, bound: Graph): LayerReport[] {
  const analysis = analyseChannels(graph);
  const classes = thinnableClasses(graph, analysis);
  const costs = new Map(costOf(bound).nodes.map((cost) => [cost.node.outputs[0], cost]));
  return layersOf(graph).map((layer) => {
    const { node, weight, channels } = layer;
    const classNumber = classes.findIndex(({ producers }) => producers.some((producer) => producer.node === node));
    const cost = costs.get(node.outputs[0]);
    return {
      layer: node.name,
      op: node.op,
      output: printType(graph.type(node.outputs[0])),
      kernel: weight.tensor.shape.join('x'),
      parameters: cost?.parameters ?? weight.tensor.size,
      bytes: weight.tensor.byteLength,
      macs: cost && !Number.isNaN(cost.macs) ? cost.macs : null,
      batchNorm: batchNormOf(graph, layer),
      channels:
        classNumber < 0
          ? { fixed: analysis.whyFixed(channels) ?? 'no unit of it is free' }
          : { channelClass: classNumber + 1 },
      rankSpectrum: spectrumOf(layer),
    };
  });
}

function batchNormOf(graph: Graph, { channels }: Layer): LayerReport['batchNorm'] {
  const after = graph.readers(channels.value).map(({ node }) => node);
  if (after.some(({ op }) => op === 'BatchNormalization')) return 'after';
  const later = after.flatMap(({ outputs }) => graph.readers(outputs[0]).map(({ node }) => node.op));
  return later.includes('BatchNormalization') ? 'after the activation' : 'folded or none';
}

function spectrumOf({ node, weight, isConvolution }: Layer): readonly number[] | null {
  if (!isConvolution || weight.tensor.shape.slice(2).every((size) => size === 1)) return null;
  const { depthwise } = rankSpectrum(weight.tensor, Number(node.attributes.group ?? 1));
  const largest = Math.max(0, ...(depthwise ?? []));
  return depthwise?.map((value) => (largest > 0 ? value / largest : 0)) ?? null;
}

function layerTable(layers: readonly LayerReport[]): string {
  return textTable(
    ['layer', 'op', 'weight', 'parameters', 'MACs', 'BatchNorm', 'class', 'ranks'],
    layers.map(({ layer, op, kernel, parameters, macs, batchNorm, channels, rankSpectrum: spectrum }) => [
      layer,
      op,
      kernel,
      count(parameters),
      count(macs),
      batchNorm,
      'fixed' in channels ? 'fixed' : channels.channelClass,
      spectrum ? bar(spectrum) : '',
    ]),
  );
}

const BLOCKS = '▁▂▃▄▅▆▇█';

/** One block a singular value: a kernel of low rank falls off at once. */
function bar(values: readonly number[]): string {
  return values.map((value) => BLOCKS[Math.min(BLOCKS.length - 1, Math.floor(value * BLOCKS.length))]).join('');
}
