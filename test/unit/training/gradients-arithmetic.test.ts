import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { semantics } from '../../../src/ops/index.js';
import { gradientErrors } from '../../support/check-gradient.js';
import { expectGradients, gradientsAt, type OneNode } from '../../support/gradient-cases.js';

/** Away from zero by at least 0.5, of either sign. */
const apart = (random: () => number) => {
  const value = random();
  return value + Math.sign(value) * 0.5;
};
const positive = (random: () => number) => 0.5 + Math.abs(random());

const SHAPES: Record<string, readonly (readonly number[])[]> = {
  'equal shapes': [
    [2, 3, 4],
    [2, 3, 4],
  ],
  'a channel vector over a 2-D image': [
    [2, 3, 4, 5],
    [3, 1, 1],
  ],
  'a gate by image and channel': [
    [2, 3, 1, 1],
    [2, 3, 4, 5],
  ],
  'a channel vector over a 3-D image': [
    [2, 3, 2, 3, 2],
    [1, 3, 1, 1, 1],
  ],
  'both stretched': [
    [4, 1, 3],
    [2, 1],
  ],
  'a scalar': [[], [2, 3]],
};

describe.each(Object.entries(SHAPES))('gradients with broadcasting: %s', (_, inputs) => {
  // Linear in each operand by itself.
  it.each(['Add', 'Sub', 'Mul', 'Sum', 'Mean'])('%s', async (op) => {
    await expectGradients({ op, inputs }, 1e-4, { step: 0.5 });
  });

  // A step of 1e-2 leaves third derivatives of up to about 100 (6/b⁴ at b = 0.5) times 1e-4 / 6.
  it('Div', async () => {
    await expectGradients({ op: 'Div', inputs }, 1e-3, { draw: apart, step: 3e-3 });
  });

  it('Pow', async () => {
    await expectGradients({ op: 'Pow', inputs }, 1e-3, { draw: positive });
  });

  it.each(['Max', 'Min'])('%s', async (op) => {
    // Operands on grids that lie 0.25 apart.
    const draw = (random: () => number, name: string) => Math.round(2 * random()) / 2 + (name === 'x0' ? 0.25 : 0);
    await expectGradients({ op, inputs }, 1e-4, { draw });
  });

  it('Mod', async () => {
    // Quotients between the whole numbers; a divisor near 1, a dividend a quarter or a half beyond a multiple of it.
    const draw = (random: () => number, name: string) =>
      name === 'x0' ? Math.round(2 * random()) + 0.5 : 1 + 0.01 * Math.tanh(random());
    await expectGradients({ op: 'Mod', inputs, attributes: { fmod: 1 } }, 1e-4, { draw, step: 1e-3 });
  });
});

describe('gradients of any number of operands', () => {
  const inputs = [[2, 3, 4], [3, 1], [4], [1]];

  it.each(['Sum', 'Mean'])('%s', async (op) => {
    await expectGradients({ op, inputs }, 1e-4, { step: 0.5 });
    await expectGradients({ op, inputs: [[2, 3]] }, 1e-4, { step: 0.5 });
  });

  it.each(['Max', 'Min'])('%s', async (op) => {
    const draw = (random: () => number, name: string) => Math.round(2 * random()) / 2 + Number(name.slice(1)) / 8;
    await expectGradients({ op, inputs }, 1e-4, { draw });
    await expectGradients({ op, inputs: [[2, 3]] }, 1e-4, { draw });
  });

  it.each(['Max', 'Min'])('%s: the first of equal ones gets it all', async (op) => {
    const node = { op, inputs: [[2], [2], [2]] };
    const [less, more] = op === 'Max' ? [0, 1] : [1, 0];
    const gradients = await gradientsAt(node, [
      [less, more],
      [more, more],
      [more, more],
    ]);
    expect([...gradients.values()]).toEqual([
      [0, 1],
      [1, 0],
      [0, 0],
    ]);
  });

  it.each(['Max', 'Min'])('%s with a constant before and behind', async (op) => {
    const bound = Tensor.floats([0.25], []);
    const draw = (random: () => number) => Math.round(2 * random()) / 2;
    await expectGradients({ op, inputs: [bound, [2, 3, 4]] }, 1e-4, { draw });
    await expectGradients({ op, inputs: [[2, 3, 4], bound] }, 1e-4, { draw });
  });
});

