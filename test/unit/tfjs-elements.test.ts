import { describe, expect, it } from 'vitest';
import type { BinaryFunction, ProgramType, UnaryFunction } from '../../src/exporters/lowering/operations.js';
import { ACTIVATIONS } from '../support/activations.js';
import { at, fill, map, type NdArray, zip } from '../support/nd-array.js';
import { normals, ProgramCases, wholes } from '../support/program-cases.js';
import { missesOf } from '../support/run-tfjs.js';

describe('element-wise functions', () => {
  const functions: Record<UnaryFunction, (x: number) => number> = {
    ...ACTIVATIONS,
    tanh: Math.tanh,
    hardSwish: (x) => (x * Math.min(6, Math.max(0, x + 3))) / 6,
    gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    exp: Math.exp,
    log: (x) => Math.log(x),
    sqrt: Math.sqrt,
    rsqrt: (x) => 1 / Math.sqrt(x),
    square: (x) => x * x,
    abs: Math.abs,
    neg: (x) => -x,
    floor: Math.floor,
    ceil: Math.ceil,
    round: halfToEven,
    sign: Math.sign,
    sin: Math.sin,
    cos: Math.cos,
    erf: errorFunction,
    not: (x) => (x === 0 ? 1 : 0),
  };
  const names = Object.keys(functions) as UnaryFunction[];
  const positive: readonly UnaryFunction[] = ['log', 'sqrt', 'rsqrt'];
  const extra = { alpha: 0.1, approximate: true };

  it('every function of one number', async () => {
    const cases = new ProgramCases();
    const x: NdArray = { shape: [2, 40], data: Float32Array.from({ length: 80 }, (_, i) => (i - 40) / 4) };
    for (const name of names.filter((other) => other !== 'not')) {
      const given = positive.includes(name) ? map(x, (number) => Math.abs(number) + 0.25) : x;
      cases.expect('unary', [cases.input(given)], { function: name, ...extra }, map(given, functions[name]));
    }
    const bits = wholes([7], 0, 2);
    cases.expect('unary', [cases.input(bits, 'bool')], { function: 'not' }, map(bits, functions.not), 'bool');
    const gelu = map(x, (number) => 0.5 * number * (1 + errorFunction(number * Math.SQRT1_2)));
    cases.expect('unary', [cases.input(x)], { function: 'gelu' }, gelu);
    expect(await missesOf(cases)).toEqual([]);
  });

  it('whole numbers', async () => {
    const cases = new ProgramCases();
    for (const dtype of ['i32', 'i8', 'u8'] as const)
      for (const name of ['relu', 'square', 'abs', 'neg', 'sign'] as const) {
        const x = wholes([3, 5], dtype === 'u8' ? 0 : -9, 10);
        cases.expect('unary', [cases.input(x, dtype)], { function: name }, map(x, functions[name]), dtype);
      }
    expect(await missesOf(cases)).toEqual([]);
  });

  const binaries: Record<BinaryFunction, (a: number, b: number) => number> = {
    add: (a, b) => a + b,
    subtract: (a, b) => a - b,
    multiply: (a, b) => a * b,
    divide: (a, b) => a / b,
    power: (a, b) => a ** b,
    maximum: Math.max,
    minimum: Math.min,
    floorMod: (a, b) => a - Math.floor(a / b) * b,
    less: (a, b) => Number(a < b),
    lessEqual: (a, b) => Number(a <= b),
    greater: (a, b) => Number(a > b),
    greaterEqual: (a, b) => Number(a >= b),
    equal: (a, b) => Number(a === b),
    notEqual: (a, b) => Number(a !== b),
    and: (a, b) => a & b,
    or: (a, b) => a | b,
  };
  const tests: readonly BinaryFunction[] = ['less', 'lessEqual', 'greater', 'greaterEqual', 'equal', 'notEqual'];
  const arithmetic = (Object.keys(binaries) as BinaryFunction[]).filter((name) => name !== 'and' && name !== 'or');
  const pairs = [
    [
      [2, 3, 4],
      [2, 3, 4],
    ],
    [[2, 3, 4], [4]],
    [[2, 3, 4], []],
    [
      [1, 3, 1],
      [2, 1, 4],
    ],
    [
      [2, 1, 2, 1, 2, 3],
      [1, 2, 1, 2, 2, 1],
    ],
  ];

  it('every function of two numbers, with broadcasting', async () => {
    const cases = new ProgramCases();
    for (const [a, b] of pairs)
      for (const name of arithmetic) {
        const x = name === 'power' ? map(normals(...a), Math.abs) : wholes(a, -4, 5);
        const y = name === 'divide' || name === 'floorMod' ? map(wholes(b, 1, 4), (v) => v - 2.5) : wholes(b, -4, 5);
        const dtype = tests.includes(name) ? 'bool' : 'f32';
        cases.expect('binary', [cases.input(x), cases.input(y)], { function: name }, zip(x, y, binaries[name]), dtype);
      }
    const [x, y] = [normals(3, 4), normals(4)];
    const activation = { function: 'relu6' } as const;
    const sum = map(zip(x, y, binaries.add), ACTIVATIONS.relu6);
    cases.expect('binary', [cases.input(x), cases.constant(y)], { function: 'add', activation }, sum);
    expect(await missesOf(cases)).toEqual([]);
  });

  it('whole numbers and truth values, with broadcasting', async () => {
    const cases = new ProgramCases();
    for (const [a, b] of pairs) {
      for (const name of arithmetic) {
        const x = wholes(a, -9, 10);
        const y = name === 'power' ? wholes(b, 0, 4) : map(wholes(b, -3, 3), (v) => (v < 0 ? v : v + 1));
        const dtype = tests.includes(name) ? 'bool' : 'i32';
        const exact = zip(x, y, (p, q) => (name === 'divide' ? Math.trunc(p / q) : binaries[name](p, q)));
        cases.expect('binary', [cases.input(x, 'i32'), cases.constant(y, 'i32')], { function: name }, exact, dtype);
      }
      for (const name of ['and', 'or', 'equal', 'notEqual'] as const) {
        const [x, y] = [wholes(a, 0, 2), wholes(b, 0, 2)];
        const inputs = [cases.input(x, 'bool'), cases.input(y, 'bool')];
        cases.expect('binary', inputs, { function: name }, zip(x, y, binaries[name]), 'bool');
      }
    }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('prelu: slopes for channels, for places, for all', async () => {
    const cases = new ProgramCases();
    const x = normals(2, 3, 4, 5);
    for (const shape of [[5], [1, 1, 5], [], [1], [3, 4, 5], [2, 3, 4, 5], [3, 1, 1], [1, 4, 1], [2, 1, 1, 5]]) {
      const slope = normals(...shape);
      const expected = zip(x, slope, (a, b) => (a < 0 ? a * b : a));
      cases.expect('prelu', [cases.input(x), cases.constant(slope)], {}, expected);
    }
    expect(await missesOf(cases)).toEqual([]);
  });

  it('softmax, select, cast', async () => {
    const cases = new ProgramCases();
    const x = normals(2, 3, 4, 5);
    const total = fill([2, 3, 4, 1], (...index) =>
      [0, 1, 2, 3, 4].reduce((sum, c) => sum + Math.exp(at(x, ...index.slice(0, 3), c)), 0),
    );
    cases.expect(
      'softmax',
      [cases.input(x)],
      {},
      zip(x, total, (a, b) => Math.exp(a) / b),
    );
    for (const dtype of ['f32', 'i32', 'u8', 'bool'] as const) {
      const [condition, a, b] = [wholes([5, 7, 9], 0, 2), wholes([5, 7, 9], 0, 2), wholes([5, 7, 9], 0, 2)];
      const chosen = fill([5, 7, 9], (...index) => at(at(condition, ...index) ? a : b, ...index));
      const inputs = [cases.input(condition, 'bool'), cases.input(a, dtype), cases.input(b, dtype)];
      cases.expect('select', inputs, {}, chosen, dtype);
    }
    const types: readonly ProgramType[] = ['f32', 'i32', 'u8', 'i8', 'bool'];
    for (const from of types)
      for (const to of types) {
        const fractions: NdArray = { shape: [6], data: [-2.5, -0.5, 0, 0.5, 1.5, 256] };
        const given = from === 'f32' ? fractions : wholes([6], 0, from === 'bool' ? 2 : 9);
        const small = from === 'f32' && to === 'u8' ? map(given, (v) => Math.min(9, Math.abs(v))) : given;
        const expected = map(small, (v) => (to === 'bool' ? Number(v !== 0) : to === 'f32' ? v : Math.trunc(v)));
        cases.expect('cast', [cases.input(small, from)], {}, expected, to);
      }
    expect(await missesOf(cases)).toEqual([]);
  });
});

/** Abramowitz and Stegun 1964, 7.1.5, by its series. */
function errorFunction(x: number): number {
  let [sum, term] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return Math.abs(x) > 4 ? Math.sign(x) : (2 / Math.sqrt(Math.PI)) * sum;
}

function halfToEven(x: number): number {
  const rounded = Math.round(x);
  return x - Math.floor(x) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
