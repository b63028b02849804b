import type { Graph } from '../../src/ir/graph.js';
import { blockPatterns } from './patterns-blocks.js';
import { channelPatterns } from './patterns-channels.js';
import { foldingPatterns } from './patterns-folding.js';
import { unetPatterns } from './patterns-unet.js';

/** A small network of one kind, with what passes are expected to make of it. */
export interface Pattern {
  readonly name: string;
  make(): Graph;
  /** BatchNormalizations that are left after folding. */
  readonly batchNorms: number;
  /** What the input's symbols stand for when the net is run; by default n = 2, h = w = 16. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** Output channels of layers, worked out by hand, when half of every free class is kept. */
  readonly widths?: Readonly<Record<string, number>>;
  /** Parts of sentences that say why a layer is fixed, by layer. */
  readonly fixed?: Readonly<Record<string, string>>;
  /** Statistics over channels change when channels go, so thinning is approximate even for channels that are zero. */
  readonly mixesChannels?: boolean;
  /** Numbers are added that no channel owns, so that a channel whose makers are zeroed is not zero. */
  readonly addsScalars?: boolean;
}

export const patterns: readonly Pattern[] = [...unetPatterns, ...blockPatterns, ...channelPatterns, ...foldingPatterns];