describe('gradients of Pow with a constant exponent', () => {
  it.each([-2, -0.5, 0, 0.5, 1, 2, 3, 2.5])('%d', async (exponent) => {
    const node = { op: 'Pow', inputs: [[2, 3, 4], Tensor.floats([exponent], [])] };
    await expectGradients(node, 1e-3, { draw: positive, step: 3e-3 });
  });

  it('of negative numbers to whole powers', async () => {
    const node = { op: 'Pow', inputs: [[3, 4], Tensor.floats([0, 1, 2, 3], [4])] };
    await expectGradients(node, 1e-3, { draw: apart });
  });

  it('as an integer', async () => {
    await expectGradients({ op: 'Pow', inputs: [[3, 4], Tensor.integers([3])] }, 1e-3);
  });

  it('is finite at zero', async () => {
    const node = { op: 'Pow', inputs: [[3], Tensor.floats([0, 1, 2], [3])] };
    expect((await gradientsAt(node, [[0, 0, 0]])).get('x0')).toEqual([0, 1, 0]);
  });

  it('where the exponent is learnt too, takes its value at the time', async () => {
    const node = { op: 'Pow', inputs: [[2], Tensor.floats([7, 7])] };
    const gradients = await gradientsAt(node, [
      [3, 4],
      [2, 0.5],
    ]);
    expect(gradients.get('x0')).toEqual([6, 0.25]);
    for (const [i, expected] of [9 * Math.log(3), 2 * Math.log(4)].entries())
      expect(gradients.get('x1')?.[i]).toBeCloseTo(expected, 5);
  });

  it('an exponent has none where the base is zero or negative', async () => {
    const gradients = await gradientsAt({ op: 'Pow', inputs: [[2], [2]] }, [
      [0, -2],
      [2, 2],
    ]);
    expect(gradients.get('x0')).toEqual([0, -4]);
    // One of the zeros is negative.
    expect(gradients.get('x1')?.map(Math.abs)).toEqual([0, 0]);
  });
});

interface Function {
  readonly draw: (random: () => number) => number;
  readonly points: readonly number[];
  readonly derivative: (x: number) => number;
}

const wide = [-80, -1, -1e-6, 1e-6, 0.3, 80];
const wideAboveZero = [1e-6, 0.3, 1, 80];

const FUNCTIONS: Record<string, Function> = {
  Neg: { draw: (random) => random(), points: wide, derivative: () => -1 },
  Abs: { draw: apart, points: [...wide, 0], derivative: Math.sign },
  Sqrt: { draw: positive, points: wideAboveZero, derivative: (x) => 0.5 / Math.sqrt(x) },
  Reciprocal: { draw: apart, points: wide, derivative: (x) => -1 / x ** 2 },
  Exp: { draw: (random) => random(), points: wide, derivative: Math.exp },
  Log: { draw: positive, points: wideAboveZero, derivative: (x) => 1 / x },
  Sin: { draw: (random) => random(), points: wide, derivative: Math.cos },
  Cos: { draw: (random) => random(), points: wide, derivative: (x) => -Math.sin(x) },
};

describe.each(Object.entries(FUNCTIONS))('gradients of %s', (op, { draw, points, derivative }) => {
  it('are the change of the node itself', async () => {
    await expectGradients({ op, inputs: [[2, 3, 4]] }, 1e-3, { draw, step: 3e-3 });
  });

  it('are the derivative in 64 bits', async () => {
    const derivatives = (await gradientsAt({ op, inputs: [[points.length]] }, [points])).get('x0') ?? [];
    expect(derivatives).toHaveLength(points.length);
    for (const [i, x] of points.entries()) {
      const expected = derivative(Math.fround(x));
      expect(Math.abs(derivatives[i] - expected), `at ${x}`).toBeLessThanOrEqual(
        3e-6 * Math.max(1, Math.abs(expected)),
      );
    }
  });
});

