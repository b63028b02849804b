import { availableParallelism } from 'node:os';
import { bindShapes, costOf } from '../analysis/cost.js';
import { badPreprocess } from '../errors.js';
import { decodeMetadata } from '../formats/metadata.js';
import type { Graph } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { createRandom } from '../math/random.js';
import type { FullOptions } from '../options.js';
import type { Calibration } from '../passes/pass.js';
import type { Dataset, Sample } from '../validate/dataset.js';
import { fitPreprocess, loadInput } from '../validate/preprocess.js';
import { openEngine } from './engine.js';
import { readInputShapes } from './input-shapes.js';

/** Images that passes look at, at most, and at least where there are so many. */
const MOST_IMAGES = 64;
const LEAST_IMAGES = 8;

/** Fewer images where running the network on all of them would take more multiply–accumulates: some minutes. */
const MOST_MACS = 4e12;

/** Fewer images where the network's largest value would take more bytes over all of them: some values lie on disk. */
const MOST_BYTES = 4e9;

export interface OpenCalibration extends Calibration {
  close(): Promise<void>;
}

/**
 * What passes may learn from training images: a seeded choice of images of the training split, and an
 * engine that runs graphs on them. Undefined without data.
 *
 * @throws CompressError where the data cannot be read, or do not fit a model with one input
 */
export async function openCalibration(
  graph: Graph,
  train: Dataset | null,
  options: FullOptions,
  signal?: AbortSignal,
): Promise<OpenCalibration | undefined> {
  if (!train) return undefined;
  if (graph.inputs.length !== 1)
    throw badPreprocess(`the model has ${graph.inputs.length} inputs; images can be given to a model with one`);
  const [name] = graph.inputs;
  const shape = graph.type(name).shape ?? [];
  const preprocess = fitPreprocess({ ...(options.preprocess ?? decodeMetadata(graph.metadata).preprocess) }, shape);
  const samples = choose(train.samples, imageCount(graph, options), options.seed);
  const engine = await openEngine({ threads: options.threads ?? availableParallelism(), signal });
  return {
    engine,
    images: samples.map((sample) => async () => {
      const { data, shape: dims } = await loadInput(sample, preprocess, shape);
      return new Map([[name, Tensor.from([1, ...dims], data)]]);
    }),
    close: () => engine.close(),
  };
}

function imageCount(graph: Graph, options: FullOptions): number {
  const bound = bindShapes(graph, readInputShapes(options.inputShape, graph.inputs));
  const activations = bound.nodes.flatMap(({ outputs }) => outputs.map((output) => bound.type(output).shape ?? []));
  const sizes = activations.map((shape) => shape.reduce<number>((product, dim) => product * Number(dim), 4));
  const largest = Math.max(1, ...sizes.filter(Number.isFinite));
  const affordable = Math.floor(Math.min(MOST_MACS / (costOf(bound).macs || 1), MOST_BYTES / largest));
  return Math.min(MOST_IMAGES, Math.max(LEAST_IMAGES, affordable));
}

/** A seeded choice, in the order of the data. */
function choose(samples: readonly Sample[], count: number, seed: number): Sample[] {
  const chosen = new Set(createRandom(seed).shuffle(samples).slice(0, count));
  return samples.filter((sample) => chosen.has(sample));
}
