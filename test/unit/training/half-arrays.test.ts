import { expect, test } from 'vitest';
import { halfArrays } from '../../../src/training/half-arrays.js';

test('every half-precision number survives decoding and encoding', () => {
  const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
  const values = new Float32Array(65536);
  halfArrays.decode(codes, values);
  const back = new Uint16Array(65536);
  halfArrays.encode(values, back);
  const changed = codes.filter((code) => back[code] !== code);
  const notANumber = (code: number) => (code & 0x7c00) === 0x7c00 && (code & 0x3ff) !== 0;
  expect(changed.every((code) => notANumber(code) && notANumber(back[code]))).toBe(true);
});

test('values between two numbers go to the nearer one, from the middle to the even one', () => {
  const step = 2 ** -10;
  const values = Float32Array.of(
    1 + step * 0.49,
    1 + step * 0.5,
    1 + step * 0.51,
    1 + step * 1.5,
    65519,
    65520,
    2 ** -25,
  );
  const codes = new Uint16Array(values.length);
  halfArrays.encode(values, codes);
  const rounded = new Float32Array(values.length);
  halfArrays.decode(codes, rounded);
  expect([...rounded]).toEqual([1, 1, 1 + step, 1 + 2 * step, 65504, Number.POSITIVE_INFINITY, 0]);
});
