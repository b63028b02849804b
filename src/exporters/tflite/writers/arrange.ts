import { TENSOR_TYPES } from '../../../formats/tflite/schema.js';
import { type GraphWriter, options, type Writer } from '../graph-writer.js';
import { readAll } from './elements.js';

const concat: Writer<'concat'> = ({ inputs, axis }, graph) => ({
  op: 'CONCATENATION',
  inputs: readAll(inputs, graph),
  options: options('Concatenation', [
    [0, 'int32', axis],
    [1, 'byte', 0],
  ]),
});

const slice: Writer<'slice'> = ({ inputs: [x], output, begin, size }, graph) => ({
  op: 'SLICE',
  inputs: [graph.read(x), graph.integers(`${output}/begin`, begin), graph.integers(`${output}/size`, size)],
});

const stridedSlice: Writer<'stridedSlice'> = ({ inputs: [x], output, begin, end, strides }, graph) => ({
  op: 'STRIDED_SLICE',
  inputs: [
    graph.read(x),
    graph.integers(`${output}/begin`, begin),
    graph.integers(`${output}/end`, end),
    graph.integers(`${output}/strides`, strides),
  ],
  // Where a negative stride goes on to the front, the end is "before the first", which only the mask can say.
  options: options('StridedSlice', [
    [0, 'int32', 0],
    [1, 'int32', end.reduce((mask, place, axis) => (strides[axis] < 0 && place < 0 ? mask | (1 << axis) : mask), 0)],
  ]),
});

const pad: Writer<'pad'> = ({ inputs: [x], output, before, after, value }, graph) => {
  const inputs = [graph.read(x), paddings(output, before, after, graph)];
  if (value === 0) return { op: 'PAD', inputs };
  return { op: 'PADV2', inputs: [...inputs, graph.floats(`${output}/value`, [value], [])] };
};

const MIRROR_MODES = { reflect: 0, symmetric: 1 } as const;

const mirrorPad: Writer<'mirrorPad'> = ({ inputs: [x], output, before, after, mode }, graph) => ({
  op: 'MIRROR_PAD',
  inputs: [graph.read(x), paddings(output, before, after, graph)],
  options: options('MirrorPad', [[0, 'byte', MIRROR_MODES[mode]]]),
});

function paddings(output: string, before: readonly number[], after: readonly number[], graph: GraphWriter): number {
  const pairs = before.flatMap((count, axis) => [count, after[axis]]);
  return graph.integers(`${output}/paddings`, pairs, [before.length, 2]);
}

const transpose: Writer<'transpose'> = ({ inputs: [x], output, order }, graph) => ({
  op: 'TRANSPOSE',
  inputs: [graph.read(x), graph.integers(`${output}/order`, order)],
});

const reshape: Writer<'reshape'> = ({ inputs: [x], output }, graph) => ({
  op: 'RESHAPE',
  inputs: [graph.read(x), graph.integers(`${output}/shape`, graph.shape(output))],
});

const cast: Writer<'cast'> = ({ inputs: [x], output }, graph) => ({
  op: 'CAST',
  inputs: [graph.read(x)],
  options: options('Cast', [
    [0, 'byte', TENSOR_TYPES[graph.type(x)]],
    [1, 'byte', TENSOR_TYPES[graph.type(output)]],
  ]),
});

const gather: Writer<'gather'> = ({ inputs, axis }, graph) => ({
  op: 'GATHER',
  inputs: readAll(inputs, graph),
  options: options('Gather', [[0, 'int32', axis]]),
});

const tile: Writer<'tile'> = ({ inputs: [x], output, repeats }, graph) => ({
  op: 'TILE',
  inputs: [graph.read(x), graph.integers(`${output}/repeats`, repeats)],
});

const depthToSpace: Writer<'depthToSpace'> = ({ inputs, blockSize }, graph) => ({
  op: 'DEPTH_TO_SPACE',
  inputs: readAll(inputs, graph),
  options: options('DepthToSpace', [[0, 'int32', blockSize]]),
});

const spaceToDepth: Writer<'spaceToDepth'> = ({ inputs, blockSize }, graph) => ({
  op: 'SPACE_TO_DEPTH',
  inputs: readAll(inputs, graph),
  options: options('SpaceToDepth', [[0, 'int32', blockSize]]),
});

export const arrangeWriters = {
  concat,
  slice,
  stridedSlice,
  pad,
  mirrorPad,
  transpose,
  reshape,
  cast,
  gather,
  tile,
  depthToSpace,
  spaceToDepth,
};
