import { badOption, cannotBake } from '../errors.js';
import type { BakedPart } from '../formats/metadata.js';
import type { Graph } from '../ir/graph.js';
import { semantics } from '../ops/index.js';
import type { FullOptions } from '../options.js';
import { type BakedOutput, bake } from '../passes/bake.js';
import type { Interpretation } from '../validate/interpretation.js';
import type { Reading } from './reading.js';

const PARTS = ['pre', 'post'] as const satisfies readonly BakedPart[];

/** What an 8-bit pixel is multiplied by, where nothing else is said. */
const SCALE_OF_BYTES = 1 / 255;

/** The parts that `--bake` names. @throws CompressError for any other */
export function bakedParts({ bake: named = [] }: FullOptions): BakedPart[] {
  const parts = named.flatMap((item) => item.split(','));
  for (const part of parts)
    if (!(PARTS as readonly string[]).includes(part))
      throw badOption('--bake', `can be pre, post or both, not '${part}'`);
  return PARTS.filter((part) => parts.includes(part));
}

/** A graph with parts of its surroundings within, and how the graph is to be read then. */
export interface Baked {
  readonly graph: Graph;
  readonly reading: Reading | null;
}

/**
 * Bakes what the options name, as the model is read.
 * @throws CompressError where the model is not for images, or its output has no classes
 */
export function bakeParts(graph: Graph, reading: Reading | null, options: FullOptions): Baked {
  const parts = bakedParts(options);
  const [first] = parts;
  if (!first) return { graph, reading };
  if (!reading) throw cannotBake(first, 'the model is not one for images');
  const { interpretation } = reading;
  const { preprocess, output } = interpretation;
  const input = { scale: preprocess.scale ?? SCALE_OF_BYTES, mean: preprocess.mean, std: preprocess.std };
  const baked = bake(graph, semantics, {
    ...(parts.includes('pre') ? { input } : {}),
    ...(parts.includes('post') ? { output: classesOf(output) } : {}),
  });
  return { graph: baked, reading: readingWhenBaked(reading, parts) };
}

function classesOf(output: Interpretation['output']): BakedOutput {
  if (output.kind === 'values') throw cannotBake('post', `output '${output.name}' holds plain values, not classes`);
  return { ...output, kind: output.kind };
}

/** How an artefact is read that has these parts within. */
export function readingWhenBaked(reading: Reading, parts: readonly BakedPart[]): Reading {
  const { preprocess, output } = reading.interpretation;
  const interpretation: Interpretation = {
    ...reading.interpretation,
    preprocess: parts.includes('pre') ? { ...preprocess, scale: 1, mean: [], std: [] } : preprocess,
    output: parts.includes('post') ? { name: output.name, kind: 'index', threshold: null, channel: null } : output,
  };
  return { ...reading, interpretation };
}
