import { describe, expect, it } from 'vitest';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { memoryBytes } from '../../src/formats/bytes.js';
import { importOnnxBytes } from '../../src/importers/onnx/index.js';
import type { Graph } from '../../src/ir/graph.js';
import {
  differenceOf,
  floatTensor,
  int64Tensor,
  madeAnew,
  modelBytes,
  positiveTensor,
  randomTensor,
  runOnnx,
  type ShortModel,
  type ShortNode,
} from '../support/onnx-models.js';

const image = { x: [1, 6, 5, 4] };
const tolerance = 1e-5;

function imported(model: ShortModel): Graph {
  return importOnnxBytes(memoryBytes(modelBytes(model)), 'short.onnx', null);
}

function opsOf(graph: Graph): string[] {
  return graph.nodes.map(({ op }) => op);
}

/** The original, what comes out untouched, and what comes out when every node is written anew, agree. */
async function agrees(model: ShortModel): Promise<Graph> {
  const graph = imported(model);
  const before = await runOnnx(modelBytes(model), model.inputs);
  const untouched = await runOnnx(encodeOnnxGraph(graph), model.inputs);
  const anew = await runOnnx(encodeOnnxGraph(madeAnew(graph)), model.inputs);
  expect(differenceOf(before, untouched)).toBe(0);
  expect(differenceOf(before, anew)).toBeLessThanOrEqual(tolerance);
  return graph;
}

type Case = readonly [title: string, opset: number, node: ShortNode, constants: ShortModel['constants'], ops: string];

const empty = floatTensor([]);
const norm = { s: randomTensor([6], 2), b: randomTensor([6], 3), m: randomTensor([6], 4), v: positiveTensor([6], 5) };

