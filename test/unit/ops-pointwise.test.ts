import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Attributes } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { DataType, Dim } from '../../src/ir/types.js';
import { operators } from '../../src/ops/index.js';
import { expectAgreement, expectRefusal, expectThinningLaw } from '../support/op-laws.js';
import { constant, counting, inferNode, integers, type NodeCase, runNode, unknown } from '../support/run-node.js';

const x = counting([2, 3, 4]);
const list = integers(7, -7, 8, -8, 0, 3);
const divisors = integers(2, 2, -3, -3, 5, 3);
const fractions = Tensor.floats([0.5, 1.5, -1.5, 2.5, -0.2, 7]);
const bools = (...values: number[]) => Tensor.encode('bool', [values.length], values);
const node = (op: string, ...inputs: (Tensor | undefined)[]): NodeCase => ({ op, inputs });
const named = (cases: readonly NodeCase[]) =>
  cases.map((each) => [`${each.op} of ${each.inputs.map((t) => (t ? `${t.dtype}[${t.shape}]` : '-'))}`, each] as const);

const comparisons = ['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'];
const unaries = ['Neg', 'Abs', 'Sign', 'Floor', 'Ceil', 'Round', 'Sqrt', 'Reciprocal', 'Exp', 'Log', 'Sin', 'Cos'];
const activations = ['Relu', 'LeakyRelu', 'Elu', 'Selu', 'Celu', 'ThresholdedRelu', 'Sigmoid', 'HardSigmoid'].concat([
  'HardSwish',
  'Gelu',
  'Erf',
  'Tanh',
  'Softmax',
  'LogSoftmax',
  'Softplus',
  'Softsign',
  'Mish',
]);

describe('elementwise operators agree with ONNX Runtime in type and in followed elements', () => {
  it.each(
    named([
      ...['Add', 'Sub', 'Mul', 'Div', 'Mod'].map((op) => node(op, list, divisors)),
      ...['Add', 'Sub', 'Mul', 'Div', 'Pow'].map((op) => node(op, fractions, Tensor.floats([3], []))),
      ...['Add', 'Mul', 'Max'].map((op) => node(op, counting([2, 1, 4]), counting([3, 1]))),
      { ...node('Mod', list, divisors), attributes: { fmod: 1 } },
      node('Pow', list, Tensor.floats([2])),
      node('Div', Tensor.floats([7, 1]), Tensor.floats([3, 10])),
      ...['Sum', 'Mean', 'Max', 'Min'].map((op) => node(op, fractions, Tensor.floats([1]), fractions)),
      ...['Max', 'Min'].map((op) => node(op, list)),
      ...unaries.map((op) => node(op, Tensor.floats([0.5, 1.5, 2.5, 2.25]))),
      ...['Neg', 'Abs', 'Sign'].map((op) => node(op, list)),
      ...comparisons.map((op) => node(op, list, divisors)),
      ...['And', 'Or', 'Xor'].map((op) => node(op, bools(0, 0, 1, 1), bools(0, 1, 0, 1))),
      node('Not', bools(0, 1)),
      node('Where', bools(0, 1, 1), integers(5, 6, 7), integers(9)),
      node('CastLike', fractions, list),
      node('Identity', list),
      node('Dropout', x),
      node('Dropout', x, Tensor.floats([0.3], []), Tensor.encode('bool', [], [0])),
      { ...node('Dropout', x), outputCount: 2 },
      node('PRelu', x, counting([3, 1])),
      node('Clip', x, Tensor.floats([1], []), undefined),
      ...activations.map((op) => node(op, x)),
    ]),
  )('%s', (_, each) => expectAgreement(each));

  it.each([
    [fractions, 7],
    [fractions, 9],
    [fractions, 6],
    [list, 1],
    [list, 9],
    [bools(0, 1), 7],
  ] as const)('Cast %#', (tensor, to) => expectAgreement({ op: 'Cast', inputs: [tensor], attributes: { to } }));

  it('for any integers', async () => {
    const vector = fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 6, maxLength: 6 });
    const divisor = vector.map((values) => values.map((value) => value || 1));
    await fc.assert(
      fc.asyncProperty(vector, divisor, fc.constantFrom('Add', 'Sub', 'Mul', 'Div', 'Mod', 'Less'), (a, b, op) =>
        expectAgreement(node(op, integers(...a), integers(...b))),
      ),
      { numRuns: 40 },
    );
  });
});

