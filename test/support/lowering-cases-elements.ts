import type { Attributes } from '../../src/ir/graph.js';
import { type CaseNet, type LoweringCase, named, on } from './lowering-case.js';

const IMAGE = [2, 4, 5, 6];
const SHAPES = [[7], [2, 4], [2, 4, 7], IMAGE, [2, 3, 4, 5, 6]];

const times = (net: CaseNet, x: string, factor: number) => net.op('Mul', [x, net.scalar(factor)]);

function arithmetic(): LoweringCase[] {
  const pairs = ['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min'];
  const operands: readonly [string, (net: CaseNet) => readonly string[]][] = [
    ['two images', (net) => [net.input(IMAGE), net.positive(net.input(IMAGE, 1))]],
    ['a number first', (net) => [net.scalar(1), net.positive(net.input(IMAGE))]],
    ['a number a channel', (net) => [net.input(IMAGE), net.positive(net.normal(4, 1, 1))]],
    ['a computed number a channel', (net) => [net.input(IMAGE), net.positive(net.input([2, 4, 1, 1]))]],
    ['a computed row', (net) => [net.input(IMAGE), net.positive(net.input([6]))]],
    ['a computed plane', (net) => [net.positive(net.input([5, 6])), net.positive(net.input(IMAGE))]],
    ['both broadcast', (net) => [net.input([2, 4, 1, 6]), net.positive(net.input([1, 1, 5, 1]))]],
    ['vectors', (net) => [net.input([7]), net.positive(net.input([7], 1))]],
    ['volumes', (net) => [net.input([2, 3, 4, 5, 6]), net.positive(net.input([1, 3, 1, 1, 1]))]],
    ['six axes', (net) => [net.input([2, 3, 1, 2, 3, 4]), net.positive(net.input([1, 3, 2, 1, 3, 1]))]],
  ];
  const several = (net: CaseNet) => [net.input(IMAGE), net.input(IMAGE, 1), net.normal(4, 1, 1), net.scalar(0.3)];
  return [
    ...pairs.flatMap((op) => operands.map(([of, make]) => named(`${op} of ${of}`, (net) => net.op(op, make(net))))),
    ...['Sum', 'Mean', 'Max', 'Min'].flatMap((op) => [
      named(`${op} of four`, (net) => net.op(op, several(net))),
      named(`${op} of one`, (net) => net.op(op, [net.input(IMAGE)])),
    ]),
  ];
}

function integers(): LoweringCase[] {
  const whole = (net: CaseNet, number = 0) => net.whole(net.input(IMAGE, number));
  const divisor = (net: CaseNet, value = 3) => net.cast(net.scalar(value), 'i32');
  return [
    ...['Add', 'Sub', 'Mul', 'Max', 'Min', 'Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'].map((op) =>
      named(`${op} of whole numbers`, (net) => net.op(op, [whole(net), whole(net, 1)])),
    ),
    ...[3, -2].flatMap((value) => [
      named(`Div of whole numbers by ${value}`, (net) => net.op('Div', [whole(net), divisor(net, value)])),
      named(`Mod of whole numbers by ${value}`, (net) => net.op('Mod', [whole(net), divisor(net, value)])),
      named(`Mod of whole numbers by ${value}, as in C`, (net) =>
        net.op('Mod', [whole(net), divisor(net, value)], { fmod: 1 }),
      ),
      named(`Mod of singles by ${value / 4}`, (net) =>
        net.op('Mod', [net.input(IMAGE), net.scalar(value / 4)], { fmod: 1 }),
      ),
    ]),
    ...['Neg', 'Abs', 'Sign'].map((op) => named(`${op} of whole numbers`, (net) => net.op(op, [whole(net)]))),
    named('Pow of whole numbers', (net) => net.op('Pow', [whole(net), net.cast(net.scalar(2), 'i32')])),
    named('Pow of whole numbers to the third', (net) => net.op('Pow', [whole(net), net.cast(net.scalar(3), 'i32')])),
    named('Clip of whole numbers', (net) =>
      net.op('Clip', [whole(net), net.cast(net.scalar(-2), 'i32'), net.cast(net.scalar(3), 'i32')]),
    ),
    named('Clip of long whole numbers from the least on', (net) =>
      net.op('Clip', [net.whole(net.input(IMAGE), 'i64'), net.integers([-(2 ** 62)], []), net.integers([1], [])]),
    ),
    ...['ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd'].map((op) =>
      named(`${op} of whole numbers`, (net) => net.op(op, [whole(net), net.integers([2, 3])])),
    ),
    named('Where, Concat and Gather of whole numbers', (net) => {
      const chosen = net.op('Where', [net.truth(net.input(IMAGE)), whole(net), whole(net, 1)]);
      const joined = net.op('Concat', [chosen, whole(net)], { axis: 1 });
      return net.op('Gather', [joined, net.integers([6, 0, -3])], { axis: 1 });
    }),
    named('Pad of whole numbers', (net) => net.op('Pad', [whole(net), net.integers([0, 0, 1, 1, 0, 0, 2, 0])])),
    named('Slice of whole numbers in steps', (net) =>
      net.op('Slice', [whole(net), net.integers([0]), net.integers([6]), net.integers([3]), net.integers([2])]),
    ),
  ];
}