const cases: Case[] = [
  ['Upsample with an attribute', 7, ['Upsample', 'x', 'y', { scales: { floats: [1, 1, 2, 3] } }], {}, 'Resize'],
  ['linear Upsample', 7, ['Upsample', 'x', 'y', { scales: { floats: [1, 1, 2, 3] }, mode: 'linear' }], {}, 'Resize'],
  ['Upsample by an operand', 9, ['Upsample', 'x k', 'y', {}], { k: floatTensor([1, 1, 2, 1.5]) }, 'Resize'],
  ['Resize-10', 10, ['Resize', 'x k', 'y', { mode: 'nearest' }], { k: floatTensor([1, 1, 2, 0.5]) }, 'Resize'],
  ['linear Resize-10', 10, ['Resize', 'x k', 'y', { mode: 'linear' }], { k: floatTensor([1, 1, 2, 0.5]) }, 'Resize'],
  [
    'Resize-11 with empty operands',
    11,
    ['Resize', 'x e e k', 'y', { mode: 'linear', coordinate_transformation_mode: 'align_corners' }],
    { e: empty, k: int64Tensor([1, 6, 9, 9]) },
    'Resize',
  ],
  [
    'Resize-11 with coordinates of its own',
    11,
    [
      'Resize',
      'x e k',
      'y',
      { mode: 'nearest', coordinate_transformation_mode: 'tf_half_pixel_for_nn', nearest_mode: 'floor' },
    ],
    { e: empty, k: floatTensor([1, 1, 1.7, 0.5]) },
    'Resize',
  ],
  [
    'Resize of chosen axes',
    18,
    ['Resize', 'x - - k', 'y', { mode: 'cubic', axes: [-1, 2] }],
    { k: int64Tensor([7, 9]) },
    'Resize',
  ],
  [
    'BatchNormalization-7',
    7,
    ['BatchNormalization', 'x s b m v', 'y', { spatial: 1, epsilon: { f: 1e-3 } }],
    norm,
    'BatchNormalization',
  ],
  [
    'BatchNormalization-9',
    9,
    ['BatchNormalization', 'x s b m v', 'y', { momentum: { f: 0.8 } }],
    norm,
    'BatchNormalization',
  ],
  [
    'BatchNormalization-15',
    15,
    ['BatchNormalization', 'x s b m v', 'y', { training_mode: 0 }],
    norm,
    'BatchNormalization',
  ],
  ['Dropout-7', 7, ['Dropout', 'x', 'y', { ratio: { f: 0.3 } }], {}, 'Dropout'],
  ['Dropout-10 with a mask that nothing reads', 10, ['Dropout', 'x', 'y mask', {}], {}, 'Dropout'],
  ['Dropout-13', 13, ['Dropout', 'x r', 'y'], { r: floatTensor([0.3], []) }, 'Dropout'],
  ['Pad-2', 7, ['Pad', 'x', 'y', { pads: [0, 0, 1, 2, 0, 0, 3, 0], value: { f: 1.5 } }], {}, 'Pad'],
  ['reflecting Pad-2', 9, ['Pad', 'x', 'y', { pads: [0, 0, 1, 2, 0, 0, 3, 0], mode: 'reflect' }], {}, 'Pad'],
  ['Pad of chosen axes', 18, ['Pad', 'x p - a', 'y'], { p: int64Tensor([1, 2, 3, 0]), a: int64Tensor([-1, 2]) }, 'Pad'],
  ['Clip-6', 7, ['Clip', 'x', 'y', { min: { f: -0.5 }, max: { f: 0.25 } }], {}, 'Clip'],
  ['Clip-6 without a maximum', 9, ['Clip', 'x', 'y', { min: { f: 0 } }], {}, 'Clip'],
  ['Clip-11', 11, ['Clip', 'x - h', 'y'], { h: floatTensor([0.25], []) }, 'Clip'],
  ['Slice-1', 7, ['Slice', 'x', 'y', { starts: [1, 0], ends: [-1, 1000], axes: [2, 3] }], {}, 'Slice'],
  ['Slice-1 of the first axes', 9, ['Slice', 'x', 'y', { starts: [0, 2], ends: [1, 5] }], {}, 'Slice'],
  ['Split-2', 7, ['Split', 'x', 'y z', { axis: 1, split: [2, 4] }], {}, 'Split'],
  ['even Split-11', 11, ['Split', 'x', 'y z', { axis: 1 }], {}, 'Split'],
  ['even Split-13', 13, ['Split', 'x', 'y z', { axis: 1 }], {}, 'Split'],
  ['uneven Split-18', 18, ['Split', 'x', 'y z', { axis: 2, num_outputs: 2 }], {}, 'Split'],
  ['Squeeze-1', 7, ['Squeeze', 'x', 'y', { axes: [0] }], {}, 'Squeeze'],
  ['Squeeze-11', 11, ['Squeeze', 'x', 'y', { axes: [-4] }], {}, 'Squeeze'],
  ['Unsqueeze-1', 9, ['Unsqueeze', 'x', 'y', { axes: [0, 5] }], {}, 'Unsqueeze'],
  ['ReduceMean-1', 7, ['ReduceMean', 'x', 'y', { axes: [2, 3], keepdims: 0 }], {}, 'ReduceMean'],
  ['ReduceSum-11', 11, ['ReduceSum', 'x', 'y', { axes: [-1] }], {}, 'ReduceSum'],
  ['ReduceMax-13', 13, ['ReduceMax', 'x', 'y', { axes: [1] }], {}, 'ReduceMax'],
  ['ReduceMin over all axes', 17, ['ReduceMin', 'x', 'y', {}], {}, 'ReduceMin'],
  ['ReduceL2-18', 18, ['ReduceL2', 'x a', 'y'], { a: int64Tensor([1, 2]) }, 'ReduceL2'],
  ['Softmax-1 of rows', 7, ['Softmax', 'x', 'y', { axis: 3 }], {}, 'Softmax'],
  ['Softmax-1, flattened', 9, ['Softmax', 'x', 'y', {}], {}, 'Flatten Softmax Shape Reshape'],
  ['LogSoftmax-11, flattened', 11, ['LogSoftmax', 'x', 'y', { axis: -2 }], {}, 'Flatten LogSoftmax Shape Reshape'],
  ['Softmax-13', 13, ['Softmax', 'x', 'y', { axis: 1 }], {}, 'Softmax'],
  [
    'GroupNormalization-18',
    18,
    ['GroupNormalization', 'x s b', 'y', { num_groups: 3, epsilon: { f: 1e-3 } }],
    { s: randomTensor([3], 2), b: randomTensor([3], 3) },
    'GroupNormalization',
  ],
  [
    'GroupNormalization-21',
    21,
    ['GroupNormalization', 'x s b', 'y', { num_groups: 3 }],
    { s: norm.s, b: norm.b },
    'GroupNormalization',
  ],
  [
    'LayerNormalization',
    17,
    ['LayerNormalization', 'x s b', 'y', { axis: -1 }],
    { s: randomTensor([4]), b: randomTensor([4]) },
    'LayerNormalization',
  ],
  [
    'GridSample-16',
    16,
    ['GridSample', 'x g', 'y', { mode: 'bicubic' }],
    { g: randomTensor([1, 3, 3, 2]) },
    'GridSample',
  ],
  [
    'GridSample-20',
    20,
    ['GridSample', 'x g', 'y', { mode: 'linear' }],
    { g: randomTensor([1, 3, 3, 2]) },
    'GridSample',
  ],
  ['Gelu', 20, ['Gelu', 'x', 'y', { approximate: 'tanh' }], {}, 'Gelu'],
  ['HardSwish', 14, ['HardSwish', 'x', 'y'], {}, 'HardSwish'],
  ['Mish', 18, ['Mish', 'x', 'y'], {}, 'Mish'],
  ['AveragePool', 7, ['AveragePool', 'x', 'y', { kernel_shape: [2, 2], pads: [1, 0, 0, 1] }], {}, 'AveragePool'],
  ['MaxPool', 11, ['MaxPool', 'x', 'y', { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }], {}, 'MaxPool'],
  ['Reshape-5', 7, ['Reshape', 'x k', 'y'], { k: int64Tensor([0, 3, -1]) }, 'Reshape'],
  ['DepthToSpace-1', 9, ['DepthToSpace', 'q', 'y', { blocksize: 2 }], { q: randomTensor([1, 8, 2, 3]) }, ''],
];

