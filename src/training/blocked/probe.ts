import { GraphBuilder } from '../../ir/builder.js';
import type { Graph } from '../../ir/graph.js';
import type { Semantics } from '../../ir/semantics.js';
import type { Tensor } from '../../ir/tensor.js';
import { Kernels } from '../kernels.js';
import { BlockMemory } from './memory.js';

/** More than any block has, in two pixels: where the second pixel's first channel lies tells the block. */
const CHANNELS = 64;

/** A graph without inputs whose output shows how the runtime lays channels out. */
export function blockProbe(semantics: Semantics): Graph {
  const builder = new GraphBuilder(semantics, { name: 'block-probe' });
  const kernels = new Kernels(builder);
  const counting = Float32Array.from({ length: 2 * CHANNELS }, (_, i) => i);
  const image = kernels.floats(counting, [1, CHANNELS, 1, 2]);
  const { data } = new BlockMemory(kernels, CHANNELS).toBlocks(image, { fold: 1, channels: CHANNELS });
  return builder.build([kernels.nameOf(data)]);
}

/**
 * Channels in a block, from the output of `blockProbe`; undefined where the runtime does not lay channels out in
 * blocks of a power of two.
 */
export function readBlock(output: Tensor): number | undefined {
  const values = output.toFloat32();
  const block = values.indexOf(1);
  const isPower = block >= 4 && block <= CHANNELS / 2 && (block & (block - 1)) === 0;
  if (!isPower || values.length !== 2 * CHANNELS) return undefined;
  const isLaidOut = values.every((value, i) => {
    const [group, pixel, lane] = [Math.floor(i / (2 * block)), Math.floor(i / block) % 2, i % block];
    return value === 2 * (group * block + lane) + pixel;
  });
  return isLaidOut ? block : undefined;
}