function powers(): LoweringCase[] {
  return [
    ...[2, 0.5, 3, -1, 1.5].map((exponent) =>
      named(`Pow to ${exponent}`, (net) => {
        const base = net.input(IMAGE);
        return net.op('Pow', [
          Number.isInteger(exponent) && exponent > 0 ? base : net.positive(base),
          net.scalar(exponent),
        ]);
      }),
    ),
    named('Pow to 2 of shape [1, 1, 1]', (net) => net.op('Pow', [net.input([2, 4]), net.floats([2], [1, 1, 1])])),
    named('Pow to whole numbers', (net) =>
      net.op('Pow', [net.positive(net.input(IMAGE)), net.integers([2, -1, 0, 3], [4, 1, 1])]),
    ),
    named('Pow to computed numbers', (net) => net.op('Pow', [net.positive(net.input(IMAGE)), net.input([6])])),
  ];
}

function functions(): LoweringCase[] {
  const plain = ['Exp', 'Neg', 'Abs', 'Sign', 'Floor', 'Ceil', 'Round', 'Sin', 'Cos', 'Erf'];
  const positive = ['Log', 'Sqrt', 'Reciprocal'];
  const halves = (net: CaseNet) => times(net, net.op('Floor', [times(net, net.input(IMAGE), 4)]), 0.5);
  return [
    ...plain.map((op) => on(op, [IMAGE])),
    ...positive.map((op) => named(op, (net) => net.op(op, [net.positive(net.input(IMAGE))]))),
    ...['Sign', 'Floor', 'Ceil', 'Round'].map((op) => named(`${op} of halves`, (net) => net.op(op, [halves(net)]))),
    ...['Erf', 'Sin', 'Cos'].map((op) =>
      named(`${op} of large numbers`, (net) => net.op(op, [times(net, net.input(IMAGE), 4)])),
    ),
    named('Erf of zero', (net) => net.op('Erf', [times(net, net.input(IMAGE), 0)])),
  ];
}

const ACTIVATIONS: readonly [op: string, attributes?: Attributes][] = [
  ['Relu'],
  ['Sigmoid'],
  ['Tanh'],
  ['LeakyRelu'],
  ['LeakyRelu', { alpha: 0.2 }],
  ['LeakyRelu', { alpha: 1.5 }],
  ['Elu'],
  ['Elu', { alpha: 0.5 }],
  ['Selu'],
  ['Selu', { alpha: 1.5, gamma: 1.25 }],
  ['Celu'],
  ['Celu', { alpha: 0.5 }],
  ['Softplus'],
  ['Softsign'],
  ['HardSigmoid'],
  ['HardSigmoid', { alpha: 0.25, beta: 0.4 }],
  ['HardSwish'],
  ['Mish'],
  ['Gelu'],
  ['Gelu', { approximate: 'tanh' }],
  ['ThresholdedRelu'],
  ['ThresholdedRelu', { alpha: 0.3 }],
  ['Softmax', { axis: -1 }],
  ['LogSoftmax', { axis: -1 }],
];

