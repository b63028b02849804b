import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesInMemory } from '../../src/ir/bytes.js';
import { bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat } from '../../src/ir/half.js';
import { elementCount, Tensor } from '../../src/ir/tensor.js';

/** Takes elements one by one, as the definition of a view says. */
function slowly(shape: readonly number[], indices: readonly (readonly number[])[], order: readonly number[]): number[] {
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const out: number[] = [];
  const walk = (axis: number, offset: number) => {
    if (axis === order.length) out.push(offset);
    else for (const index of indices[order[axis]]) walk(axis + 1, offset + index * strides[order[axis]]);
  };
  walk(0, 0);
  return out;
}

const view = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    indices: fc.tuple(...shape.map((extent) => fc.array(fc.nat(extent - 1), { minLength: 1, maxLength: 6 }))),
    order: fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }),
    shift: fc.nat(7),
  }),
);

test('taking coordinates and permuting axes gives the elements that the definition names', () => {
  fc.assert(
    fc.property(view, ({ shape, indices, order, shift }) => {
      const values = Float32Array.from({ length: elementCount(shape) }, (_, i) => i);
      // Bytes that start anywhere, as a weight inside a file does.
      const bytes = new Uint8Array(values.byteLength + shift);
      bytes.set(new Uint8Array(values.buffer), shift);
      let tensor = Tensor.over('f32', shape, bytesInMemory(bytes.subarray(shift)));
      for (const [axis, list] of indices.entries()) tensor = tensor.take(axis, list);
      const permuted = tensor.permute(order);
      expect([...permuted.toFloat32()]).toEqual(slowly(shape, indices, order));
      expect(permuted.shape).toEqual(order.map((axis) => indices[axis].length));
      const rows = [...permuted.slabs(8)].flatMap((slab) => [...slab.toFloat64()]);
      expect(rows).toEqual([...permuted.toFloat64()]);
    }),
  );
});

test('a view wider than one window is read right', () => {
  const shape = [3, 400, 300];
  const tensor = Tensor.from(
    shape,
    Float32Array.from({ length: elementCount(shape) }, (_, i) => i),
  );
  const taken = tensor.take(1, [399, 0, 7]).take(0, [2, 0]);
  const expected = [2, 0].flatMap((a) =>
    [399, 0, 7].flatMap((b) => Array.from({ length: 300 }, (_, c) => (a * 400 + b) * 300 + c)),
  );
  expect([...taken.toFloat32()]).toEqual(expected);
});

test('half precision rounds to nearest, ties to even, and keeps subnormals', () => {
  for (let code = 0; code < 65536; code++) {
    const value = halfToFloat(code);
    if (!Number.isNaN(value)) expect(floatToHalf(value)).toBe(code);
  }
  expect(halfToFloat(floatToHalf(2049))).toBe(2048);
  expect(halfToFloat(floatToHalf(2051))).toBe(2052);
  expect(floatToHalf(65519.99)).toBe(0x7bff);
  expect(floatToHalf(65520)).toBe(0x7c00);
  expect(halfToFloat(floatToHalf(2 ** -24))).toBe(2 ** -24);
  expect(floatToHalf(2 ** -25)).toBe(0);
  expect(floatToHalf(1.5 * 2 ** -24)).toBe(2);
});

test('bfloat16 rounds to nearest, ties to even', () => {
  expect(bfloatToFloat(floatToBfloat(1 + 2 ** -8))).toBe(1);
  expect(bfloatToFloat(floatToBfloat(1 + 3 * 2 ** -8))).toBe(1 + 2 ** -6);
  expect(floatToBfloat(Number.NaN) & 0x7fff).toBeGreaterThan(0x7f80);
});

test('"to the end" survives as an integer', () => {
  const end = Tensor.from([1], BigInt64Array.of(2n ** 63n - 1n));
  expect(Tensor.encode('i64', [1], end.toFloat64()).toBytes()).toEqual(end.toBytes());
});