it('the gradient of Sqrt at zero is zero where none comes in', async () => {
  expect((await gradientsAt({ op: 'Sqrt', inputs: [[1]] }, [[0]], 0)).get('x0')).toEqual([0]);
});

const FLAT: readonly OneNode[] = [
  ...['Sign', 'Floor', 'Ceil', 'Round'].map((op) => ({ op, inputs: [[2, 3]] })),
  ...['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'].map((op) => ({ op, inputs: [[2, 3], [3]] })),
  ...['ArgMax', 'ArgMin'].map((op) => ({ op, inputs: [[2, 3]] })),
];

it.each(FLAT)('through $op nothing flows back', async ({ op, inputs }) => {
  const builder = new GraphBuilder(semantics);
  const names = inputs.map((shape, i) => builder.input(`x${i}`, { dtype: 'f32', shape: shape as number[] }));
  const flat = builder.apply('Cast', [builder.apply(op, names)], { to: 1 });
  const graph = builder.build([builder.apply('Mul', [flat, builder.input('w', { dtype: 'f32', shape: [1] })])]);
  const errors = await gradientErrors(graph, { draw: (random) => Math.round(random()) + 0.3 * Math.tanh(random()) });
  for (const [name, error] of errors) expect(error, name).toBeLessThan(1e-4);
});

describe('gradients of selection and conversion', () => {
  const condition = Tensor.encode('bool', [3, 1], [1, 0, 1]);
  const BRANCHES: Record<string, OneNode> = {
    'both branches': { op: 'Where', inputs: [condition, [2, 3, 4], [2, 3, 4]] },
    'stretched branches': { op: 'Where', inputs: [condition, [2, 1, 4], [1]] },
    'only the first': { op: 'Where', inputs: [condition, [2, 3, 4], Tensor.floats([2], [])] },
    'only the second': { op: 'Where', inputs: [condition, Tensor.floats([2], []), [2, 3, 4]] },
    'of a 3-D image': { op: 'Where', inputs: [Tensor.encode('bool', [2, 1, 1], [0, 1]), [1, 2, 2, 2, 3], [2, 2, 3]] },
  };

  it.each(Object.entries(BRANCHES))('Where, %s', async (_, node) => {
    await expectGradients(node, 1e-4, { step: 0.5 });
  });

  it.each(['Identity', 'Dropout'])('%s', async (op) => {
    await expectGradients({ op, inputs: [[2, 3]] }, 1e-4, { step: 0.5 });
  });

  it('Cast to the type that it has', async () => {
    await expectGradients({ op: 'Cast', inputs: [[2, 3]], attributes: { to: 1 } }, 1e-4, { step: 0.5 });
  });

  it('Cast to 64 bits and CastLike back', async () => {
    const builder = new GraphBuilder(semantics);
    const x = builder.input('x', { dtype: 'f32', shape: [2, 3] });
    const wide = builder.apply('Cast', [x], { to: 11 });
    const graph = builder.build([builder.apply('CastLike', [builder.apply('Mul', [wide, wide]), x])]);
    for (const error of (await gradientErrors(graph)).values()) expect(error).toBeLessThan(1e-3);
  });

  it('none through integers', async () => {
    const builder = new GraphBuilder(semantics);
    const x = builder.input('x', { dtype: 'f32', shape: [2, 3] });
    const whole = builder.apply('Cast', [x], { to: 7 });
    const graph = builder.build([builder.apply('Mul', [builder.apply('Cast', [whole], { to: 1 }), x])]);
    const draw = (random: () => number) => Math.round(3 * random()) + 0.5;
    for (const error of (await gradientErrors(graph, { draw })).values()) expect(error).toBeLessThan(1e-4);
  });
});