function activations(): LoweringCase[] {
  const bounds: readonly [string, (net: CaseNet) => readonly string[]][] = [
    ['0 to 6', (net) => [net.scalar(0), net.scalar(6)]],
    ['0 to 6, of shape [1]', (net) => [net.floats([0]), net.floats([6])]],
    ['0 on', (net) => [net.scalar(0)]],
    ['0 to the largest', (net) => [net.scalar(0), net.scalar(3.4028234663852886e38)]],
    ['up to 0.5', (net) => ['', net.scalar(0.5)]],
    ['-0.5 to 0.5', (net) => [net.scalar(-0.5), net.scalar(0.5)]],
    ['0.5 to -0.5', (net) => [net.scalar(0.5), net.scalar(-0.5)]],
    ['nothing', () => []],
  ];
  const slopes: readonly [string, (net: CaseNet) => string][] = [
    ['a channel', (net) => net.normal(4, 1, 1)],
    ['a channel, four axes', (net) => net.normal(1, 4, 1, 1)],
    ['for all', (net) => net.normal(1)],
    ['an element', (net) => net.normal(4, 5, 6)],
    ['a row', (net) => net.normal(5, 1)],
    ['a computed one a channel', (net) => net.input([4, 1, 1])],
  ];
  return [
    ...ACTIVATIONS.flatMap(([op, attributes]) => [
      on(op, [IMAGE], undefined, attributes),
      named(`${op} ${JSON.stringify(attributes ?? {})} of large numbers`, (net) =>
        net.op(op, [times(net, net.input(IMAGE), 100)], attributes),
      ),
    ]),
    ...['Relu', 'Softplus', 'Gelu', 'HardSwish'].flatMap((op) => SHAPES.map((shape) => on(op, [shape]))),
    ...SHAPES.flatMap((shape) =>
      ['Softmax', 'LogSoftmax'].flatMap((op) => shape.map((_, axis) => on(op, [shape], undefined, { axis }))),
    ),
    ...bounds.map(([what, make]) =>
      named(`Clip to ${what}`, (net) => net.op('Clip', [times(net, net.input(IMAGE), 5), ...make(net)])),
    ),
    ...slopes.map(([what, make]) =>
      named(`PRelu with slopes ${what}`, (net) => net.op('PRelu', [net.input(IMAGE), make(net)])),
    ),
    named('PRelu of rows', (net) => net.op('PRelu', [net.input([2, 4]), net.normal(4)])),
  ];
}

function logic(): LoweringCase[] {
  const truths = (net: CaseNet) => [net.truth(net.input(IMAGE)), net.truth(net.input([1, 4, 1, 6]))];
  const types = ['f32', 'i32', 'i64', 'u8', 'bool'] as const;
  return [
    ...['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'].map((op) =>
      named(`${op} of steps`, (net) =>
        net.op(op, [net.op('Floor', [net.input(IMAGE)]), net.op('Floor', [net.input([4, 1, 1])])]),
      ),
    ),
    ...['And', 'Or', 'Xor', 'Equal'].map((op) => named(`${op} of truths`, (net) => net.op(op, truths(net)))),
    named('Not', (net) => net.op('Not', truths(net).slice(0, 1))),
    ...types.map((to) => named(`Cast to ${to}`, (net) => net.cast(net.positive(times(net, net.input(IMAGE), 3)), to))),
    named('Cast of truths', (net) => net.cast(truths(net)[0], 'f32')),
    named('Cast of negative numbers', (net) => net.cast(times(net, net.input(IMAGE), 3), 'i32')),
    named('CastLike', (net) => net.op('CastLike', [net.input(IMAGE), net.whole(net.input([7]))])),
    named('Cast of constants of halves', (net) =>
      net.op('Add', [net.input(IMAGE), net.cast(net.cast(net.normal(4, 1, 1), 'f16'), 'f32')]),
    ),
    named('Where', (net) => net.op('Where', [net.truth(net.input(IMAGE)), net.input(IMAGE), net.input(IMAGE, 1)])),
    named('Where with a number', (net) =>
      net.op('Where', [net.truth(net.input(IMAGE)), net.input(IMAGE, 1), net.scalar(-3)]),
    ),
    named('Where by plane, with numbers a channel', (net) =>
      net.op('Where', [net.truth(net.input([5, 6])), net.input([2, 1, 1, 1]), net.normal(4, 1, 1)]),
    ),
    named(
      'Where of truths',
      (net) => net.op('Where', [truths(net)[0], truths(net)[1], net.truth(net.input([6]))]),
      (net) => {
        const [then, otherwise] = [truths(net)[1], net.truth(net.input([6]))].map((x) => net.cast(x, 'f32'));
        return net.op('Where', [truths(net)[0], then, otherwise]);
      },
    ),
    named('Where of vectors', (net) => net.op('Where', [net.truth(net.input([7])), net.input([7]), net.scalar(0)])),
    named('Identity and Dropout', (net) => net.op('Dropout', [net.op('Identity', [net.input(IMAGE)])])),
  ];
}

