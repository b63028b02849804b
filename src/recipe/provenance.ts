import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { type ArtifactMetadata, encodeMetadata, METADATA_KEY } from '../formats/metadata.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import type { PassReport } from '../passes/run.js';
import { VERSION } from '../version.js';
import { bakedParts } from './baking.js';
import type { Reading } from './reading.js';

const PIECE = 1 << 20;

/** Options that say what becomes of the model, in the order of the help text. */
export const CHANGING = [
  'thin',
  'thinShape',
  'width',
  'round',
  'keepLayer',
  'exclude',
  'separable',
  'rank',
  'maxError',
  'align',
  'fp16',
  'bake',
] as const satisfies readonly (keyof FullOptions)[];

/** Options that shape the artefact; where things lie and how a run shows itself do not, so the bytes stay the same. */
const SHAPING = [...CHANGING, 'foldBn', 'seed'] as const;

/** The same of a network that has been trained. */
const TRAINING = [
  'student',
  'distill',
  'distillSteps',
  'distillMinutes',
  'batch',
  'lr',
  'augment',
  'featureWeight',
  'featureLoss',
  'start',
] as const satisfies readonly (keyof FullOptions)[];

export interface ProvenanceFacts {
  readonly passes: readonly PassReport[];
  readonly reading: Reading | null;
  readonly options: FullOptions;
}

/** The graph with what its artefact is to say of itself: how to read images and masks, and where it came from. */
export function withProvenance(graph: Graph, file: string, { passes, reading, options }: ProvenanceFacts): Graph {
  const { preprocess, output, labels } = reading?.interpretation ?? {};
  const metadata: ArtifactMetadata = {
    preprocess,
    output,
    labels: labels ?? undefined,
    baked: options.bake && bakedParts(options),
    provenance: {
      tool: 'unet-compress',
      version: VERSION,
      source: basename(file),
      sha256: sha256(file),
      passes: passes.map(({ name }) => name),
      options: Object.fromEntries(
        [...SHAPING, ...(options.distill ? TRAINING : [])].flatMap((name) =>
          options[name] === undefined ? [] : [[name, options[name]]],
        ),
      ),
    },
  };
  return graph.with({ metadata: new Map([...graph.metadata, [METADATA_KEY, encodeMetadata(metadata)]]) });
}

/** Read synchronously in pieces: a stream's hand-over between threads costs more than the hash itself. */
function sha256(file: string): string {
  const hash = createHash('sha256');
  const piece = new Uint8Array(PIECE);
  const descriptor = openSync(file, 'r');
  try {
    for (let length = readSync(descriptor, piece); length > 0; length = readSync(descriptor, piece))
      hash.update(piece.subarray(0, length));
  } finally {
    closeSync(descriptor);
  }
  return hash.digest('hex');
}
