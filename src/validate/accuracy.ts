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
  /** The compressed graph in ONNX Runtime, against which candidates in other runtimes are held; may be one of them. */
  readonly reference: Runner | null;
  readonly dataset: Dataset;
  readonly interpretation: Interpretation;
  readonly artifactInterpretation: Interpretation;
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
  /** Null where the candidate answers with classes and the original with scores. */
  readonly numeric: NumericAgreement | null;
  /** How far its raw output is from that of the compressed graph in ONNX Runtime; null for that itself. */
  readonly conversion: NumericAgreement | null;
  /** Null for outputs that are plain values. */
  readonly accuracy: Accuracy | null;
  /** Why the output cannot come from a working model; it is then not scored. */
  readonly broken: 'not finite' | 'constant' | null;
}

/** The agreement of two outputs over the images seen so far. */
class Agreement {
  private error = -1;
  private squares = 0;
  private norm = 0;
  private worst: NumericAgreement['worst'] = { image: '', index: [] };
  private range: OutputRange | undefined;

  add(image: string, actual: ArrayLike<number>, wanted: ArrayLike<number>, shape: readonly number[]): void {
    const difference = compareOutputs(actual, wanted, shape);
    if (difference.maxAbsoluteError > this.error) {
      this.error = difference.maxAbsoluteError;
      this.worst = { image, index: difference.worst };
    }
    for (let i = 0; i < wanted.length; i++) {
      this.squares += (actual[i] - wanted[i]) ** 2;
      this.norm += wanted[i] ** 2;
    }
    this.range = outputRange(wanted, this.range);
  }

  result(): NumericAgreement {
    return {
      maxAbsoluteError: this.error,
      relativeL2: this.squares === 0 ? 0 : Math.sqrt(this.squares / this.norm),
      worst: this.worst,
      range: this.range ? this.range.maximum - this.range.minimum : 0,
    };
  }
}

interface Tally {
  numeric: Agreement | null;
  conversion: Agreement | null;
  range: OutputRange | undefined;
  scored: ScoredImage[];
}

/** Runs the original and every candidate on every image and judges each candidate against the original. */
export async function measureAccuracy(request: AccuracyRequest): Promise<CandidateAccuracy[]> {
  const { dataset, candidates, interpretation, artifactInterpretation } = request;
  const isSameOutput = interpretation.output.kind === artifactInterpretation.output.kind;
  const tallies = candidates.map(
    (candidate): Tally => ({
      numeric: isSameOutput ? new Agreement() : null,
      conversion: request.reference && candidate !== request.reference ? new Agreement() : null,
      range: undefined,
      scored: [],
    }),
  );
  for (const [i, sample] of dataset.samples.entries()) {
    if (request.signal?.aborted) throw interrupted();
    const original = await runImage(interpretation, request.original, sample);
    const truth =
      sample.maskFile && interpretation.labels && original.mask
        ? await loadMask(sample.maskFile, interpretation.labels, original.mask.shape, original.sizes)
        : null;
    const compressed = request.reference && (await runImage(artifactInterpretation, request.reference, sample));
    for (const [c, candidate] of candidates.entries()) {
      const run =
        compressed && candidate === request.reference
          ? compressed
          : await runImage(artifactInterpretation, candidate, sample);
      addImage(tallies[c], { sample, original, compressed, run, truth, classes: interpretation.classes });
    }
    request.onImage?.(i + 1, dataset.samples.length);
  }
  return tallies.map((tally) => summarize(tally, request));
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
  const inputs = { [input.name]: inputOf(runner, input.name, [1, ...image.shape], image.data) };
  const result = (await runner.run(inputs))[output.name];
  if (!result) throw badModelInput(runner.file, `it has no output '${output.name}'`);
  const decision = decisionOf(interpretation);
  const shape = { data: numbersOf(result), shape: result.dims };
  const mask = decision && toClassMap(shape, decision, outputSpatial(result.dims, image.spatial));
  return { pixels: image.data, sizes: image, output: result, mask, spacing: image.spacing };
}

/** The pixels in the type that the model takes: a model with its preparation within takes whole numbers. */
function inputOf({ info }: Runner, name: string, dims: number[], pixels: Float32Array): TensorData {
  const type = info.inputs.find((input) => input.name === name)?.type;
  if (type === 'uint8') return { type, dims, data: Uint8Array.from(pixels) };
  if (type === 'int32') return { type, dims, data: Int32Array.from(pixels) };
  return { type: 'float32', dims, data: pixels };
}

function decisionOf({ output }: Interpretation): Decision | null {
  return output.kind === 'values' ? null : { kind: output.kind, threshold: output.threshold, channel: output.channel };
}

function numbersOf({ data }: TensorData): ArrayLike<number> {
  return data instanceof BigInt64Array || data instanceof BigUint64Array
    ? Float64Array.from(data as BigInt64Array, Number)
    : data;
}

interface JudgedImage {
  readonly sample: Sample;
  readonly original: ImageRun;
  readonly compressed: ImageRun | null;
  readonly run: ImageRun;
  readonly truth: ClassMap | null;
  readonly classes: number;
}

function addImage(tally: Tally, { sample, original, compressed, run, truth, classes }: JudgedImage): void {
  const [actual, wanted] = [numbersOf(run.output), numbersOf(original.output)];
  if (tally.numeric && actual.length !== wanted.length)
    throw badModelInput(sample.name, `the models answer with ${wanted.length} and ${actual.length} values`);
  tally.numeric?.add(sample.name, actual, wanted, run.output.dims);
  if (compressed) tally.conversion?.add(sample.name, actual, numbersOf(compressed.output), run.output.dims);
  tally.range = outputRange(actual, tally.range);
  if (!run.mask || !original.mask) return;
  const target = truth ?? original.mask;
  tally.scored.push({
    name: sample.name,
    group: sample.group,
    original: scoreMasks(original.mask, target, classes, original.spacing),
    compressed: scoreMasks(run.mask, target, classes, run.spacing),
    agreement: diceOf(run.mask, original.mask, classes),
  });
}

function summarize(tally: Tally, request: AccuracyRequest): CandidateAccuracy {
  const broken = tally.range ? brokenBecause(tally.range) : null;
  const { samples } = request.dataset;
  const scores = !broken && tally.scored.length > 0;
  return {
    numeric: tally.numeric?.result() ?? null,
    conversion: tally.conversion?.result() ?? null,
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
