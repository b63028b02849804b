import { analyseChannels, type ChannelAnalysis, type ChannelClass } from '../analysis/channels.js';
import { bindShapes, costOf } from '../analysis/cost.js';
import { type Layer, layersOf } from '../analysis/layers.js';
import type { Graph } from '../ir/graph.js';
import type { Semantics } from '../ir/semantics.js';
import type { AxisRef } from '../ops/op.js';
import type { Observation } from './calibration/observation.js';
import type { Pass, PassContext } from './pass.js';
import { applyThinning, KeptCoordinates } from './thinning/apply.js';
import { scoreUnitsByData } from './thinning/choose-by-data.js';
import { reconstructDropped } from './thinning/reconstruct.js';
import { scoreUnits } from './thinning/score.js';
import {
  flatWidths,
  nearestWidth,
  proportionalWidths,
  type ThinnableClass,
  type WidthOptions,
} from './thinning/widths.js';

export interface ThinOptions extends WidthOptions {
  readonly shape: 'proportional' | 'flat';
  /** Channels of every spatial class where `shape` is flat; else the width that costs what proportional would. */
  readonly width?: number;
  /** Shapes of the inputs for counting multiply–accumulates. */
  readonly inputShapes?: ReadonlyMap<string, readonly number[]>;
}

/**
 * Removes channels that the network can spare.
 *
 * Before: convolutions with n channels; after: with max(1, round(keep·n)), in whole coupled groups: a skip connection,
 * both branches of a residual sum and everything that reads them lose the same channels (algorithms, A.1). Which stay
 * is chosen by the norm of the folded weights that read them (A.2). Where `observe` ran before, they are chosen by data and the layers
 * that read them make up for the others (A.3). Interface, spatial axes and all other attributes stay.
 */
export const thin: Pass<ThinOptions> = {
  name: 'thin',
  summary: 'removes channels in coupled groups',
  keeps: 'approximate',
  run(graph, options, context) {
    const analysis = analyseChannels(graph);
    const classes = thinnableClasses(graph, analysis);
    const widths = chooseWidths(graph, classes, options, context.semantics);
    const observation = context.calibration?.observation;
    if (observation) return thinByData(graph, { analysis, classes, widths, observation }, context);
    const scores = scoreUnits(
      graph,
      classes.map(({ channelClass }) => channelClass),
    );
    const kept = keptCoordinates(graph, classes, widths, scores);
    noteLayers(graph, analysis, kept, context, () => BY_WEIGHTS);
    return applyThinning(graph, kept, context.semantics);
  },
};

/** How the channels that stay were chosen, for the report. */
const BY_DATA = 'data-aware';
const BY_WEIGHTS = 'norms of the folded weights that read it';

interface DataChoice {
  readonly analysis: ChannelAnalysis;
  readonly classes: readonly ThinnableClass[];
  readonly widths: readonly number[];
  readonly observation: Observation;
}

async function thinByData(graph: Graph, choice: DataChoice, context: PassContext): Promise<Graph> {
  const { analysis, classes, widths, observation } = choice;
  const byData = await scoreUnitsByData(graph, classes, widths, observation, context);
  const scores = classes.map(({ channelClass }, i) => byData[i] ?? scoreUnits(graph, [channelClass])[0]);
  const kept = keptCoordinates(graph, classes, widths, scores);
  observation.kept = kept;
  const axesByData = new Set(
    classes.flatMap(({ channelClass }, i) => (byData[i] ? channelClass.axes.map(nameOf) : [])),
  );
  noteLayers(graph, analysis, kept, context, (axis) => (axesByData.has(nameOf(axis)) ? BY_DATA : BY_WEIGHTS));
  return reconstructDropped(applyThinning(graph, kept, context.semantics), kept, observation, context);
}

function nameOf({ value, axis }: AxisRef): string {
  return `${axis} ${value}`;
}

