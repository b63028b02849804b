import { badNode } from '../errors.js';
import { differ, floorDivide, multiplyDims } from '../ir/dims.js';
import type { Dim } from '../ir/types.js';
import { sameAxes, type Typed } from './axes.js';
import { axisOf, defineOp, extent, operand, shapeOf, type Tie } from './op.js';

/** Channels become blocks of `blocksize` × `blocksize` pixels. */
const depthToSpace = defineOp({
  name: 'DepthToSpace',
  inputs: [{ name: 'input' }],
  outputs: ['output'],
  attributes: { blocksize: { kind: 'int' }, mode: { kind: 'string', default: 'DCR' } },
  infer(call, { blocksize, mode }) {
    const { dtype } = operand(call, 0).type;
    const block = blockOf(blocksize);
    if (mode !== 'DCR' && mode !== 'CRD') throw badNode(`attribute 'mode' is '${mode}'; DCR or CRD is possible`);
    const shape = shapeOf(call, 0, 4);
    if (!shape) return [{ dtype, shape }];
    const [batch, channels, height, width] = shape;
    const out = divided(channels, block * block, 'channels');
    return [{ dtype, shape: [batch, out, multiplyDims(block, height), multiplyDims(block, width)] }];
  },
  ties(call, { blocksize, mode }) {
    const input = operand(call, 0);
    const [output] = call.outputs;
    const batch = sameAxes(input, 0, output, 0);
    if (mode === 'DCR') return [...batch, ...blocksOfChannels(input, output)];
    const by = blockOf(blocksize) ** 2;
    return [...batch, { kind: 'spread', narrow: axisOf(output, 1), wide: axisOf(input, 1), by }];
  },
});

/** Blocks of `blocksize` × `blocksize` pixels become channels, as DepthToSpace in mode DCR takes them apart. */
const spaceToDepth = defineOp({
  name: 'SpaceToDepth',
  inputs: [{ name: 'input' }],
  outputs: ['output'],
  attributes: { blocksize: { kind: 'int' } },
  infer(call, { blocksize }) {
    const { dtype } = operand(call, 0).type;
    const block = blockOf(blocksize);
    const shape = shapeOf(call, 0, 4);
    if (!shape) return [{ dtype, shape }];
    const [batch, channels, height, width] = shape;
    const spatial = [divided(height, block, 'rows'), divided(width, block, 'columns')];
    return [{ dtype, shape: [batch, multiplyDims(block * block, channels), ...spatial] }];
  },
  ties(call) {
    const input = operand(call, 0);
    const [output] = call.outputs;
    return [...sameAxes(input, 0, output, 0), ...blocksOfChannels(output, input)];
  },
});

/** The pixels of a block lie one behind another on the long axis, each with all channels of the short one. */
function blocksOfChannels(long: Typed, short: Typed): Tie[] {
  const [all, channels] = [extent(long.type, 1), extent(short.type, 1)];
  if (all === undefined || channels === undefined) return [];
  const indices = Array.from({ length: all }, (_, c) => c % channels);
  return [{ kind: 'map', from: axisOf(short, 1), to: axisOf(long, 1), indices }];
}

function blockOf(blocksize: number | undefined): number {
  if (blocksize === undefined || blocksize < 1)
    throw badNode(`attribute 'blocksize' is ${blocksize}; it must be 1 or more`);
  return blocksize;
}

function divided(dim: Dim, by: number, what: string): Dim {
  const result = floorDivide(dim, by);
  if (differ(multiplyDims(result, by), dim)) throw badNode(`${dim} ${what} cannot be divided by ${by}`);
  return result;
}

export const rearrangeOps = [depthToSpace, spaceToDepth];
