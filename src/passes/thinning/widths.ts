import type { ChannelClass } from '../../analysis/channels.js';
import type { Layer } from '../../analysis/layers.js';

/** A class with what thinning needs to know of it. */
export interface ThinnableClass {
  readonly channelClass: ChannelClass;
  /** The layers that make its channels, in graph order. */
  readonly producers: readonly Layer[];
  /** Channels of a producer that one unit stands for (more than 1 under grouped convolutions and depth-to-space). */
  readonly channelsPerUnit: number;
  /** Whether a convolution with a kernel above 1 makes or reads its channels. */
  readonly isSpatial: boolean;
}

export interface WidthOptions {
  /** Fraction of the units that every free class keeps, above 0, at most 1. */
  readonly keep: number;
  /** Widths go up to a multiple of this, never above the original. */
  readonly round: number;
  /** The fraction for single layers, by node name; undefined where `keep` holds. */
  readonly layerKeep?: (layer: string) => number | undefined;
}

/** Units kept per class at one fraction: max(1, round(keep·n)), then up to the multiple. */
export function proportionalWidths(classes: readonly ThinnableClass[], options: WidthOptions): number[] {
  return classes.map((thinnable) => {
    const keep = ownKeep(thinnable, options) ?? options.keep;
    return roundedUnits(thinnable, Math.max(1, Math.round(keep * unitsOf(thinnable))), options.round);
  });
}

/**
 * One width in channels for all free classes of spatial convolutions (the paper's own form: the same small width at
 * every depth); other classes stay proportional, and so do layers with a fraction of their own.
 */
export function flatWidths(classes: readonly ThinnableClass[], width: number, options: WidthOptions): number[] {
  const proportional = proportionalWidths(classes, options);
  return classes.map((thinnable, i) => {
    if (!thinnable.isSpatial || ownKeep(thinnable, options) !== undefined) return proportional[i];
    const units = Math.max(1, Math.round(width / thinnable.channelsPerUnit));
    return roundedUnits(thinnable, Math.min(units, unitsOf(thinnable)), options.round);
  });
}

/**
 * The width at which `macsOf` comes nearest to `target`, by bisection: multiply–accumulates grow with the width.
 * Widths are multiples of `step`, the rounding that is asked for.
 */
export function nearestWidth(largest: number, step: number, target: number, macsOf: (width: number) => number): number {
  let low = 1;
  let high = Math.max(1, Math.ceil(largest / step));
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (macsOf(middle * step) >= target) high = middle;
    else low = middle + 1;
  }
  const above = low * step;
  const below = Math.max(step, above - step);
  return Math.abs(macsOf(below) - target) <= Math.abs(macsOf(above) - target) ? below : above;
}

function unitsOf({ channelClass }: ThinnableClass): number {
  return channelClass.units.length;
}

/** Where layers of one class ask for different fractions, the largest holds. */
function ownKeep({ producers }: ThinnableClass, options: WidthOptions): number | undefined {
  const asked = producers.flatMap(({ node }) => options.layerKeep?.(node.name) ?? []);
  return asked.length ? Math.max(...asked) : undefined;
}

function roundedUnits(thinnable: ThinnableClass, units: number, multiple: number): number {
  return Math.min(unitsOf(thinnable), Math.ceil(units / multiple) * multiple);
}
