/** How well a predicted mask agrees with a reference, per image. */
import { mean } from '../math/statistics.js';
import type { ClassMap } from './masks.js';
import { hausdorff95 } from './surface-distance.js';

export interface Scores {
  dice: number;
  iou: number;
  /** In millimetres where the spacing is known, else in pixels; null where no class has a distance. */
  hd95: number | null;
  /** Classes of which one of the two masks is empty and the other is not, so that they have no distance. */
  misses: number;
}

/**
 * Dice 2|A∩B|/(|A|+|B|), IoU |A∩B|/|A∪B| and the 95 % Hausdorff distance of each class, averaged over the classes (the
 * background is none) that are in either mask. Where there is none in either: 1, 1 and 0.
 * @param classes number of classes, background included
 * @param spacing millimetres per pixel along each axis; null: distances in pixels
 */
export function scoreMasks(
  predicted: ClassMap,
  reference: ClassMap,
  classes: number,
  spacing: readonly number[] | null,
): Scores {
  const overlaps = overlapPerClass(predicted.data, reference.data, classes).filter(({ union }) => union > 0);
  if (overlaps.length === 0) return { dice: 1, iou: 1, hd95: 0, misses: 0 };
  const unit = spacing ?? reference.shape.map(() => 1);
  const distances = overlaps.map(({ label }) =>
    hausdorff95(only(predicted.data, label), only(reference.data, label), reference.shape, unit),
  );
  const defined = distances.filter((distance) => distance !== null);
  return {
    dice: mean(overlaps.map(({ intersection, sum }) => (2 * intersection) / sum)),
    iou: mean(overlaps.map(({ intersection, union }) => intersection / union)),
    hd95: defined.length === 0 ? null : mean(defined),
    misses: distances.length - defined.length,
  };
}

/** Dice alone, as `scoreMasks` has it. */
export function diceOf(predicted: ClassMap, reference: ClassMap, classes: number): number {
  const overlaps = overlapPerClass(predicted.data, reference.data, classes).filter(({ union }) => union > 0);
  return overlaps.length === 0 ? 1 : mean(overlaps.map(({ intersection, sum }) => (2 * intersection) / sum));
}

interface Overlap {
  label: number;
  intersection: number;
  /** |A| + |B| */
  sum: number;
  union: number;
}

function overlapPerClass(a: Uint8Array, b: Uint8Array, classes: number): Overlap[] {
  const intersections = new Float64Array(256);
  const sums = new Float64Array(256);
  for (let i = 0; i < a.length; i++) {
    sums[a[i]!]!++;
    sums[b[i]!]!++;
    if (a[i] === b[i]) intersections[a[i]!]!++;
  }
  return Array.from({ length: classes - 1 }, (_, i) => {
    const label = i + 1;
    const [intersection, sum] = [intersections[label]!, sums[label]!];
    return { label, intersection, sum, union: sum - intersection };
  });
}

function only(classes: Uint8Array, label: number): Uint8Array {
  return classes.map((value) => (value === label ? 1 : 0));
}
