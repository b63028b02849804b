import type { Attributes } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { type CaseNet, type LoweringCase, named, on } from './lowering-case.js';

const IMAGE = [2, 4, 5, 6];
const SHAPES = [[2, 4], [2, 4, 7], IMAGE, [2, 4, 3, 5, 6]];

function norms(): LoweringCase[] {
  const perChannel = (net: CaseNet) => [net.normal(4), net.normal(4)];
  const computed = (net: CaseNet) => [net.input([4]), net.input([4], 1)];
  return [
    ...SHAPES.map((shape) =>
      named(`BatchNormalization [${shape}]`, (net) =>
        net.op('BatchNormalization', [
          net.input(shape),
          ...perChannel(net),
          net.normal(4),
          net.constant(Tensor.floats([0.5, 1, 2, 1e-3])),
        ]),
      ),
    ),
    ...SHAPES.slice(1).flatMap((shape) => [
      on('InstanceNormalization', [shape], perChannel, { epsilon: 1e-3 }),
      ...[1, 2, 4].map((num_groups) => on('GroupNormalization', [shape], perChannel, { num_groups })),
    ]),
    named('InstanceNormalization with computed numbers', (net) =>
      net.op('InstanceNormalization', [net.input(IMAGE), ...computed(net)]),
    ),
    named('GroupNormalization with computed numbers', (net) =>
      net.op('GroupNormalization', [net.input(IMAGE), ...computed(net)], { num_groups: 2 }),
    ),
    named('InstanceNormalization far from zero', (net) =>
      net.op('InstanceNormalization', [net.op('Add', [net.input(IMAGE), net.scalar(10)]), ...perChannel(net)]),
    ),
    ...[-1, 1, 2, 0].map((axis) =>
      named(`LayerNormalization ${axis}`, (net) => {
        const shape = IMAGE.slice(axis < 0 ? axis + 4 : axis);
        return net.op('LayerNormalization', [net.input(IMAGE), net.normal(...shape), net.normal(...shape)], { axis });
      }),
    ),
    named('LayerNormalization of tokens, without shift', (net) =>
      net.op('LayerNormalization', [net.input([2, 7, 4]), net.normal(4)]),
    ),
    named('LayerNormalization with computed numbers', (net) =>
      net.op('LayerNormalization', [net.input([2, 7, 4]), ...computed(net)]),
    ),
  ];
}

function reductions(): LoweringCase[] {
  const cases: LoweringCase[] = [];
  const of = (op: string, shape: readonly number[], axes: readonly number[] | undefined, attributes: Attributes) =>
    named(`${op} [${shape}] over ${axes ?? 'all'} ${JSON.stringify(attributes)}`, (net) =>
      net.op(op, [net.input(shape), ...(axes ? [net.integers(axes)] : [])], attributes),
    );
  for (const op of ['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL2'])
    for (const keepdims of [0, 1])
      for (const axes of [[1], [2, 3], [-1], [0, 2, 3], [2], undefined]) cases.push(of(op, IMAGE, axes, { keepdims }));
  for (const keepdims of [0, 1]) {
    for (const axes of [[0], [1, 2], [3], [1, 3], [0, 1], [0, 1, 2], [1, 2, 3], [0, 1, 2, 3]])
      cases.push(of('ReduceMean', IMAGE, axes, { keepdims }));
    for (const axes of [[2, 3, 4], [1], [2], [4], [1, 2, 3], [0, 1, 2, 3, 4]])
      cases.push(of('ReduceMean', [2, 4, 3, 5, 6], axes, { keepdims }));
    for (const axes of [[1], [2], [0], [1, 2]]) cases.push(of('ReduceSum', [2, 4, 7], axes, { keepdims }));
    for (const axes of [[1], [0]]) cases.push(of('ReduceMax', [2, 4], axes, { keepdims }));
    cases.push(of('ReduceMean', [2, 3, 1, 2, 3, 4], [4, 5], { keepdims }));
    for (const op of ['ArgMax', 'ArgMin'])
      for (const axis of [0, 1, 2, 3, -1]) cases.push(on(op, [IMAGE], undefined, { axis, keepdims }));
    for (const axis of [0, 1, 2]) cases.push(on('ArgMax', [[2, 4, 7]], undefined, { axis, keepdims }));
    cases.push(on('ArgMax', [[2, 4]], undefined, { axis: 1, keepdims }));
    cases.push(on('ArgMax', [[2, 4, 3, 5, 6]], undefined, { axis: 1, keepdims }));
  }
  return [
    ...cases,
    of('ReduceSum', IMAGE, [], { noop_with_empty_axes: 1 }),
    of('ReduceSum', IMAGE, [], {}),
    named('ArgMax among equals', (net) =>
      net.op('ArgMax', [net.op('Floor', [net.input(IMAGE)])], { axis: 1, keepdims: 0 }),
    ),
    named('channel attention', (net) => {
      const x = net.input(IMAGE);
      const mean = net.op('ReduceMean', [x, net.integers([2, 3])], { keepdims: 0 });
      const gates = net.op('Sigmoid', [net.op('MatMul', [mean, net.normal(4, 4)])]);
      return net.op('Mul', [x, net.op('Unsqueeze', [gates, net.integers([2, 3])])]);
    }),
    named('spatial attention', (net) => {
      const x = net.input(IMAGE);
      const over = (op: string) => net.op(op, [x, net.integers([1])], { keepdims: 1 });
      return net.op('Concat', [over('ReduceMean'), over('ReduceMax'), net.op('Mul', [x, over('ReduceMin')])], {
        axis: 1,
      });
    }),
  ];
}

