import { Tensor } from '../../src/ir/tensor.js';
import { type CaseNet, type LoweringCase, named, on } from './lowering-case.js';

const IMAGE = [2, 4, 5, 6];
const VOLUME = [2, 3, 4, 5, 6];

function permutations(rank: number): number[][] {
  if (rank === 1) return [[0]];
  return permutations(rank - 1).flatMap((order) =>
    Array.from({ length: rank }, (_, place) => [...order.slice(0, place), rank - 1, ...order.slice(place)]),
  );
}

function transposes(): LoweringCase[] {
  const orders = [
    ...[2, 3, 4].flatMap(permutations),
    [0, 2, 3, 4, 1],
    [0, 4, 1, 2, 3],
    [1, 0, 4, 2, 3],
    [0, 1, 3, 2, 4, 5],
    [0, 4, 1, 5, 2, 3],
    [5, 3, 1, 0, 2, 4],
    [0, 1, 3, 5, 2, 4, 6, 7],
    [0, 3, 4, 1, 2, 5, 6],
  ];
  const extents = [2, 4, 5, 3, 2, 3, 2, 2];
  return [
    ...orders.map((perm) => on('Transpose', [extents.slice(0, perm.length)], undefined, { perm })),
    on('Transpose', [IMAGE]),
    named('Transpose of a constant', (net) =>
      net.op('Add', [net.input(IMAGE), net.op('Transpose', [net.normal(6, 5, 4)])]),
    ),
    named('there and back', (net) => {
      const last = net.op('Transpose', [net.input(IMAGE)], { perm: [0, 2, 3, 1] });
      return net.op('Transpose', [net.op('Exp', [last])], { perm: [0, 3, 1, 2] });
    }),
  ];
}

function reshapes(): LoweringCase[] {
  const shapes: readonly [readonly number[], readonly number[]][] = [
    [IMAGE, [2, 4, 30]],
    [IMAGE, [2, 4, -1]],
    [IMAGE, [2, 120]],
    [IMAGE, [2, 2, 2, 5, 6]],
    [IMAGE, [8, 5, 6]],
    [IMAGE, [2, 4, 5, 2, 3]],
    [IMAGE, [240]],
    [IMAGE, [2, 20, 6]],
    [IMAGE, [1, 2, 4, 5, 3, 2]],
    [
      [2, 4, 30],
      [2, 4, 5, 6],
    ],
    [
      [2, 120],
      [2, 4, 5, 6],
    ],
    [[240], IMAGE],
  ];
  const squeezable = [2, 1, 5, 1];
  return [
    ...shapes.map(([from, to]) =>
      named(`Reshape [${from}] to [${to}]`, (net) => net.op('Reshape', [net.input(from), net.integers(to)])),
    ),
    ...[0, 1, 2, 3, 4, -1].map((axis) => on('Flatten', [IMAGE], undefined, { axis })),
    ...[[1], [3], [1, 3], [-1]].map((axes) =>
      named(`Squeeze ${axes}`, (net) => net.op('Squeeze', [net.input(squeezable), net.integers(axes)])),
    ),
    on('Squeeze', [squeezable]),
    ...[[0], [1], [4], [-1], [2, 3], [0, 5]].map((axes) =>
      named(`Unsqueeze ${axes}`, (net) => net.op('Unsqueeze', [net.input(IMAGE), net.integers(axes)])),
    ),
    named('Unsqueeze of rows', (net) => net.op('Unsqueeze', [net.input([2, 4]), net.integers([2, 3])])),
    named('Squeeze to a number', (net) => net.op('Squeeze', [net.input([1, 1]), net.integers([0, 1])])),
    named('Reshape of a constant', (net) =>
      net.op('Mul', [net.input(IMAGE), net.op('Reshape', [net.normal(20), net.integers([4, 5, 1])])]),
    ),
    named('Reshape by computed sizes', (net) => {
      const x = net.input(IMAGE);
      const batch = net.op('Gather', [net.op('Shape', [x]), net.integers([0])]);
      return net.op('Reshape', [x, net.op('Concat', [batch, net.integers([-1])], { axis: 0 })]);
    }),
    named('channel shuffle', (net) => {
      const apart = net.op('Reshape', [net.input(IMAGE), net.integers([2, 2, 2, 5, 6])]);
      const mixed = net.op('Transpose', [apart], { perm: [0, 2, 1, 3, 4] });
      return net.op('Reshape', [mixed, net.integers([2, 4, 5, 6])]);
    }),
    named('Shape, Size, ConstantOfShape and Range', (net) => {
      const x = net.input(IMAGE);
      const sizes = net.op('Shape', [x], { start: 2 });
      const whole = net.op('ConstantOfShape', [sizes], { value: Tensor.floats([0.5]) });
      const count = net.cast(net.op('Size', [x]), 'f32');
      const range = net.op('Range', [net.scalar(0), net.scalar(3), net.scalar(0.5)]);
      const sum = net.op('Add', [net.op('Add', [x, whole]), count]);
      return net.op('Add', [sum, range]);
    }),
    named('ConstantOfShape of many elements', (net) =>
      net.op('Add', [
        net.input([1, 1, 40, 40]),
        net.op('ConstantOfShape', [net.integers([40, 40])], { value: Tensor.floats([2]) }),
      ]),
    ),
    named('a constant as an output', (net) => net.op('Identity', [net.normal(2, 3, 4, 5)])),
    named('an input as an output', (net) => net.input([2, 3, 4, 6])),
  ];
}

