import type { Layer } from '../../analysis/layers.js';
import type { Graph } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { LoadedGraph } from '../../training/engine.js';
import { sampledFractions, sampledPositions } from '../calibration/observation.js';
import { inputAxis } from '../calibration/probes.js';
import { Batch } from './batch.js';
import { addSamples, type Correction, Sums } from './regression.js';
import { type Geometry, geometryOf } from './windows.js';

/** What a layer should make: for each image samples [channels, samples] of the observed output, and which of its channels stay. */
export interface Targets {
  readonly tensors: readonly Tensor[];
  readonly channels: readonly number[];
  readonly seed: number;
}

/** A layer whose weights can be fitted, with the axes of its weight brought into the order of the equations. */
export class FittedLayer {
  readonly name: string;
  readonly input: string;
  /** Name of its bias, where it has one of its own. */
  readonly bias: string | undefined;
  private readonly perGroup: { readonly inputs: number; readonly outputs: number };

  private constructor(
    private readonly layer: Layer,
    private readonly geometry: Geometry,
    private readonly targets: Targets,
    graph: Graph,
  ) {
    const { node, weight, inAxis, outAxis } = layer;
    this.name = node.name;
    this.input = node.inputs[0];
    const bias = node.inputs[2] ?? '';
    const shape = graph.constants.get(bias)?.shape;
    const isOwn = shape?.length === 1 && shape[0] === targets.channels.length && graph.hasOneReader(bias);
    this.bias = isOwn ? bias : undefined;
    const [inputs, outputs] = [weight.tensor.shape[inAxis], weight.tensor.shape[outAxis]];
    // The first axis of a weight counts through all groups, the second within one.
    this.perGroup =
      outAxis === 0 ? { inputs, outputs: outputs / geometry.groups } : { inputs: inputs / geometry.groups, outputs };
  }

  /** Undefined where the layer shares its weight, or its geometry, type or width is not one that can be fitted. */
  static of(graph: Graph, layer: Layer, targets: Targets): FittedLayer | undefined {
    const geometry = geometryOf(graph, layer);
    const { name, tensor } = layer.weight;
    const width = graph.type(layer.channels.value).shape?.[layer.channels.axis];
    const fits = graph.hasOneReader(name) && (tensor.dtype === 'f32' || tensor.dtype === 'f16');
    if (!geometry || !fits || width !== targets.channels.length) return undefined;
    return new FittedLayer(layer, geometry, targets, graph);
  }

  /** Weights for each output, at most over the phases. */
  get unknowns(): number {
    return this.perGroup.inputs * Math.max(...this.geometry.phases.map(({ taps }) => taps.length));
  }

  /** The sums of each group's phases (those without taps left out), and Σ y² of the targets around their mean. */
  async sums(graph: Graph, inputs: readonly (() => Promise<Tensor>)[], sums: LoadedGraph) {
    const { phases, groups } = this.geometry;
    const { inputs: wide, outputs } = this.perGroup;
    const totals = phases.map(({ taps }) =>
      Array.from({ length: groups }, () => new Sums(wide * taps.length, outputs)),
    );
    const [, samples] = this.targets.tensors[0].shape;
    const weights = phases.map(({ taps }) => this.weightOf(graph, taps));
    const bias = this.biasOf(graph);
    const rows = { image: samples, all: samples * inputs.length };
    const batches = phases.map(({ taps }) => new Batch(groups, wide * taps.length, outputs, rows));
    const flush = async (phase: number) => {
      const gathered = batches[phase].take();
      if (gathered) await addSamples(totals[phase], { ...gathered, w: weights[phase] }, sums);
    };
    const spread = new Spread(this.targets.channels.length);
    for (const [image, load] of inputs.entries()) {
      for (const [phase, batch] of batches.entries()) if (!batch.hasRoomFor(samples)) await flush(phase);
      this.gather(image, await load(), bias, batches, spread);
    }
    for (const phase of phases.keys()) await flush(phase);
    const used = phases.flatMap(({ taps }, phase) => (taps.length > 0 ? [phase] : []));
    return {
      groups: Array.from({ length: groups }, (_, g) => used.map((phase) => totals[phase][g])),
      energy: spread.energy,
    };
  }

  /** The constants with the corrections, one a group, added. */
  corrected(graph: Graph, corrections: readonly Correction[]): Map<string, Tensor> {
    const tensor = graph.constants.get(this.layer.weight.name) as Tensor;
    const values = tensor.toFloat64();
    const used = this.geometry.phases.filter(({ taps }) => taps.length > 0);
    for (const [g, { weights }] of corrections.entries())
      for (const [p, { taps }] of used.entries()) {
        const { outputs } = this.perGroup;
        this.walk(g, taps, tensor.shape, (at, unknown, output) => {
          values[at] += weights[p][unknown * outputs + output];
        });
      }
    const constants = new Map([[this.layer.weight.name, Tensor.encode(tensor.dtype, tensor.shape, values)]]);
    const bias = graph.constants.get(this.bias ?? '');
    if (this.bias !== undefined && bias) {
      const { outputs } = this.perGroup;
      const moved = bias.toFloat64().map((value, o) => value + corrections[Math.floor(o / outputs)].bias[o % outputs]);
      constants.set(this.bias, Tensor.encode(bias.dtype, bias.shape, moved));
    }
    return constants;
  }

