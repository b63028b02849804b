import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32, crc32ByTable } from '../../../src/formats/crc32.js';

test('gives the check value of the standard, in one piece and in two', () => {
  const digits = Buffer.from('123456789');
  for (const checksum of [crc32, crc32ByTable]) {
    expect(checksum(digits)).toBe(0xcbf43926);
    expect(checksum(digits.subarray(4), checksum(digits.subarray(0, 4)))).toBe(0xcbf43926);
    expect(checksum(new Uint8Array(0))).toBe(0);
  }
});

test('the table agrees with what Node has', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 0, max: 0xffffffff }), (bytes, start) => {
      expect(crc32ByTable(bytes, start)).toBe(crc32(bytes, start));
    }),
  );
});
