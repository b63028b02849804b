/** From the scores of each image to the statement about accuracy that the report makes. */
import {
  bootstrapInterval,
  confidenceInterval,
  equivalenceTest,
  type Interval,
  wilcoxonSignedRank,
} from '../math/paired-tests.js';
import { mean } from '../math/statistics.js';
import type { Scores } from './metrics.js';

/** One image, scored by the same reference. */
export interface ScoredImage {
  name: string;
  group: string;
  original: Scores;
  compressed: Scores;
  /** Dice of the compressed model's mask against the original model's own. */
  agreement: number;
}

export interface AccuracyOptions {
  /** `test` only for images that no choice has looked at. */
  split: 'test' | 'validation';
  /** What Dice was measured against: masks, or the original model's own output where there are none. */
  reference: 'masks' | 'original';
  /** The largest change of mean Dice that is taken to be no change. */
  margin: number;
  /** Of the distances. */
  unit: 'mm' | 'pixels';
  seed: number;
}

/** All means are over groups, of the means within each group; null is what cannot be known from so few groups. */
export interface Accuracy {
  split: 'test' | 'validation';
  reference: 'masks' | 'original';
  metric: 'dice';
  images: number;
  groups: number;
  original: { mean: number };
  compressed: { mean: number };
  /** compressed - original. */
  difference: { mean: number; ci90: Interval | null; ci95: Interval | null };
  /** `equivalent` is null unless the split is `test`. */
  tost: { margin: number; p: number | null; equivalent: boolean | null };
  nonInferior: boolean | null;
  wilcoxon: { p: number | null };
  bootstrap: { ci90: Interval | null };
  iou: { original: number; compressed: number };
  hd95: {
    original: number | null;
    compressed: number | null;
    unit: 'mm' | 'pixels';
    /** Images with a class of which only one of the two masks has any pixel; they have no distance there. */
    misses: { original: string[]; compressed: string[] };
  };
  agreement: number;
  perImage: ImageAccuracy[];
  warnings: string[];
}

export interface ImageAccuracy {
  name: string;
  group: string;
  original: number;
  compressed: number;
  difference: number;
  iou: { original: number; compressed: number };
  hd95: { original: number | null; compressed: number | null };
  agreement: number;
}

const FEWEST_GROUPS = 10;

/** Judges the compressed model against the original. Needs at least one image. */
export function judgeAccuracy(images: readonly ScoredImage[], options: AccuracyOptions): Accuracy {
  const { split, reference, margin, seed } = options;
  const perGroup = (value: (image: ScoredImage) => number | null) => groupMeans(images, value);
  const original = mean(perGroup((image) => image.original.dice));
  const compressed = mean(perGroup((image) => image.compressed.dice));
  const differences = perGroup((image) => image.compressed.dice - image.original.dice);
  const test = equivalenceTest(differences, margin);
  return {
    split,
    reference,
    metric: 'dice',
    images: images.length,
    groups: differences.length,
    original: { mean: original },
    compressed: { mean: compressed },
    difference: {
      mean: mean(differences),
      ci90: confidenceInterval(differences, 0.9),
      ci95: confidenceInterval(differences, 0.95),
    },
    tost: { margin, p: test?.p ?? null, equivalent: split === 'test' ? (test?.equivalent ?? null) : null },
    nonInferior: test?.nonInferior ?? null,
    wilcoxon: { p: differences.length < 2 ? null : wilcoxonSignedRank(differences) },
    bootstrap: { ci90: bootstrapInterval(differences, 0.9, { seed }) },
    iou: {
      original: mean(perGroup((image) => image.original.iou)),
      compressed: mean(perGroup((image) => image.compressed.iou)),
    },
    hd95: {
      original: meanOrNull(perGroup((image) => image.original.hd95)),
      compressed: meanOrNull(perGroup((image) => image.compressed.hd95)),
      unit: options.unit,
      misses: {
        original: images.filter((image) => image.original.misses > 0).map((image) => image.name),
        compressed: images.filter((image) => image.compressed.misses > 0).map((image) => image.name),
      },
    },
    agreement: mean(perGroup((image) => image.agreement)),
    perImage: images.map(rowOf),
    warnings: warningsOf(differences.length, options),
  };
}

/** The mean of each group, over its images that have the value, in the order in which groups first appear. */
function groupMeans(images: readonly ScoredImage[], value: (image: ScoredImage) => number | null): number[] {
  const groups = new Map<string, number[]>();
  for (const image of images) {
    const x = value(image);
    if (x === null) continue;
    const values = groups.get(image.group);
    if (values === undefined) groups.set(image.group, [x]);
    else values.push(x);
  }
  return [...groups.values()].map(mean);
}

function meanOrNull(values: readonly number[]): number | null {
  return values.length === 0 ? null : mean(values);
}

function rowOf({ name, group, original, compressed, agreement }: ScoredImage): ImageAccuracy {
  return {
    name,
    group,
    original: original.dice,
    compressed: compressed.dice,
    difference: compressed.dice - original.dice,
    iou: { original: original.iou, compressed: compressed.iou },
    hd95: { original: original.hd95, compressed: compressed.hd95 },
    agreement,
  };
}

function warningsOf(groups: number, { split, reference }: AccuracyOptions): string[] {
  const warnings: string[] = [];
  if (groups < FEWEST_GROUPS) {
    warnings.push(
      `${groups} independent ${groups === 1 ? 'group' : 'groups'} of images: the equivalence test has no power below ${FEWEST_GROUPS}`,
    );
  }
  if (split === 'validation') {
    warnings.push('accuracy was measured on validation images, so equivalence is not judged; give test images');
  }
  if (reference === 'original') {
    warnings.push("there are no masks, so accuracy is agreement with the original model's own output");
  }
  return warnings;
}