/** What is worked out when a model runs although nothing of it changes. */
function constants(): LoweringCase[] {
  const image = (net: CaseNet) => net.normal(1, 4, 5, 6);
  const ways: readonly [string, (net: CaseNet) => string][] = [
    ['a function', (net) => net.op('Exp', [image(net)])],
    ['a product', (net) => net.op('Mul', [image(net), net.normal(4, 1, 1)])],
    ['a shape of a function', (net) => net.op('Reshape', [net.op('Exp', [net.normal(120)]), net.integers([4, 5, 6])])],
    ['a transposed function', (net) => net.op('Transpose', [net.op('Exp', [net.normal(6, 5, 4)])])],
    ['parts', (net) => net.op('Concat', [net.normal(1, 1, 5, 6), net.normal(1, 3, 5, 6)], { axis: 1 })],
    ['a part', (net) => net.op('Slice', [net.normal(7, 5, 6), net.integers([2]), net.integers([6])])],
    ['pieces', (net) => net.ops('Split', [net.normal(2, 4, 5, 6)], 2, { axis: 0, num_outputs: 2 })[1]],
    ['chosen parts', (net) => net.op('Gather', [net.normal(7, 5, 6), net.integers([6, 1, 3, 3])])],
    ['one part', (net) => net.op('Gather', [net.normal(7, 4, 5, 6), net.integers([-1], [])])],
    ['an expansion', (net) => net.op('Expand', [net.normal(4, 1, 1), net.integers([4, 5, 6])])],
    ['repetitions', (net) => net.op('Tile', [net.normal(4, 5, 1), net.integers([1, 1, 6])])],
    ['an addition of zeros', (net) => net.op('Pad', [net.normal(4, 5, 4), net.integers([0, 0, 1, 0, 0, 1])])],
    ['a choice', (net) => net.op('Where', [net.truth(net.normal(4, 5, 6)), net.normal(4, 1, 1), net.scalar(-1)])],
    ['a sum', (net) => net.op('ReduceMean', [net.normal(2, 4, 5, 6), net.integers([0])], { keepdims: 0 })],
    ['whole numbers', (net) => net.cast(net.whole(image(net)), 'f32')],
    ['rows', (net) => net.op('Unsqueeze', [net.op('Exp', [net.normal(4)]), net.integers([1, 2])])],
    ['a product of matrices', (net) => net.op('MatMul', [net.normal(4, 5, 3), net.normal(3, 6)])],
    ['the largest', (net) => net.cast(net.op('ArgMax', [net.normal(4, 5, 6)], { axis: 1 }), 'f32')],
  ];
  return ways.map(([what, make]) =>
    named(`${what} of constants`, (net) => net.op('Add', [net.input(IMAGE), make(net)])),
  );
}

export const elementCases: readonly LoweringCase[] = [
  ...arithmetic(),
  ...integers(),
  ...powers(),
  ...functions(),
  ...activations(),
  ...logic(),
  ...constants(),
];