const dims = (op: string, a: Dim, b: Dim, dtype: DataType = 'i64'): readonly Dim[] | undefined => {
  const operand = (name: string, element: Dim) => ({
    name,
    type: { dtype, shape: [1] },
    known: () => ({ shape: [1], elements: [element] }),
  });
  const [first, second] = operators.get(op)!.inputs;
  const operands = first.variadic || second ? [operand('a', a), operand('b', b)] : [operand('a', a)];
  return inferNode(op, operands)[0].known?.elements;
};

describe('symbolic elements', () => {
  it.each<[string, Dim, Dim, Dim | undefined]>([
    ['Add', 'H', 2, 'H+2'],
    ['Sub', 'H', 'H', 0],
    ['Mul', 2, 'H', '2*H'],
    ['Div', '2*H', 2, 'H'],
    ['Div', 'H', 2, 'floor(H/2)'],
    ['Div', 'H', 0, undefined],
    ['Mod', 'H', 32, 'mod(H,32)'],
    ['Mod', 'H', 1, 0],
    ['Max', 'H', 'H', 'H'],
    ['Max', 'W', 'H', 'max(H,W)'],
    ['Min', 'H', 4, 'min(4,H)'],
    ['Equal', 'H', 'H', 1],
    ['Equal', 'H', -1, 0],
    ['Equal', 'H', 4, undefined],
    ['Equal', 'H', 'W', undefined],
    ['Less', 'H', 4, undefined],
    ['Neg', 'H', 0, '-1*H'],
    ['Identity', 'H', 0, 'H'],
  ])('%s(%s, %s)', (op, a, b, expected) => {
    expect(dims(op, a, b)?.[0]).toBe(expected);
  });

  it.each<[string, Dim, Dim, Dim]>([
    ['Mul', 'H', 0.5, 'real(H/2)'],
    ['Div', 'H', 2, 'real(H/2)'],
    ['Div', '2*H', 2, 'H'],
    ['Mul', 'H', 1.5, 'real(1.5*H)'],
    ['Mul', 'H', 2, '2*H'],
    ['Add', 'H', 0.5, 'real(H+0.5)'],
    ['Floor', 'real(H/2)', 0, 'floor(H/2)'],
    ['Ceil', 'real(H/2)', 0, 'ceil(H/2)'],
    ['Round', 'H', 0, 'H'],
    ['Floor', 'real(H/2)+real(W/2)', 0, 'floor(real(H/2)+real(W/2))'],
  ])('%s(%s, %s) of floats', (op, a, b, expected) => {
    expect(dims(op, a, b, 'f32')?.[0]).toBe(expected);
  });

  it('are cut to integers by Cast', () => {
    const known = () => ({ shape: [2], elements: ['real(H/2)', 'W'] });
    const operand = { name: 'a', type: { dtype: 'f32', shape: [2] }, known } as const;
    expect(inferNode('Cast', [operand], { to: 7 })[0].known?.elements).toEqual(['floor(H/2)', 'W']);
    expect(inferNode('Cast', [operand], { to: 9 })[0].known).toBeUndefined();
  });

  it('are chosen by Where', () => {
    const condition = constant('c', bools(0, 1));
    const known = () => ({ shape: [2], elements: ['H', 'W'] });
    const sizes = { name: 's', type: { dtype: 'i64', shape: [2] }, known } as const;
    expect(inferNode('Where', [condition, constant('one', integers(1)), sizes])[0].known?.elements).toEqual(['H', 1]);
  });

  it('that an integer type cannot hold are not followed', () => {
    const byte = (value: number) => constant('b', Tensor.encode('u8', [1], [value]));
    expect(inferNode('Add', [byte(200), byte(100)])[0].known).toBeUndefined();
    expect(inferNode('Sub', [byte(1), byte(2)])[0].known).toBeUndefined();
    expect(inferNode('Add', [byte(200), byte(55)])[0].known?.elements).toEqual([255]);
  });

  it('are given up when there are too many, and their text stays short', () => {
    const row = constant('row', counting([1, 1000], 'i64'));
    expect(inferNode('Add', [row, constant('column', counting([1000, 1], 'i64'))])[0].known).toBeUndefined();
    const long = { ...constant('x', integers(1)), known: () => ({ shape: [1], elements: ['H'.repeat(1000)] }) };
    expect(String(inferNode('Mul', [long, long])[0].known?.elements[0]).length).toBeLessThan(600);
  });
});

