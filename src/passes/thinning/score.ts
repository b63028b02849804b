import type { ChannelClass } from '../../analysis/channels.js';
import { type Layer, layersOf } from '../../analysis/layers.js';
import type { Graph, Node } from '../../ir/graph.js';

/** Norms of the slices of a folded weight along its two channel axes. */
interface WeightNorms {
  readonly out: Float64Array;
  readonly into: Float64Array;
}

/**
 * Data-free importance of every unit of every class: the product over the layers that read the unit of the norm of its
 * column of the *folded* weight, each divided by the mean of its tensor so that layers compare; where no layer reads
 * it, the same of the rows that make it. Returned as logarithms; higher matters more.
 *
 * Of the scores of algorithms, A.2, this one measured best: with a tenth of the channels of a fetal-head U-Net gone and
 * nothing refitted, mean Dice was 0.92 by the readers' columns, 0.11 by the makers' rows, 0.15 by both together, and
 * 0.21 to 0.71 by chance.
 */
export function scoreUnits(graph: Graph, classes: readonly ChannelClass[]): Float64Array[] {
  const layers = new Map(layersOf(graph).map((layer) => [layer.weight.name, layer]));
  const scales = scalesApart(graph, [...layers.values()]);
  const norms = new Map<string, WeightNorms>();
  const normsOf = (layer: Layer) => {
    const found = norms.get(layer.weight.name) ?? foldedNorms(graph, layer);
    norms.set(layer.weight.name, found);
    return found;
  };
  return classes.map((channelClass) => {
    const scores = new Float64Array(channelClass.units.length);
    const scored = channelClass.axes.map(({ value, axis }, position) => ({
      value,
      axis,
      position,
      layer: layers.get(value),
    }));
    const reading = scored.filter(({ axis, layer }) => layer?.inAxis === axis);
    for (const { position, layer } of reading) addLogScores(scores, channelClass, position, normsOf(layer!).into);
    if (reading.length) return scores;
    for (const { value, axis, position, layer } of scored) {
      const apart = scales.get(value);
      if (apart) addLogScores(scores, channelClass, position, apart);
      if (layer?.outAxis === axis) addLogScores(scores, channelClass, position, normsOf(layer).out);
    }
    return scores;
  });
}

function addLogScores(scores: Float64Array, channelClass: ChannelClass, position: number, norms: Float64Array): void {
  const mean = norms.reduce((sum, norm) => sum + norm, 0) / norms.length;
  for (const [i, unit] of channelClass.units.entries()) {
    const coordinates = unit.coordinates[position];
    const energy = coordinates.reduce((sum, c) => sum + norms[c] ** 2, 0) / coordinates.length;
    scores[i] += mean > 0 ? Math.log(Math.sqrt(energy) / mean) : 0;
  }
}

/** Reads the weight once, piece by piece. */
function foldedNorms(graph: Graph, layer: Layer): WeightNorms {
  const { tensor } = layer.weight;
  const [rows, columns] = tensor.shape;
  const sums: Sums = [new Float64Array(rows), new Float64Array(columns)];
  const scale = squaredScale(graph, layer) ?? new Float64Array(tensor.shape[layer.outAxis]).fill(1);
  let firstRow = 0;
  for (const values of tensor.float32Pieces()) firstRow += addEnergies(values, firstRow, layer, scale, sums);
  return { out: sums[layer.outAxis].map(Math.sqrt), into: sums[layer.inAxis].map(Math.sqrt) };
}

type Sums = readonly [rows: Float64Array, columns: Float64Array];

/** Adds the squared numbers of whole rows of a weight to the sums of their rows and columns. Returns how many rows. */
function addEnergies(
  values: Float32Array,
  firstRow: number,
  { weight, outAxis }: Layer,
  scale: Float64Array,
  [rowSums, columnSums]: Sums,
): number {
  const columns = columnSums.length;
  const kernel = weight.tensor.size / Math.max(1, rowSums.length * columns);
  let at = 0;
  let row = firstRow;
  for (; at < values.length; row++)
    for (let column = 0; column < columns; column++) {
      let energy = 0;
      for (let k = 0; k < kernel; k++) {
        const value = values[at++];
        energy += value * value;
      }
      energy *= scale[outAxis === 0 ? row : column];
      rowSums[row] += energy;
      columnSums[column] += energy;
    }
  return row - firstRow;
}

/** γ²/(σ²+ε) of the BatchNorm that alone reads the layer's output: unfolded norms are wrong, BatchNorm undoes them. */
function squaredScale(graph: Graph, layer: Layer): Float64Array | undefined {
  const node = normBehind(graph, layer);
  const scale = node && scaleOf(graph, node);
  return scale?.length === layer.weight.tensor.shape[layer.outAxis] ? scale.map((value) => value ** 2) : undefined;
}

/** Absolute scales, by the name of γ, of BatchNorms that stand elsewhere: behind an activation, a Concat or a sum. */
function scalesApart(graph: Graph, layers: readonly Layer[]): Map<string, Float64Array> {
  const counted = new Set(layers.map((layer) => normBehind(graph, layer)));
  const scales = new Map<string, Float64Array>();
  for (const node of graph.nodes) {
    const scale = node.op === 'BatchNormalization' && !counted.has(node) ? scaleOf(graph, node) : undefined;
    if (scale) scales.set(node.inputs[1], scale.map(Math.abs));
  }
  return scales;
}

function normBehind(graph: Graph, { channels }: Layer): Node | undefined {
  if (!graph.hasOneReader(channels.value)) return undefined;
  const [{ node }] = graph.readers(channels.value);
  return node.op === 'BatchNormalization' ? node : undefined;
}

/** γ/√(σ²+ε). */
function scaleOf(graph: Graph, node: Node): Float64Array | undefined {
  const gamma = graph.constants.get(node.inputs[1])?.toFloat64();
  const variance = graph.constants.get(node.inputs[4])?.toFloat64();
  const epsilon = (node.attributes.epsilon as number | undefined) ?? 1e-5;
  return variance && gamma?.map((value, c) => value / Math.sqrt(Math.max(0, variance[c]) + epsilon));
}