describe('operators of older versions', () => {
  it.each(cases)('%s (operator set %i)', async (_, opset, node, constants, ops) => {
    const outputs = node[0] === 'Split' ? 'y z' : 'y';
    const graph = await agrees({ opset, inputs: image, outputs, nodes: [node], constants });
    if (ops) expect(opsOf(graph).join(' ')).toBe(ops);
  });

  it('keeps operands that were attributes apart from each other', () => {
    const slice = (input: string, output: string, start: number): ShortNode => [
      'Slice',
      input,
      output,
      { starts: [start], ends: [9], axes: [2] },
    ];
    const graph = imported({ opset: 9, inputs: image, outputs: 'z', nodes: [slice('x', 'y', 1), slice('y', 'z', 2)] });
    expect(graph.type('z').shape).toEqual([1, 6, 2, 4]);
  });

  it('takes channels where the axes after them have the size 1', () => {
    const graph = imported({ opset: 9, inputs: { x: ['n', 6, 1, 1] }, outputs: 'y', nodes: [['Softmax', 'x', 'y']] });
    expect(graph.nodes.map(({ op, attributes }) => [op, attributes])).toEqual([['Softmax', { axis: 1 }]]);
  });
});

describe('decomposition at operator set 13', () => {
  /** The graph of a newer model under a file of operator set 13, all nodes written anew. */
  function atOpset13(model: ShortModel): Uint8Array {
    const graph = madeAnew(imported(model));
    const { origin } = imported({ opset: 13, inputs: model.inputs, outputs: 'x', nodes: [] });
    return encodeOnnxGraph(graph.with({ origin }));
  }

  const newer: Case[] = [
    ['Gelu', 20, ['Gelu', 'x', 'y'], {}, ''],
    ['Gelu, approximated', 20, ['Gelu', 'x', 'y', { approximate: 'tanh' }], {}, ''],
    ['HardSwish', 14, ['HardSwish', 'x', 'y'], {}, ''],
    ['Mish', 18, ['Mish', 'x', 'y'], {}, ''],
    [
      'LayerNormalization',
      17,
      ['LayerNormalization', 'x s b', 'y', { axis: 2 }],
      { s: randomTensor([5, 4]), b: randomTensor([5, 4], 2) },
      '',
    ],
    ['GroupNormalization', 21, ['GroupNormalization', 'x s b', 'y', { num_groups: 2 }], { s: norm.s, b: norm.b }, ''],
    ['ReduceMean', 18, ['ReduceMean', 'x a', 'y', { keepdims: 0 }], { a: int64Tensor([1, -1]) }, ''],
    ['ReduceMax that may do nothing', 18, ['ReduceMax', 'x', 'y', { noop_with_empty_axes: 1 }], {}, ''],
    ['uneven Split', 18, ['Split', 'x', 'y z', { axis: 2, num_outputs: 2 }], {}, ''],
    [
      'Pad of chosen axes',
      18,
      ['Pad', 'x p - a', 'y', { mode: 'edge' }],
      { p: int64Tensor([1, 2, 3, 0]), a: int64Tensor([-1, 2]) },
      '',
    ],
    ['part of a shape', 15, ['Shape', 'x', 'y', { start: -3, end: -1 }], {}, ''],
    [
      'Resize of chosen axes to sizes',
      18,
      ['Resize', 'x - - k', 'y', { mode: 'linear', axes: [3, 2] }],
      { k: int64Tensor([7, 9]) },
      '',
    ],
    [
      'Resize of chosen axes by scales',
      18,
      ['Resize', 'x - k', 'y', { mode: 'nearest', axes: [3] }],
      { k: floatTensor([2.5]) },
      '',
    ],
    ['CastLike', 15, ['CastLike', 'x k', 'y'], { k: int64Tensor([1]) }, ''],
  ];

  it.each(newer)('%s', async (_, opset, node, constants) => {
    const model = { opset, inputs: image, outputs: node[0] === 'Split' ? 'y z' : 'y', nodes: [node], constants };
    const before = await runOnnx(modelBytes(model), model.inputs);
    const after = await runOnnx(atOpset13(model), model.inputs);
    expect(differenceOf(before, after)).toBeLessThanOrEqual(tolerance);
  });

  it.each([
    ['GridSample', 20, ['GridSample', 'x g', 'y', { mode: 'linear' }], 'exists since operator set 16'],
    [
      'Resize',
      18,
      ['Resize', 'x - k', 'y', { mode: 'linear', antialias: 1 }],
      'antialiasing exists since operator set 18',
    ],
    [
      'AveragePool',
      19,
      ['AveragePool', 'x', 'y', { kernel_shape: [2, 2], dilations: [2, 2] }],
      "attribute 'dilations' exists since operator set 19",
    ],
  ] as [string, number, ShortNode, string][])('%s is refused by name', (_, opset, node, message) => {
    const constants = { g: randomTensor([1, 3, 3, 2]), k: floatTensor([1, 1, 2, 2]) };
    expect(() => atOpset13({ opset, inputs: image, outputs: 'y', nodes: [node], constants })).toThrow(message);
  });
});