function joins(): LoweringCase[] {
  const three = (net: CaseNet) => [net.input(IMAGE), net.normal(...IMAGE), net.input(IMAGE, 1)];
  return [
    ...[0, 1, 2, 3, -1].map((axis) => named(`Concat ${axis}`, (net) => net.op('Concat', three(net), { axis }))),
    named('Concat of one', (net) => net.op('Concat', [net.input(IMAGE)], { axis: 1 })),
    named('Concat of one twice', (net) => net.op('Concat', [net.input(IMAGE), net.input(IMAGE)], { axis: 1 })),
    named('Concat of vectors', (net) => net.op('Concat', [net.input([7]), net.input([3])], { axis: 0 })),
    ...[0, 1, 2, 3].map((axis) =>
      named(`Split ${axis}`, (net) => net.ops('Split', [net.input([2, 4, 6, 8])], 2, { axis, num_outputs: 2 })),
    ),
    named('Split unevenly', (net) =>
      net.ops('Split', [net.input([2, 4, 6, 8]), net.integers([1, 4, 1])], 3, { axis: 2 }),
    ),
    named('Split with pieces that nobody reads', (net) =>
      net.ops('Split', [net.input([2, 4, 6, 8]), net.integers([1, 2, 3])], 3, { axis: -2 }).slice(1, 2),
    ),
    ...['DCR', 'CRD'].map((mode) => on('DepthToSpace', [[2, 12, 3, 4]], undefined, { blocksize: 2, mode })),
    on('DepthToSpace', [[1, 18, 3, 4]], undefined, { blocksize: 3, mode: 'CRD' }),
    on('SpaceToDepth', [[2, 3, 4, 6]], undefined, { blocksize: 2 }),
  ];
}

