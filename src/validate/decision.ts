/** From a model's raw output to a class for every pixel. */
import { badPreprocess } from '../errors.js';
import type { ClassMap } from './masks.js';
import { inputLayout } from './preprocess.js';

/** logit and prob: scores to be compared; index: class numbers (ArgMax inside the model); values: a regression. */
export type OutputKind = 'logit' | 'prob' | 'index' | 'values';

export interface Decision {
  /** An output of `values` has no classes. */
  kind: Exclude<OutputKind, 'values'>;
  /** For one channel; null: 0 for logits, 0.5 for probabilities. */
  threshold: number | null;
  /** Reads this channel alone, as the foreground; null: all of them. */
  channel: number | null;
}

export interface OutputTensor {
  data: ArrayLike<number> | BigInt64Array;
  /** With the batch, which must be 1. */
  shape: readonly number[];
}

/**
 * Where the last operator says what the output is, that; else logits. `lastOp` is the ONNX name of the operator that
 * computes the values (not one that only moves them). The sentence says what was taken, and why.
 */
export function guessOutputKind(lastOp: string | undefined, channels: number): { kind: OutputKind; sentence: string } {
  const kind = lastOp === undefined ? undefined : KIND_OF_LAST_OP[lastOp];
  const why = lastOp === undefined ? 'nothing says what it is' : `the last operator is ${lastOp}`;
  const rule = channels > 1 ? 'the largest channel is the class' : '';
  switch (kind ?? 'logit') {
    case 'prob':
      return {
        kind: 'prob',
        sentence: `output: probabilities, because ${why}; ${rule || 'foreground where above 0.5'}`,
      };
    case 'index':
      return { kind: 'index', sentence: `output: class numbers, because ${why}` };
    case 'values':
      return { kind: 'values', sentence: `output: plain values, because ${why}; compared as numbers only` };
    default:
      return { kind: 'logit', sentence: `output: logits, because ${why}; ${rule || 'foreground where above 0'}` };
  }
}

const KIND_OF_LAST_OP: Readonly<Record<string, OutputKind>> = {
  Sigmoid: 'prob',
  HardSigmoid: 'prob',
  Softmax: 'prob',
  ArgMax: 'index',
  Relu: 'values',
  LeakyRelu: 'values',
  Clip: 'values',
  Tanh: 'values',
};

/**
 * The spatial shape of an output: the input's where the output can be read that way, else what is left of the output
 * without batch and channels (nets that answer at another resolution).
 */
export function outputSpatial(shape: readonly number[], inputSpatial: readonly number[]): number[] {
  if (arrangement(shape, inputSpatial) !== null) return [...inputSpatial];
  if (shape.length === inputSpatial.length + 1) return shape.slice(1);
  return inputLayout(shape).spatial.map((size) => size ?? 0);
}

/**
 * One channel: foreground where the value is above the threshold. Several: the largest, the first of equals. NaN is never
 * above anything.
 * @param spatial the size of the map, e.g. [height, width]; the output may be channels first or last, or flattened
 * @throws CompressError where the output has another size, or lacks the channel
 */
export function toClassMap(output: OutputTensor, decision: Decision, spatial: readonly number[]): ClassMap {
  const data = output.data instanceof BigInt64Array ? Float64Array.from(output.data, Number) : output.data;
  const arranged = arrangement(output.shape, spatial);
  if (arranged === null) {
    throw badPreprocess(
      `the model's output of shape ${output.shape.join(' x ')} is no map of ${spatial.join(' x ')} pixels; name the right output with output.name`,
    );
  }
  const { channels, channelsLast } = arranged;
  const points = data.length / channels;
  const at = channelsLast ? { point: channels, channel: 1 } : { point: 1, channel: points };
  const { kind, channel } = decision;
  if (channel !== null && channel >= channels) {
    throw badPreprocess(`output.channel is ${channel}, but the output has ${channels} channels, counted from 0`);
  }
  const classes = new Uint8Array(points);
  if (kind === 'index') {
    if (channels !== 1)
      throw badPreprocess(`an output of class numbers has one channel, not ${channels}; set output.kind`);
    for (let point = 0; point < points; point++) classes[point] = classNumber(data[point]!);
  } else if (channels === 1 || channel !== null) {
    const threshold = decision.threshold ?? (kind === 'prob' ? 0.5 : 0);
    const first = (channel ?? 0) * at.channel;
    for (let point = 0; point < points; point++) classes[point] = data[first + point * at.point]! > threshold ? 1 : 0;
  } else {
    if (channels > 255)
      throw badPreprocess(`the output has ${channels} channels, and at most 255 classes are told apart`);
    for (let point = 0; point < points; point++) classes[point] = argmax(data, point * at.point, at.channel, channels);
  }
  return { shape: spatial, data: classes };
}

function argmax(data: ArrayLike<number>, start: number, step: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) {
    if (data[start + i * step]! > data[start + best * step]!) best = i;
  }
  return best;
}

function classNumber(value: number): number {
  const rounded = Math.round(value);
  if (rounded >= 0 && rounded <= 254) return rounded;
  throw badPreprocess(`the output holds ${value} where a class number is due; set output.kind`);
}

/** How many channels lie on the pixels of `spatial`, and on which side; null where the shapes do not go together. */
function arrangement(
  shape: readonly number[],
  spatial: readonly number[],
): { channels: number; channelsLast: boolean } | null {
  const points = spatial.reduce((product, size) => product * size, 1);
  const equal = (a: readonly number[], b: readonly number[]) => a.length === b.length && a.every((x, i) => x === b[i]);
  const isMap = (sizes: readonly number[]) => equal(sizes, spatial) || equal(sizes, [points]);
  const candidates = shape[0] === 1 ? [shape.slice(1), shape] : [shape];
  for (const sizes of candidates) {
    if (isMap(sizes)) return { channels: 1, channelsLast: false };
    if (isMap(sizes.slice(1))) return { channels: sizes[0]!, channelsLast: false };
    if (isMap(sizes.slice(0, -1))) return { channels: sizes.at(-1)!, channelsLast: true };
  }
  return null;
}
