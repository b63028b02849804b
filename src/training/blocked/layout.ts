import type { Value } from '../kernels.js';

/**
 * How a value of shape [N, C, H, W] lies in channel blocks of B: its memory is that of [N / fold, fold·channels, H, W],
 * stored as [N / fold, fold·channels / B, H, W, B]. `fold` images share the channel axis, so that a narrow value fills
 * its blocks; `channels` is C, or C rounded up to whole blocks, in which case what lies in the rest is finite but means
 * nothing.
 */
export interface Layout {
  readonly fold: number;
  readonly channels: number;
}

/** A value in blocks. */
export interface Blocked extends Layout {
  /** The memory, declared as [N / fold, fold·channels, H, W]. */
  readonly data: Value;
}

/** Padding may at most double a value. */
const MOST_PADDING = 2;

/**
 * The layout of a value, which follows from its shape alone; undefined where it is not an image or too narrow. Values
 * narrower than a block are folded where the batch allows; wider ones only by two, because a dense kernel does `fold`
 * times the work.
 */
export function layoutOf(value: Value, block: number): Layout | undefined {
  const { shape, dtype } = value;
  if (shape.length !== 4 || dtype !== 'f32') return undefined;
  const [batch, channels] = shape;
  for (let fold = 1; fold <= batch && (fold <= 2 || fold * channels <= block); fold++)
    if (batch % fold === 0 && (fold * channels) % block === 0) return { fold, channels };
  const padded = Math.ceil(channels / block) * block;
  return padded <= MOST_PADDING * channels ? { fold: 1, channels: padded } : undefined;
}

/** The least fold in which two layouts meet. */
export function commonFold(a: Layout, b: Layout): number {
  let fold = Math.max(a.fold, b.fold);
  while (fold % a.fold !== 0 || fold % b.fold !== 0) fold++;
  return fold;
}

/** The declared shape of a value's memory. */
export function memoryShape([batch, , height, width]: readonly number[], { fold, channels }: Layout): number[] {
  return [batch / fold, fold * channels, height, width];
}
