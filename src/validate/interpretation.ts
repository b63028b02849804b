import { badPreprocess } from '../errors.js';
import type { ArtifactMetadata } from '../formats/metadata.js';
import type { RunnerInfo } from '../runtime/runner.js';
import type { Dataset } from './dataset.js';
import { type Decision, guessOutputKind, type OutputKind } from './decision.js';
import { classCount, guessLabels, type Labels } from './masks.js';
import { fitPreprocess, inputLayout, type Preprocess } from './preprocess.js';

/** How images become the model's input, and its output a mask. */
export interface Interpretation {
  readonly input: { readonly name: string; readonly shape: readonly (number | string)[] };
  readonly preprocess: Preprocess;
  readonly output: { readonly name: string; readonly kind: OutputKind } & Omit<Decision, 'kind'>;
  /** Pixel value of the masks -> class; null without masks. */
  readonly labels: Labels | null;
  /** Classes, background included. */
  readonly classes: number;
}

/** The part of the interpretation that is settled by the user, or by an artefact's own metadata. */
type GivenInterpretation = Omit<ArtifactMetadata, 'provenance'>;

/**
 * Settles how to read a model on datasets: what the user gave, else what the file says, else what fits; every guess
 * comes back as a sentence.
 *
 * @param datasets all splits, since a class may be missing from the masks of one
 * @param lastOp the operator that computes an output's values, by output name
 * @throws CompressError where what is given contradicts the model
 */
export async function interpret(
  info: RunnerInfo,
  datasets: readonly Dataset[],
  given: GivenInterpretation,
  lastOp: (output: string) => string | undefined,
): Promise<{ interpretation: Interpretation; guesses: string[] }> {
  if (info.inputs.length !== 1)
    throw badPreprocess(`the model has ${info.inputs.length} inputs; images can be given to a model with one`);
  const guesses: string[] = [];
  const [input] = info.inputs;
  const preprocess = fitPreprocess(definedOnly(given.preprocess ?? {}), input.shape);
  if (!given.preprocess) guesses.push(`input: ${preprocessSentence(preprocess)}`);
  const output = readOutput(info, given, lastOp, guesses);
  const labels = await readLabels(datasets, given, guesses);
  const channels = channelsOf(info, output.name);
  const classes = Math.max(2, labels ? classCount(labels) : 0, output.channel === null && channels > 1 ? channels : 0);
  return {
    interpretation: { input: { name: input.name, shape: input.shape }, preprocess, output, labels, classes },
    guesses,
  };
}

function readOutput(
  info: RunnerInfo,
  given: GivenInterpretation,
  lastOp: (output: string) => string | undefined,
  guesses: string[],
): Interpretation['output'] {
  const name = given.output?.name ?? info.outputs[0].name;
  if (!info.outputs.some((output) => output.name === name)) {
    const known = info.outputs.map((output) => output.name).join(', ');
    throw badPreprocess(`output.name is '${name}', but the model's outputs are ${known}`);
  }
  if (!given.output?.name && info.outputs.length > 1)
    guesses.push(`output: '${name}', the first of ${info.outputs.length}`);
  const channels = channelsOf(info, name);
  const { kind, sentence } = given.output?.kind
    ? { kind: given.output.kind, sentence: undefined }
    : guessOutputKind(lastOp(name), channels);
  if (sentence) guesses.push(sentence);
  const channel = given.output?.channel ?? null;
  const isCompared = (channels === 1 || channel !== null) && (kind === 'logit' || kind === 'prob');
  const threshold = given.output?.threshold ?? (isCompared ? DEFAULT_THRESHOLDS[kind] : null);
  return { name, kind, threshold, channel };
}

const DEFAULT_THRESHOLDS = { logit: 0, prob: 0.5 };

async function readLabels(
  datasets: readonly Dataset[],
  given: GivenInterpretation,
  guesses: string[],
): Promise<Labels | null> {
  if (given.labels) return given.labels;
  const masks = datasets.flatMap(({ samples }) => samples.flatMap(({ maskFile }) => maskFile ?? []));
  if (masks.length === 0) return null;
  const { labels, sentence } = await guessLabels(masks);
  guesses.push(sentence);
  return labels;
}

function channelsOf(info: RunnerInfo, name: string): number {
  const shape = info.outputs.find((output) => output.name === name)?.shape ?? [];
  return inputLayout(shape).channels ?? 1;
}

function preprocessSentence({ resize, channels, scale }: Preprocess): string {
  const size = resize ? `resized to ${resize.join(' x ')}` : 'in their own size';
  return `images ${size}, ${channels ?? 'with their own channels'}, ${scale === null ? 'pixel / 255 (16 bit: / 65535)' : `pixel x ${scale}`}`;
}

function definedOnly<T extends object>(record: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(record).filter(([, value]) => value !== undefined && value !== null),
  ) as Partial<T>;
}