function products(): LoweringCase[] {
  const shapes: readonly [readonly number[], readonly number[]][] = [
    [
      [3, 4],
      [4, 5],
    ],
    [
      [2, 3, 4],
      [4, 5],
    ],
    [
      [2, 3, 4],
      [2, 4, 5],
    ],
    [
      [1, 3, 4],
      [2, 4, 5],
    ],
    [
      [2, 2, 3, 4],
      [2, 2, 4, 5],
    ],
    [
      [2, 2, 3, 4],
      [1, 2, 4, 5],
    ],
    [
      [2, 1, 3, 4],
      [2, 4, 5],
    ],
    [
      [2, 2, 3, 4],
      [4, 5],
    ],
    [
      [3, 4],
      [2, 4, 5],
    ],
    [
      [2, 2, 2, 3, 4],
      [2, 2, 2, 4, 5],
    ],
    [
      [2, 1, 2, 2, 3, 4],
      [2, 1, 2, 2, 4, 5],
    ],
    [[4], [4, 5]],
    [[3, 4], [4]],
    [[2, 3, 4], [4]],
    [[4], [2, 4, 5]],
    [[4], [4]],
  ];
  return shapes.flatMap(([a, b]) => [
    named(`MatMul [${a}] by [${b}]`, (net) => net.op('MatMul', [net.input(a), net.input(b, 1)])),
    named(`MatMul [${a}] by the constant [${b}]`, (net) => net.op('MatMul', [net.input(a), net.normal(...b)])),
    named(`MatMul of the constant [${a}] by [${b}]`, (net) => net.op('MatMul', [net.normal(...a), net.input(b, 1)])),
  ]);
}

function gemms(): LoweringCase[] {
  const cases: LoweringCase[] = [];
  const additions: readonly [string, ((net: CaseNet) => string) | undefined][] = [
    ['nothing', undefined],
    ['[5]', (net) => net.normal(5)],
    ['a number', (net) => net.scalar(0.5)],
    ['[3, 5]', (net) => net.normal(3, 5)],
    ['[3, 1]', (net) => net.normal(3, 1)],
    ['computed [5]', (net) => net.input([5])],
  ];
  for (const transA of [0, 1])
    for (const transB of [0, 1])
      for (const isConstant of [true, false]) {
        const a = transA ? [4, 3] : [3, 4];
        const b = transB ? [5, 4] : [4, 5];
        for (const [what, make] of additions)
          cases.push(
            named(`Gemm A${transA} B${transB} ${isConstant ? 'constant' : 'computed'} and ${what}`, (net) =>
              net.op(
                'Gemm',
                [net.input(a), isConstant ? net.normal(...b) : net.input(b, 1), ...(make ? [make(net)] : [])],
                { transA, transB, ...(make && transA ? { alpha: 0.5, beta: 2 } : {}) },
              ),
            ),
          );
      }
  return cases;
}