describe('broadcasting of symbolic shapes', () => {
  const sum = (...shapes: (readonly Dim[] | null)[]) =>
    inferNode(
      'Sum',
      shapes.map((shape, i) => unknown(`x${i}`, shape)),
    )[0].type.shape;
  it.each<[(readonly Dim[] | null)[], readonly Dim[] | null]>([
    [
      [['N', 3, 'H'], ['H']],
      ['N', 3, 'H'],
    ],
    [
      [['N', 1], [5]],
      ['N', 5],
    ],
    [[['N'], [5]], [5]],
    [[['N'], [1], []], ['N']],
    [[['M'], ['N']], ['broadcast(M,N)']],
    [[['N'], ['M']], ['broadcast(M,N)']],
    [[[3], null], null],
  ])('%j', (shapes, expected) => {
    expect(sum(...shapes)).toEqual(expected);
  });
});

describe('elementwise operators refuse', () => {
  it.each<[NodeCase, RegExp]>([
    [node('Add', counting([2, 3]), counting([4])), /the shapes \[2,3\] and \[4\] cannot be broadcast together/],
    [node('Add', x, list), /input 'in_1' is i64, input 'in_0' f32; cast one/],
    [node('Where', list, list, list), /input 'in_0' must be bool, not i64/],
    [node('And', bools(1), list), /input 'in_1' must be bool, not i64/],
    [node('PRelu', x, counting([4, 1])), /the slope of shape \[4,1\] cannot be broadcast to \[2,3,4\]/],
    [node('Clip', x, counting([3])), /the bound 'in_1' must be a scalar, not of shape \[3\]/],
    [{ op: 'Softmax', inputs: [x], attributes: { axis: 3 } }, /axis 3 is outside rank 3/],
    [{ op: 'Gelu', inputs: [x], attributes: { approximate: 'erf' } }, /'approximate' is 'erf'/],
    [{ op: 'Cast', inputs: [x] }, /attribute 'to' is missing/],
    [{ op: 'Cast', inputs: [x], attributes: { to: 99 } }, /attribute 'to' is 99, which is no element type/],
  ])('%#: %o', (each, reason) => expectRefusal(each, reason));

  it('Dropout in training mode', () => {
    const training = constant('training', bools(1));
    expect(() => inferNode('Dropout', [unknown('x', [1]), undefined, training])).toThrow(/is in training mode/);
  });
});