  /** The weight as [groups, unknowns, outputs]; unknown i·taps + k is input channel i at the phase's kernel position k. */
  private weightOf(graph: Graph, taps: readonly number[]): Tensor {
    const { inputs, outputs } = this.perGroup;
    const { groups } = this.geometry;
    const tensor = graph.constants.get(this.layer.weight.name) as Tensor;
    const values = tensor.toFloat32();
    const out = new Float32Array(groups * inputs * taps.length * outputs);
    for (let g = 0; g < groups; g++)
      this.walk(g, taps, tensor.shape, (at, unknown, output) => {
        out[(g * inputs * taps.length + unknown) * outputs + output] = values[at];
      });
    return Tensor.from([groups, inputs * taps.length, outputs], out);
  }

  /** Visits the weights of a group at some kernel positions. */
  private walk(
    group: number,
    taps: readonly number[],
    shape: readonly number[],
    visit: (at: number, unknown: number, output: number) => void,
  ): void {
    const { inputs, outputs } = this.perGroup;
    const kernel = shape.slice(2).reduce((product, extent) => product * extent, 1);
    const rowsAreOutputs = this.layer.outAxis === 0;
    for (let i = 0; i < inputs; i++)
      for (let o = 0; o < outputs; o++) {
        const row = rowsAreOutputs ? group * outputs + o : group * inputs + i;
        const start = (row * shape[1] + (rowsAreOutputs ? i : o)) * kernel;
        for (const [k, tap] of taps.entries()) visit(start + tap, i * taps.length + k, o);
      }
  }

  private biasOf(graph: Graph): Float64Array {
    const bias = graph.constants.get(this.layer.node.inputs[2] ?? '')?.toFloat64();
    const count = this.targets.channels.length;
    if (bias?.length === count) return bias;
    return new Float64Array(count).fill(bias?.[0] ?? 0);
  }

  /** Adds an image's samples to the batches of their phases; targets are taken without the bias. */
  private gather(image: number, input: Tensor, bias: Float64Array, batches: readonly Batch[], spread: Spread): void {
    const { tensors, channels, seed } = this.targets;
    const { groups } = this.geometry;
    const { inputs, outputs } = this.perGroup;
    const target = tensors[image].toFloat32();
    const [, samples] = tensors[image].shape;
    const channelAxis = inputAxis(this.layer, input.shape.length);
    const values = input.toFloat32();
    const inner = product(input.shape.slice(channelAxis + 1));
    const width = input.shape[channelAxis];
    const from = input.shape.filter((_, axis) => axis !== channelAxis);
    const to = this.geometry.outputOf(from);
    const positions = sampledPositions(sampledFractions(seed, image, samples), product(to));
    for (const [s, { phase, inputs: read }] of this.geometry.reads(from, to, positions).entries()) {
      // Positions count through batch and spatial axes, without the channel axis that lies between them.
      const starts = read.map((p) => (p < 0 ? -1 : Math.floor(p / inner) * inner * width + (p % inner)));
      batches[phase].add((x, y, start) => {
        for (let g = 0; g < groups; g++) {
          let at = start.x(g);
          for (let c = g * inputs; c < (g + 1) * inputs; c++)
            for (let k = 0; k < starts.length; k++) x[at++] = starts[k] < 0 ? 0 : values[starts[k] + c * inner];
          at = start.y(g);
          for (let o = g * outputs; o < (g + 1) * outputs; o++) {
            const value = target[channels[o] * samples + s];
            spread.add(o, value);
            y[at++] = value - bias[o];
          }
        }
      });
    }
  }
}

/** Spread of values around their channel's mean. */
class Spread {
  private readonly sums: Float64Array;
  private readonly counts: Float64Array;
  private squares = 0;

  constructor(channels: number) {
    this.sums = new Float64Array(channels);
    this.counts = new Float64Array(channels);
  }

  add(channel: number, value: number): void {
    this.sums[channel] += value;
    this.counts[channel]++;
    this.squares += value * value;
  }

  get energy(): number {
    return this.sums.reduce(
      (left, sum, c) => left - (this.counts[c] > 0 ? sum ** 2 / this.counts[c] : 0),
      this.squares,
    );
  }
}

function product(shape: readonly number[]): number {
  return shape.reduce((result, extent) => result * extent, 1);
}