/** The free classes that some layer makes; channels that no layer makes (of a constant alone) are left as they are. */
export function thinnableClasses(graph: Graph, analysis: ChannelAnalysis): ThinnableClass[] {
  const layers = layersOf(graph);
  return analysis.classes.flatMap((channelClass) => {
    const on = (value: string, axis: number) =>
      channelClass.axes.some((ref) => ref.value === value && ref.axis === axis);
    const producers = layers.filter(({ channels }) => on(channels.value, channels.axis));
    if (producers.length === 0) return [];
    const users = layers.filter(({ weight, inAxis }) => on(weight.name, inAxis));
    return [
      {
        channelClass,
        producers,
        channelsPerUnit: coordinatesOn(channelClass, producers[0]).length,
        isSpatial: [...producers, ...users].some(({ weight }) => weight.tensor.shape.slice(2).some((size) => size > 1)),
      },
    ];
  });
}

function coordinatesOn(channelClass: ChannelClass, { channels }: Layer): readonly number[] {
  const position = channelClass.axes.findIndex(({ value, axis }) => value === channels.value && axis === channels.axis);
  return channelClass.units[0].coordinates[position];
}

function chooseWidths(
  graph: Graph,
  classes: readonly ThinnableClass[],
  options: ThinOptions,
  semantics: Semantics,
): number[] {
  const proportional = proportionalWidths(classes, options);
  if (options.shape === 'proportional') return proportional;
  if (options.width !== undefined) return flatWidths(classes, options.width, options);
  const bound = bindShapes(graph, options.inputShapes);
  const macsOf = (widths: readonly number[]) =>
    costOf(applyThinning(bound, keptCoordinates(bound, classes, widths), semantics)).macs ?? 0;
  const largest = Math.max(
    ...classes.map(({ channelClass, channelsPerUnit }) => channelClass.units.length * channelsPerUnit),
  );
  const width = nearestWidth(largest, options.round, macsOf(proportional), (candidate) =>
    macsOf(flatWidths(classes, candidate, options)),
  );
  return flatWidths(classes, width, options);
}

/** The best-scored units of every class; without scores the first ones (enough for counting). */
function keptCoordinates(
  graph: Graph,
  classes: readonly ThinnableClass[],
  widths: readonly number[],
  scores?: readonly Float64Array[],
): KeptCoordinates {
  const goes = new Map<string, { axis: AxisRef; marks: Uint8Array }>();
  for (const [i, { channelClass }] of classes.entries()) {
    const worst = worstUnits(channelClass, widths[i], scores?.[i]);
    if (worst.length === 0) continue;
    for (const [position, axis] of channelClass.axes.entries()) {
      const key = `${axis.axis} ${axis.value}`;
      const extent = graph.type(axis.value).shape?.[axis.axis] as number;
      const { marks } = goes.get(key) ?? { marks: new Uint8Array(extent) };
      goes.set(key, { axis, marks });
      for (const unit of worst)
        for (const coordinate of channelClass.units[unit].coordinates[position]) marks[coordinate] = 1;
    }
  }
  const kept = new KeptCoordinates();
  for (const { axis, marks } of goes.values()) kept.set(axis, unmarked(marks));
  return kept;
}

function unmarked(marks: Uint8Array): number[] {
  const indices: number[] = [];
  for (let i = 0; i < marks.length; i++) if (!marks[i]) indices.push(i);
  return indices;
}

/** Indices of all units but the `width` best; equal scores keep the earlier unit. */
function worstUnits(channelClass: ChannelClass, width: number, scores?: Float64Array): number[] {
  const order = channelClass.units.map((_, i) => i);
  if (scores) order.sort((a, b) => scores[b] - scores[a] || a - b);
  return order.slice(width);
}

function noteLayers(
  graph: Graph,
  analysis: ChannelAnalysis,
  kept: KeptCoordinates,
  context: PassContext,
  methodOf: (axis: AxisRef) => string,
): void {
  for (const { node, channels } of layersOf(graph)) {
    const before = graph.type(channels.value).shape?.[channels.axis] ?? '?';
    const after = kept.of(channels)?.length ?? before;
    const reason = analysis.whyFixed(channels);
    const how = after === before ? { action: 'kept' } : { action: 'thinned', method: methodOf(channels) };
    context.note({ layer: node.name, ...how, before, after, ...(reason === undefined ? {} : { reason }) });
  }
}
