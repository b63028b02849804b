import { badModelInput, interrupted } from '../errors.js';
import type { Runner, TensorData } from '../runtime/runner.js';
import type { Dataset, Sample } from './dataset.js';
import { type Decision, outputSpatial, toClassMap } from './decision.js';
import { type Accuracy, judgeAccuracy, type ScoredImage } from './equivalence.js';
import type { Interpretation } from './interpretation.js';
import { type ClassMap, type ImageSizes, loadMask } from './masks.js';
import { diceOf, scoreMasks } from './metrics.js';
import { brokenBecause, compareOutputs, type OutputRange, outputRange } from './numeric.js';
import { loadInput } from './preprocess.js';

export interface AccuracyRequest {
  readonly original: Runner;
  readonly candidates: readonly Runner[];
  readonly dataset: Dataset;
  readonly interpretation: Interpretation;
  readonly split: 'test' | 'validation';
  readonly margin: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  readonly onImage?: (done: number, total: number) => void;
}

/** How far a candidate's raw output is from the original's, over all images. */
export interface NumericAgreement {
  readonly maxAbsoluteError: number;
  readonly relativeL2: number;
  /** The image with the largest error, and where in its output. */
  readonly worst: { readonly image: string; readonly index: readonly number[] };
  /** Largest minus smallest value of the original's output. */
  readonly range: number;
}

export interface CandidateAccuracy {
  readonly numeric: NumericAgreement;
  /** Null for outputs that are plain values. */
  readonly accuracy: Accuracy | null;
  /** Why the output cannot come from a working model; it is then not scored. */
  readonly broken: 'not finite' | 'constant' | null;
}

interface Tally {
  numeric: { error: number; squares: number; norm: number; worst: NumericAgreement['worst'] };
  range: OutputRange | undefined;
  scored: ScoredImage[];
}

/** Runs the original and every candidate on every image and judges each candidate against the original. */
export async function measureAccuracy(request: AccuracyRequest): Promise<CandidateAccuracy[]> {
  const { dataset, candidates } = request;
  const tallies = candidates.map(
    (): Tally => ({
      numeric: { error: -1, squares: 0, norm: 0, worst: { image: '', index: [] } },
      range: undefined,
      scored: [],
    }),
  );
  let originalRange: OutputRange | undefined;
  for (const [i, sample] of dataset.samples.entries()) {
    if (request.signal?.aborted) throw interrupted();
    const reference = await runImage(request.interpretation, request.original, sample);
    originalRange = outputRange(numbersOf(reference.output), originalRange);
    const truth =
      sample.maskFile && request.interpretation.labels && reference.mask
        ? await loadMask(sample.maskFile, request.interpretation.labels, reference.mask.shape, reference.sizes)
        : null;
    for (const [c, candidate] of candidates.entries())
      addImage(
        tallies[c],
        sample,
        reference,
        await runImage(request.interpretation, candidate, sample),
        truth,
        request.interpretation.classes,
      );
    request.onImage?.(i + 1, dataset.samples.length);
  }
  return tallies.map((tally) => summarize(tally, originalRange, request));
}

export interface ImageRun {
  /** The model's input. */
  readonly pixels: Float32Array;
  readonly sizes: ImageSizes;
  readonly output: TensorData;
  readonly mask: ClassMap | null;
  readonly spacing: readonly number[] | null;
}

/** Runs a model on one image and reads its output as a mask (null for outputs that are plain values). */
export async function runImage(interpretation: Interpretation, runner: Runner, sample: Sample): Promise<ImageRun> {
  const { input, preprocess, output } = interpretation;
  const image = await loadInput(sample, preprocess, input.shape);
  const inputs = { [input.name]: { type: 'float32' as const, dims: [1, ...image.shape], data: image.data } };
  const result = (await runner.run(inputs))[output.name];
  if (!result) throw badModelInput(runner.file, `it has no output '${output.name}'`);
  const decision = decisionOf(interpretation);
  const shape = { data: numbersOf(result), shape: result.dims };
  const mask = decision && toClassMap(shape, decision, outputSpatial(result.dims, image.spatial));
  return { pixels: image.data, sizes: image, output: result, mask, spacing: image.spacing };
}

function decisionOf({ output }: Interpretation): Decision | null {
  return output.kind === 'values' ? null : { kind: output.kind, threshold: output.threshold, channel: output.channel };
}

function numbersOf({ data }: TensorData): ArrayLike<number> {
  return data instanceof BigInt64Array || data instanceof BigUint64Array
    ? Float64Array.from(data as BigInt64Array, Number)
    : data;
}

function addImage(
  tally: Tally,
  sample: Sample,
  reference: ImageRun,
  run: ImageRun,
  truth: ClassMap | null,
  classes: number,
): void {
  const [actual, wanted] = [numbersOf(run.output), numbersOf(reference.output)];
  if (actual.length !== wanted.length)
    throw badModelInput(sample.name, `the models answer with ${wanted.length} and ${actual.length} values`);
  const difference = compareOutputs(actual, wanted, run.output.dims);
  if (difference.maxAbsoluteError > tally.numeric.error) {
    tally.numeric.error = difference.maxAbsoluteError;
    tally.numeric.worst = { image: sample.name, index: difference.worst };
  }
  for (let i = 0; i < wanted.length; i++) {
    tally.numeric.squares += (actual[i] - wanted[i]) ** 2;
    tally.numeric.norm += wanted[i] ** 2;
  }
  tally.range = outputRange(actual, tally.range);
  if (!run.mask || !reference.mask) return;
  const target = truth ?? reference.mask;
  tally.scored.push({
    name: sample.name,
    group: sample.group,
    original: scoreMasks(reference.mask, target, classes, reference.spacing),
    compressed: scoreMasks(run.mask, target, classes, run.spacing),
    agreement: diceOf(run.mask, reference.mask, classes),
  });
}

function summarize(tally: Tally, original: OutputRange | undefined, request: AccuracyRequest): CandidateAccuracy {
  const { error, squares, norm, worst } = tally.numeric;
  const broken = tally.range ? brokenBecause(tally.range) : null;
  const { samples } = request.dataset;
  const scores = !broken && tally.scored.length > 0;
  return {
    numeric: {
      maxAbsoluteError: error,
      relativeL2: squares === 0 ? 0 : Math.sqrt(squares / norm),
      worst,
      range: original ? original.maximum - original.minimum : 0,
    },
    broken,
    accuracy: scores
      ? judgeAccuracy(tally.scored, {
          split: request.split,
          reference: samples[0].maskFile ? 'masks' : 'original',
          margin: request.margin,
          unit: samples[0].spacing ? 'mm' : 'pixels',
          seed: request.seed,
        })
      : null,
  };
}