function gathers(): LoweringCase[] {
  const indices: readonly [string, (net: CaseNet) => string][] = [
    ['some', (net) => net.integers([1, 0, 1])],
    ['a range', (net) => net.integers([0, 1])],
    ['from the end', (net) => net.integers([-1, 0])],
    ['one', (net) => net.integers([1], [])],
    ['one from the end', (net) => net.integers([-2], [])],
    ['a matrix', (net) => net.integers([1, 0, 1, 1, 0, 0], [2, 3])],
    ['computed', (net) => net.cast(net.op('Clip', [net.input([3]), net.scalar(0), net.scalar(1)]), 'i64')],
    [
      'computed from the end',
      (net) => net.op('Sub', [net.op('ArgMax', [net.input([3, 2])], { axis: 1, keepdims: 0 }), net.integers([2])]),
    ],
    ['the computed largest', (net) => net.op('ArgMax', [net.input([2])], { axis: 0, keepdims: 0 })],
  ];
  return [
    ...indices.flatMap(([what, make]) =>
      [0, 1, 2, 3].map((axis) =>
        named(`Gather ${what} along ${axis}`, (net) => net.op('Gather', [net.input(IMAGE), make(net)], { axis })),
      ),
    ),
    named('Gather of a constant', (net) =>
      net.op('Gather', [net.normal(5, 3), net.op('ArgMax', [net.input(IMAGE)], { axis: 1, keepdims: 0 })]),
    ),
    named('Gather of rows', (net) => net.op('Gather', [net.input([2, 4]), net.integers([3, 1])], { axis: 1 })),
    named('Gather one of a vector', (net) => net.op('Gather', [net.input([7]), net.integers([2], [])])),
  ];
}

function slices(): LoweringCase[] {
  const far = 2 ** 31 - 1;
  const cuts: readonly [starts: number[], ends: number[], axes?: number[], steps?: number[]][] = [
    [
      [0, 1],
      [2, 3],
    ],
    [[1], [far], [2]],
    [[-3], [-1], [-1]],
    [
      [1, 2],
      [3, far],
      [1, 3],
    ],
    [[0], [far], [3], [2]],
    [[1], [5], [2], [3]],
    [
      [0, 1],
      [far, far],
      [2, 3],
      [2, 2],
    ],
    [[0], [4], [1], [3]],
    [[-1], [-far], [3], [-1]],
    [[-1], [-far], [1], [-1]],
    [[4], [0], [2], [-2]],
    [
      [-1, 0],
      [-far, far],
      [2, 3],
      [-1, 2],
    ],
    [
      [5, 1],
      [1, 3],
      [3, 1],
      [-1, 1],
    ],
    [[-100], [100], [2]],
  ];
  const lists = (net: CaseNet, cut: (typeof cuts)[number]) => cut.map((list) => net.integers(list ?? []));
  return [
    ...cuts.map((cut) =>
      named(`Slice ${cut.map((list) => `[${list}]`).join(' ')}`, (net) =>
        net.op('Slice', [net.input(IMAGE), ...lists(net, cut)]),
      ),
    ),
    named('Slice of a volume', (net) => net.op('Slice', [net.input(VOLUME), ...lists(net, [[1], [4], [2]])])),
    named('Slice of a volume in steps', (net) =>
      net.op('Slice', [net.input(VOLUME), ...lists(net, [[0], [far], [4], [2]])]),
    ),
    named('Slice of six axes', (net) =>
      net.op('Slice', [
        net.input([2, 3, 1, 2, 3, 4]),
        ...lists(net, [
          [1, 0],
          [3, 2],
          [1, 5],
        ]),
      ]),
    ),
    named('Slice of six axes in steps', (net) =>
      net.op('Slice', [net.input([2, 3, 1, 2, 3, 4]), ...lists(net, [[0], [far], [5], [2]])]),
    ),
    named('Slice of a vector backwards', (net) =>
      net.op('Slice', [net.input([7]), ...lists(net, [[-1], [-far], [0], [-1]])]),
    ),
  ];
}

