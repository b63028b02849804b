import { createHash } from 'node:crypto';
import { damagedCheckpoint } from '../errors.js';
import type { ResolvedSettings } from './settings.js';

/** One look at the validation images. */
export interface CurvePoint {
  readonly step: number;
  /** Mean Dice of the averaged weights on the validation images. */
  readonly score: number;
  /** Means of the loss terms since the point before. */
  readonly terms: Readonly<Record<string, number>>;
}

export interface Best {
  readonly step: number;
  readonly score: number;
  readonly parameters: Float32Array;
  readonly statistics: Float32Array;
}

/** All that the steps to come depend on. */
export interface Checkpoint {
  /** Steps done. */
  readonly step: number;
  /** Vectors of the step's state, by name. */
  readonly state: Readonly<Record<string, Float32Array>>;
  readonly best: Best | null;
  readonly curve: readonly CurvePoint[];
  /** Below 1 after the rate had to be lowered. */
  readonly rateFactor: number;
}

interface Header {
  readonly format: typeof FORMAT;
  /** Digest of all that the run depends on. */
  readonly key: string;
  readonly step: number;
  readonly best: { readonly step: number; readonly score: number } | null;
  readonly curve: readonly CurvePoint[];
  readonly rateFactor: number;
  readonly settings: ResolvedSettings;
  /** Names and lengths of the vectors that follow, in order. */
  readonly vectors: readonly (readonly [name: string, length: number])[];
}

const FORMAT = 'unet-compress checkpoint 1';
const DIGEST_BYTES = 32;
const [BEST_PARAMETERS, BEST_STATISTICS] = ['best/parameters', 'best/statistics'];

/** One line of JSON, the vectors as float32 in the machine's byte order, and the SHA-256 of all that. */
export function encodeCheckpoint(
  { state, best, ...rest }: Checkpoint,
  key: string,
  settings: ResolvedSettings,
): Uint8Array {
  const vectors = Object.entries(state);
  if (best) vectors.push([BEST_PARAMETERS, best.parameters], [BEST_STATISTICS, best.statistics]);
  const header: Header = {
    format: FORMAT,
    key,
    settings,
    ...rest,
    best: best && { step: best.step, score: best.score },
    vectors: vectors.map(([name, { length }]) => [name, length]),
  };
  const content = Buffer.concat([
    Buffer.from(`${JSON.stringify(header)}\n`),
    ...vectors.map(([, vector]) => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)),
  ]);
  return Buffer.concat([content, digestOf(content)]);
}

function digestOf(content: Uint8Array): Buffer {
  return createHash('sha256').update(content).digest();
}

/**
 * @throws CompressError where the file is no checkpoint, is cut or damaged, or belongs to another run
 */
export function decodeCheckpoint(
  bytes: Uint8Array,
  key: string,
  file: string,
): { checkpoint: Checkpoint; settings: ResolvedSettings } {
  const content = bytes.subarray(0, Math.max(0, bytes.length - DIGEST_BYTES));
  const end = content.indexOf(10);
  const header = headerOf(bytes.subarray(0, Math.max(0, end)), file);
  if (!digestOf(content).equals(bytes.subarray(content.length)))
    throw damagedCheckpoint(file, 'it is cut short or damaged; run without --resume');
  if (header.key !== key)
    throw damagedCheckpoint(file, 'it belongs to another model, other data or other options; run without --resume');
  const vectors = new Map<string, Float32Array>();
  let at = end + 1;
  for (const [name, length] of header.vectors) {
    // A copy, because vectors begin anywhere in the file; `Buffer` would share its memory.
    vectors.set(name, new Float32Array(Uint8Array.prototype.slice.call(bytes, at, at + 4 * length).buffer));
    at += 4 * length;
  }
  const [parameters, statistics] = [vectors.get(BEST_PARAMETERS), vectors.get(BEST_STATISTICS)];
  vectors.delete(BEST_PARAMETERS);
  vectors.delete(BEST_STATISTICS);
  const { step, curve, rateFactor } = header;
  const best = header.best && parameters && statistics ? { ...header.best, parameters, statistics } : null;
  const checkpoint = { step, curve, rateFactor, best, state: Object.fromEntries(vectors) };
  return { checkpoint, settings: header.settings };
}

function headerOf(line: Uint8Array, file: string): Header {
  try {
    const header = JSON.parse(Buffer.from(line).toString()) as Header;
    if (header.format === FORMAT && Array.isArray(header.vectors)) return header;
  } catch {
    // Told below, as for any other file.
  }
  throw damagedCheckpoint(file, 'it is no checkpoint of this version; run without --resume');
}
