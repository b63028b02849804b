import type { ChannelClass } from '../../analysis/channels.js';
import { type Layer, layersOf } from '../../analysis/layers.js';
import type { Graph } from '../../ir/graph.js';

/** Norms of the slices of a folded weight along its two channel axes. */
interface WeightNorms {
  readonly out: Float64Array;
  readonly into: Float64Array;
}

/**
 * Data-free importance of every unit of every class (algorithms, A.2): the product over the unit's producers of the
 * norm of its row of the *folded* weight and over its consumers of the norm of its column, each divided by the mean of
 * its tensor so that layers compare. Returned as logarithms; higher matters more.
 */
export function scoreUnits(graph: Graph, classes: readonly ChannelClass[]): Float64Array[] {
  const layers = new Map(layersOf(graph).map((layer) => [layer.weight.name, layer]));
  const norms = new Map<string, WeightNorms>();
  return classes.map((channelClass) => {
    const scores = new Float64Array(channelClass.units.length);
    for (const [position, axis] of channelClass.axes.entries()) {
      const layer = layers.get(axis.value);
      if (!layer || (axis.axis !== layer.outAxis && axis.axis !== layer.inAxis)) continue;
      const found = norms.get(axis.value) ?? foldedNorms(graph, layer);
      norms.set(axis.value, found);
      addLogScores(scores, channelClass, position, axis.axis === layer.outAxis ? found.out : found.into);
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

/** Small enough to stay in the processor's cache between reading and summing. */
const SLAB = 1 << 18;

/** Reads the weight once, slab by slab. */
function foldedNorms(graph: Graph, layer: Layer): WeightNorms {
  const { tensor } = layer.weight;
  const [rows, columns] = tensor.shape;
  const energy = new Float64Array(rows * columns);
  const kernel = tensor.size / Math.max(1, rows * columns);
  let index = 0;
  const scratch = new ArrayBuffer(SLAB);
  for (const slab of tensor.slabs(SLAB)) {
    const values = slab.toFloat32(scratch);
    for (let at = 0; at < values.length; index++) {
      let sum = 0;
      for (const end = at + kernel; at < end; at++) sum += values[at] * values[at];
      energy[index] = sum;
    }
  }
  const scale = squaredScale(graph, layer);
  const sums = [new Float64Array(rows), new Float64Array(columns)];
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const folded = energy[r * columns + c] * (scale?.[layer.outAxis === 0 ? r : c] ?? 1);
      sums[0][r] += folded;
      sums[1][c] += folded;
    }
  return { out: sums[layer.outAxis].map(Math.sqrt), into: sums[layer.inAxis].map(Math.sqrt) };
}

/** γ²/(σ²+ε) of the BatchNorm that alone reads the layer's output: unfolded norms are wrong, BatchNorm undoes them. */
function squaredScale(graph: Graph, layer: Layer): Float64Array | undefined {
  if (!graph.hasOneReader(layer.channels.value)) return undefined;
  const [{ node }] = graph.readers(layer.channels.value);
  if (node.op !== 'BatchNormalization') return undefined;
  const [gamma, , , variance] = node.inputs.slice(1).map((name) => graph.constants.get(name)?.toFloat64());
  const epsilon = (node.attributes.epsilon as number | undefined) ?? 1e-5;
  if (gamma?.length !== layer.weight.tensor.shape[layer.outAxis] || !variance) return undefined;
  return gamma.map((value, c) => value ** 2 / (Math.max(0, variance[c]) + epsilon));
}