function pads(): LoweringCase[] {
  const modes = ['constant', 'reflect', 'edge'];
  const amounts: readonly [shape: readonly number[], pads: readonly number[], axes?: readonly number[]][] = [
    [IMAGE, [0, 0, 1, 2, 0, 0, 2, 1]],
    [IMAGE, [0, 1, 0, 0, 0, 2, 0, 0]],
    [IMAGE, [1, 2, 2, 0], [-2, 3]],
    [
      [2, 4, 7],
      [0, 0, 3, 0, 0, 2],
    ],
    [VOLUME, [0, 0, 1, 2, 1, 0, 0, 0, 1, 2]],
    [
      [2, 4],
      [0, 2, 1, 0],
    ],
    [
      [2, 3, 1, 2, 3, 4],
      [0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 1],
    ],
  ];
  const operands = (net: CaseNet, list: readonly number[], axes?: readonly number[]) => [
    net.integers(list),
    '',
    ...(axes ? [net.integers(axes)] : []),
  ];
  return [
    ...modes.flatMap((mode) =>
      amounts.map(([shape, list, axes]) =>
        named(`Pad ${mode} [${shape}] by ${list}${axes ? ` on ${axes}` : ''}`, (net) =>
          net.op('Pad', [net.input(shape), ...operands(net, list, axes)], { mode }),
        ),
      ),
    ),
    ...['constant', 'edge', 'reflect'].map((mode) =>
      named(`Pad ${mode} by negative amounts`, (net) =>
        net.op('Pad', [net.input(IMAGE), net.integers([0, 0, -1, 1, 0, 0, 2, -2])], { mode }),
      ),
    ),
    named('Pad with a number', (net) =>
      net.op('Pad', [net.input(IMAGE), net.integers([0, 0, 1, 1, 0, 0, 0, 1]), net.scalar(-1.5)]),
    ),
    named(
      'Pad wrap',
      (net) => net.op('Pad', [net.input(IMAGE), ...operands(net, [0, 0, 1, 2, 0, 0, 2, 1])], { mode: 'wrap' }),
      (net) => {
        const rows = net.op('Gather', [net.input(IMAGE), net.integers([4, 0, 1, 2, 3, 4, 0, 1])], { axis: 2 });
        return net.op('Gather', [rows, net.integers([4, 5, 0, 1, 2, 3, 4, 5, 0])], { axis: 3 });
      },
    ),
    named('Pad by nothing', (net) => net.op('Pad', [net.input(IMAGE), net.integers([0, 0, 0, 0, 0, 0, 0, 0])])),
  ];
}

function repeats(): LoweringCase[] {
  const expansions: readonly [readonly number[], readonly number[]][] = [
    [
      [2, 1, 5, 6],
      [2, 4, 5, 6],
    ],
    [
      [2, 4, 1, 1],
      [1, 1, 5, 6],
    ],
    [
      [4, 1, 1],
      [2, 4, 5, 6],
    ],
    [[6], [2, 4, 5, 6]],
    [[1], [7]],
    [IMAGE, [1]],
    [
      [2, 1, 4],
      [2, 3, 4],
    ],
    [
      [2, 3, 1, 2, 3, 1],
      [2, 3, 2, 2, 3, 2],
    ],
  ];
  return [
    ...[
      [1, 1, 2, 3],
      [2, 3, 1, 1],
      [1, 1, 1, 1],
    ].map((counts) => named(`Tile ${counts}`, (net) => net.op('Tile', [net.input(IMAGE), net.integers(counts)]))),
    named('Tile of rows', (net) => net.op('Tile', [net.input([2, 4]), net.integers([3, 2])])),
    named('Tile of a volume', (net) => net.op('Tile', [net.input(VOLUME), net.integers([1, 1, 2, 1, 2])])),
    ...expansions.map(([from, to]) =>
      named(`Expand [${from}] by [${to}]`, (net) => net.op('Expand', [net.input(from), net.integers(to)])),
    ),
    named('Expand of a number', (net) =>
      net.op('Add', [net.input(IMAGE), net.op('Expand', [net.scalar(2), net.integers([5, 6])])]),
    ),
    named('Expand of truths', (net) => net.op('Expand', [net.truth(net.input([4, 1, 1])), net.integers(IMAGE)])),
  ];
}

export const arrangingCases: readonly LoweringCase[] = [
  ...transposes(),
  ...reshapes(),
  ...joins(),
  ...gathers(),
  ...slices(),
  ...pads(),
  ...repeats(),
];