function sums(): LoweringCase[] {
  const equations: readonly [string, readonly number[], readonly number[]][] = [
    ['ij,jk->ik', [3, 4], [4, 5]],
    ['bij,bjk->bik', [2, 3, 4], [2, 4, 5]],
    ['bhid,bhjd->bhij', [2, 2, 3, 4], [2, 2, 5, 4]],
    ['bhij,bhjd->bhid', [2, 2, 3, 5], [2, 2, 5, 4]],
    ['bnc,cd->bnd', [2, 3, 4], [4, 5]],
    ['bchw,cd->bdhw', [2, 4, 5, 6], [4, 3]],
    ['bchw,oc->bohw', [2, 4, 5, 6], [3, 4]],
    ['bqc,bchw->bqhw', [2, 3, 4], [2, 4, 5, 6]],
    ['bhwc,bhwd->bcd', [2, 3, 2, 4], [2, 3, 2, 5]],
    ['i,j->ij', [3], [4]],
    ['ij,ij->', [3, 4], [3, 4]],
    ['ij,ij->ij', [3, 4], [3, 4]],
    ['...ij,...jk->...ik', [2, 2, 3, 4], [2, 2, 4, 5]],
    ['bij,jk', [2, 3, 4], [4, 5]],
    ['bi,bj->bji', [2, 3], [2, 4]],
    ['bci,bcj->bij', [2, 4, 3], [2, 4, 5]],
    ['bij,bjk->bi', [2, 3, 4], [2, 4, 5]],
  ];
  return [
    ...equations.flatMap(([equation, a, b]) => [
      named(`Einsum ${equation}`, (net) => net.op('Einsum', [net.input(a), net.input(b, 1)], { equation })),
      named(`Einsum ${equation} of a constant`, (net) =>
        net.op('Einsum', [net.input(a), net.normal(...b)], { equation }),
      ),
    ]),
    named('Einsum ij->ji', (net) => net.op('Einsum', [net.input([3, 4])], { equation: 'ij->ji' })),
    named('Einsum bchw->bc', (net) => net.op('Einsum', [net.input(IMAGE)], { equation: 'bchw->bc' })),
  ];
}

function quantized(): LoweringCase[] {
  const bytes = (shape: readonly number[]) =>
    Tensor.encode(
      'i8',
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 37) % 255) - 127),
    );
  return [
    named('DequantizeLinear of a constant', (net) =>
      net.op('Add', [net.input(IMAGE), net.op('DequantizeLinear', [net.constant(bytes([4, 5, 6])), net.scalar(0.01)])]),
    ),
    named('DequantizeLinear of a weight', (net) => {
      const zeros = net.constant(Tensor.encode('i8', [3], [1, -2, 0]));
      const scales = net.floats([0.01, 0.02, 0.005]);
      const weight = net.op('DequantizeLinear', [net.constant(bytes([3, 4, 3, 3])), scales, zeros], { axis: 0 });
      return net.op('Conv', [net.input(IMAGE), weight]);
    }),
    named('DequantizeLinear of a matrix', (net) => {
      const weight = net.op('DequantizeLinear', [net.constant(bytes([4, 5])), net.normal(5)], { axis: 1 });
      return net.op('MatMul', [net.input([3, 4]), weight]);
    }),
    named('weights that are transposed', (net) => {
      const weight = net.op('Transpose', [net.normal(5, 4)]);
      return net.op('Gemm', [net.input([3, 4]), weight, net.op('Reshape', [net.normal(1, 5), net.integers([5])])]);
    }),
  ];
}

export const sumCases: readonly LoweringCase[] = [
  ...norms(),
  ...reductions(),
  ...products(),
  ...gemms(),
  ...sums(),
  ...quantized(),
];