describe('thinning of elementwise operators', () => {
  const image = counting([2, 6, 3, 3]);
  const every = ['in_0 0', 'in_0 1', 'in_0 2', 'in_0 3', 'out_0 0', 'out_0 1', 'out_0 2', 'out_0 3'];
  it.each<[string, NodeCase, string[]]>([
    ['Relu', node('Relu', image), every],
    ['Add of two images', node('Add', image, image), [...every, 'in_1 0', 'in_1 1', 'in_1 2', 'in_1 3']],
    ['Mul by channel', node('Mul', image, counting([6, 1, 1])), [...every, 'in_1 0']],
    ['Sub from a scalar', node('Sub', Tensor.floats([3], []), image), ['in_1 1', 'out_0 1']],
    ['PRelu', node('PRelu', image, counting([6, 1, 1])), [...every, 'in_1 0']],
    ['Sum of three', node('Sum', image, counting([6, 1, 1]), counting([3])), ['in_0 1', 'in_1 0', 'in_2 0']],
    ['Clip', node('Clip', image, Tensor.floats([2], []), Tensor.floats([9], [])), every],
    ['Cast', { ...node('Cast', image), attributes: { to: 6 } }, every],
    ['CastLike', node('CastLike', image, counting([4, 4], 'i64')), [...every, 'in_1 0', 'in_1 1']],
    ['Dropout with a mask', { ...node('Dropout', image), outputCount: 2 }, ['in_0 1', 'out_0 1', 'out_1 1']],
    ['Not', node('Not', Tensor.encode('bool', [2, 3], [1, 0, 1, 1, 0, 0])), ['in_0 1', 'out_0 1']],
  ])('%s', async (_, each, thinned) => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 12; seed++) for (const axis of await expectThinningLaw(each, { seed })) seen.add(axis);
    expect([...seen]).toEqual(expect.arrayContaining(thinned));
  });

  it.each([-3, 1])('Softmax keeps its axis %i whole', async (axis) => {
    const seen = new Set<string>();
    const each = { ...node('Softmax', counting([3, 4, 5, 2])), attributes: { axis } };
    for (let seed = 0; seed < 12; seed++)
      for (const thinned of await expectThinningLaw(each, { seed })) seen.add(thinned);
    expect([...seen].filter((name) => name.startsWith('in')).sort()).toEqual(['in_0 0', 'in_0 2', 'in_0 3']);
  });

  it('ties nothing to an axis that is stretched or unknown', () => {
    const ties = (a: readonly Dim[] | null, b: readonly Dim[] | null, out: readonly Dim[] | null) =>
      operators.get('Add')!.ties(
        {
          inputs: [unknown('a', a), unknown('b', b)],
          outputs: [unknown('y', out)],
          source: () => undefined,
          isPinned: () => false,
        },
        {},
      );
    expect(ties([1, 4], [3, 4], [3, 4])).toHaveLength(3);
    expect(ties(['N', 4], [4], ['N', 4])).toHaveLength(2);
    expect(ties(null, [4], null)).toEqual([]);
  });
});

describe('facts about elementwise operators hold when they are run', () => {
  const samples = [-3, -1.5, -1, -0.5, -0.01, 0, 0.01, 0.5, 1, 1.5, 3];
  const negative = { alpha: -0.7 };
  const steep: Record<string, Attributes> = {
    LeakyRelu: negative,
    Elu: negative,
    ThresholdedRelu: negative,
    HardSigmoid: negative,
    Celu: { alpha: 0.3 },
  };
  const facts = [...operators.values()].filter(
    ({ facts: held, inputs, name }) =>
      held?.includes('elementwise') && inputs.length === 1 && !['Not', 'Cast'].includes(name),
  );

  it.each(facts.flatMap((op) => [{}, steep[op.name] ?? {}].map((attributes) => [op.name, attributes, op] as const)))(
    '%s %o',
    async (name, attributes, { facts: held = [] }) => {
      const run = async (values: readonly number[]) => {
        const each = { op: name, inputs: [Tensor.floats(values)], attributes, floats: ['alpha'] };
        return (await runNode(each))[0].toFloat64();
      };
      const y = await run(samples);
      if (held.includes('zero-preserving')) expect(y[samples.indexOf(0)]).toBeCloseTo(0, 12);
      if (held.includes('monotone'))
        for (let i = 1; i < y.length; i++) if (y[i - 1] > y[i]) expect.fail(`${name} falls at ${samples[i]}`);
      if (held.includes('positively-homogeneous')) {
        const doubled = await run(samples.map((value) => 2 * value));
        expect([...doubled]).toEqual([...y].map((value) => 2 * value));
      }
    },
  );
});
