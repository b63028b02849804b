import { integer, text } from '../../../formats/tfjs/model.js';
import type { OperationOf } from '../../lowering/operations.js';
import type { Call, GraphWriter, Writer } from '../graph-writer.js';

/** Rows from which on two images are joined by adding them, each beside zeros. */
const MANY_ROWS = 4096;

/**
 * The WebAssembly backend copies row by row in JavaScript; padding and adding are kernels, and take half of the time
 * (8 + 8 channels of 256x256: 2.8 instead of 6.0 ms).
 */
const concat: Writer<'concat'> = ({ inputs, output, axis }, graph) => {
  const shape = graph.shape(output);
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const isFlat = axis === shape.length - 1 && graph.type(output) === 'float32';
  if (inputs.length === 2 && isFlat && rows >= MANY_ROWS) return joinedBySum(inputs, output, axis, graph);
  return {
    op: 'ConcatV2',
    inputs: [...graph.readAll(inputs), graph.integer(`${output}/axis`, axis)],
    attributes: { N: integer(inputs.length) },
  };
};

function joinedBySum([a, b]: readonly string[], output: string, axis: number, graph: GraphWriter): Call {
  const counts = (value: string) => graph.shape(value).map((size, i) => (i === axis ? size : 0));
  const none = counts(a).map(() => 0);
  const beside = (value: string, before: readonly number[], after: readonly number[], name: string) =>
    graph.add(`${output}/${name}`, padCall(value, `${output}/${name}`, before, after, 0, graph));
  return { op: 'AddV2', inputs: [beside(a, none, counts(b), 'first'), beside(b, counts(a), none, 'second')] };
}

const slice: Writer<'slice'> = ({ inputs: [x], output, begin, size }, graph) => ({
  op: 'Slice',
  inputs: [graph.read(x), graph.integers(`${output}/begin`, begin), graph.integers(`${output}/size`, size)],
});

const stridedSlice: Writer<'stridedSlice'> = (operation, graph) => {
  const { inputs, output, begin, end, strides } = operation;
  if (graph.value(output).dtype !== 'f32') return picked(operation, graph);
  const bounds = { begin, end, strides };
  const lists = Object.entries(bounds).map(([name, list]) => graph.integers(`${output}/${name}`, list));
  // An end of −1 would count from the back; the mask says "to the last one".
  const mask = end.reduce((bits, position, axis) => (position < 0 ? bits | (1 << axis) : bits), 0);
  const attributes = { ...NO_MASKS, end_mask: integer(mask) };
  return { op: 'StridedSlice', inputs: [graph.read(inputs[0]), ...lists], attributes };
};

/** The kernel for strided slices takes all elements for singles; this one knows other types. */
function picked({ inputs, output, begin, strides }: OperationOf<'stridedSlice'>, graph: GraphWriter): Call {
  const [from, to] = [graph.shape(inputs[0]), graph.shape(output)];
  let call: Call = { op: 'Identity', inputs: [graph.read(inputs[0])] };
  for (const [axis, count] of to.entries()) {
    if (count === from[axis] && strides[axis] === 1) continue;
    const indices = Array.from({ length: count }, (_, i) => begin[axis] + i * strides[axis]);
    const x = graph.add(`${output}/picked`, call);
    const operands = [x, graph.integers(`${output}/indices`, indices), graph.integer(`${output}/axis`, axis)];
    call = { op: 'GatherV2', inputs: operands, attributes: { batch_dims: integer(0) } };
  }
  return call;
}

const NO_MASKS = {
  begin_mask: integer(0),
  end_mask: integer(0),
  ellipsis_mask: integer(0),
  new_axis_mask: integer(0),
  shrink_axis_mask: integer(0),
};

const pad: Writer<'pad'> = ({ inputs: [x], output, before, after, value }, graph) =>
  padCall(x, output, before, after, value, graph);

function padCall(
  x: string,
  base: string,
  before: readonly number[],
  after: readonly number[],
  value: number,
  graph: GraphWriter,
): Call {
  const paddings = graph.integers(`${base}/paddings`, pairs(before, after), [before.length, 2]);
  return { op: 'PadV2', inputs: [graph.read(x), paddings, graph.floats(`${base}/value`, [value], [])] };
}

const mirrorPad: Writer<'mirrorPad'> = ({ inputs: [x], output, before, after, mode }, graph) => ({
  op: 'MirrorPad',
  inputs: [graph.read(x), graph.integers(`${output}/paddings`, pairs(before, after), [before.length, 2])],
  attributes: { mode: text(mode.toUpperCase()) },
});

function pairs(before: readonly number[], after: readonly number[]): number[] {
  return before.flatMap((count, axis) => [count, after[axis]]);
}

const transpose: Writer<'transpose'> = ({ inputs: [x], output, order }, graph) => ({
  op: 'Transpose',
  inputs: [graph.read(x), graph.integers(`${output}/order`, order)],
});

const reshape: Writer<'reshape'> = ({ inputs: [x], output }, graph) => {
  const shape = graph.shape(output);
  if (graph.shape(x).join() === shape.join()) return { op: 'Identity', inputs: [graph.read(x)] };
  return { op: 'Reshape', inputs: [graph.read(x), graph.integers(`${output}/shape`, shape)] };
};

const gather: Writer<'gather'> = ({ inputs, output, axis }, graph) => ({
  op: 'GatherV2',
  inputs: [...graph.readAll(inputs), graph.integer(`${output}/axis`, axis)],
  attributes: { batch_dims: integer(0) },
});

const tile: Writer<'tile'> = ({ inputs: [x], output, repeats }, graph) => ({
  op: 'Tile',
  inputs: [graph.read(x), graph.integers(`${output}/repeats`, repeats)],
});

const depthToSpace: Writer<'depthToSpace'> = ({ inputs: [x], output, blockSize }, graph) => {
  if (graph.value(x).dtype === 'f32')
    return {
      op: 'DepthToSpace',
      inputs: [graph.read(x)],
      attributes: { block_size: integer(blockSize), data_format: text('NHWC') },
    };
  const [batch, height, width, channels] = graph.shape(x);
  return interleaved(x, output, [batch, height, width, blockSize, blockSize, channels / blockSize ** 2], graph);
};

const spaceToDepth: Writer<'spaceToDepth'> = ({ inputs: [x], output, blockSize }, graph) => {
  const [batch, height, width, channels] = graph.shape(output);
  return interleaved(x, output, [batch, height, blockSize, width, blockSize, channels / blockSize ** 2], graph);
};

/** Exchanges the third and the fourth of the six axes that a value has when it is seen in this shape. */
function interleaved(x: string, output: string, apart: readonly number[], graph: GraphWriter): Call {
  const shape = graph.integers(`${output}/apart`, apart);
  const seen = graph.add(`${output}/blocks`, { op: 'Reshape', inputs: [graph.read(x), shape] });
  const order = graph.integers(`${output}/order`, [0, 1, 3, 2, 4, 5]);
  const moved = graph.add(`${output}/moved`, { op: 'Transpose', inputs: [seen, order] });
  return { op: 'Reshape', inputs: [moved, graph.integers(`${output}/shape`, graph.shape(output))] };
}

export const arrangeWriters = {
  concat,
  slice,
  stridedSlice,
  pad,
  mirrorPad,
  transpose,
  reshape,
  gather,
  tile,
  depthToSpace,
  spaceToDepth,
};
