import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CompressError } from '../../../src/errors.js';
import { encodeNpy, isArrayName, parseNpy, parseNpz, readArray } from '../../../src/formats/npy.js';

const header = (descr: string, shape: string, order = 'False') =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

/** An .npy file by hand. */
function npy(text: string, data: Uint8Array, version = 1): Uint8Array {
  const length = version === 1 ? [text.length & 255, text.length >> 8] : [text.length & 255, text.length >> 8, 0, 0];
  return Buffer.concat([Buffer.from([0x93, ...Buffer.from('NUMPY'), version, 0, ...length]), Buffer.from(text), data]);
}

/** NumPy's own output for two named arrays, deflated: x = 2x3 of 1.5 (float32), y = 0 to 3 (uint8). */
const NPZ =
  'UEsDBC0AAAAIAAAAIQDijdvC//////////8FABQAeC5ucHkBABAAmAAAAAAAAABMAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqKuo6Cell9U' +
  'UpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6CsaaOgq1CmQDLgaGA/bYMABQSwMELQAAAAgAAAAhACQD3lj//////////wUAFAB5Lm5weQEAEACEAAAA' +
  'AAAAAEgAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgXlNqqK6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkaJjqaOgq1ChQALgZGJmYAUEsB' +
  'Ai0DLQAAAAgAAAAhAOKN28JMAAAAmAAAAAUAAAAAAAAAAAAAAIABAAAAAHgubnB5UEsBAi0DLQAAAAgAAAAhACQD3lhIAAAAhAAAAAUAAAAAAAAAAAAA' +
  'AIABgwAAAHkubnB5UEsFBgAAAAACAAIAZgAAAAIBAAAAAA==';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'npy-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('npy', () => {
  it.each([
    ["'<f4'", new Uint8Array(Float32Array.of(1.5, -2).buffer), [1.5, -2]],
    ["'>f4'", Uint8Array.of(0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0), [1.5, -2]],
    ["'<f8'", new Uint8Array(Float64Array.of(0.1, -2).buffer), [0.1, -2]],
    ["'<f2'", Uint8Array.of(0x00, 0x3c, 0x00, 0xc1), [1, -2.5]],
    ["'<f2'", Uint8Array.of(0x01, 0x00, 0xff, 0x7b), [2 ** -24, 65504]],
    ["'<f2'", Uint8Array.of(0x00, 0xfc, 0x00, 0x7e), [Number.NEGATIVE_INFINITY, Number.NaN]],
    ["'|b1'", Uint8Array.of(0, 2), [0, 1]],
    ["'|i1'", Uint8Array.of(5, 0xff), [5, -1]],
    ["'|u1'", Uint8Array.of(5, 0xff), [5, 255]],
    ["'<i2'", Uint8Array.of(1, 0, 0xfe, 0xff), [1, -2]],
    ["'>u2'", Uint8Array.of(0, 1, 1, 0), [1, 256]],
    ["'<i4'", new Uint8Array(Int32Array.of(70000, -1).buffer), [70000, -1]],
    ["'<u4'", new Uint8Array(Uint32Array.of(1, 2 ** 32 - 1).buffer), [1, 2 ** 32 - 1]],
    ["'<i8'", new Uint8Array(BigInt64Array.of(5n, -6n).buffer), [5, -6]],
    ["'>u8'", Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0), [1, 2 ** 32]],
  ])('reads elements of type %s', (descr, data, expected) => {
    const array = parseNpy(npy(header(descr, '(2,)'), data), 'a.npy');
    expect(array.shape).toEqual([2]);
    expect([...array.data]).toEqual(expected);
  });

  it.each([1, 2, 3])('reads format version %d', (version) => {
    const array = parseNpy(npy(header("'|u1'", '()'), Uint8Array.of(7), version), 'a.npy');
    expect(array).toEqual({ shape: [], data: Uint8Array.of(7) });
  });

  it('turns Fortran order around', () => {
    // [[0 1 2] [3 4 5]] column by column, and a 2x2x2 cube.
    const matrix = parseNpy(npy(header("'|u1'", '(2, 3)', 'True'), Uint8Array.of(0, 3, 1, 4, 2, 5)), 'a.npy');
    expect([...matrix.data]).toEqual([0, 1, 2, 3, 4, 5]);
    const cube = parseNpy(npy(header("'|u1'", '(2, 2, 2)', 'True'), Uint8Array.of(0, 4, 2, 6, 1, 5, 3, 7)), 'a.npy');
    expect([...cube.data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('reads back what it writes', () => {
    const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 });
    fc.assert(
      fc.property(shape, (dims) => {
        const count = dims.reduce((a, b) => a * b, 1);
        const data = Float32Array.from({ length: count }, (_, i) => i / 3);
        const bytes = encodeNpy(data, dims);
        expect((bytes.length - data.byteLength) % 64).toBe(0);
        expect(parseNpy(bytes, 'a.npy')).toEqual({ shape: dims, data });
      }),
    );
  });

  it.each([
    ['no array at all', Buffer.from('hello, this is text'), /is not an \.npy array/],
    ['a size of 2^60', npy(header("'<f4'", '(1073741824, 1073741824)'), new Uint8Array(8)), /but only 2 are there/],
    ['missing values', npy(header("'<f4'", '(3,)'), new Uint8Array(8)), /says it holds 3 values but only 2/],
    ['pickled objects', npy(header("'|O'", '(1,)'), new Uint8Array(8)), /"\|O" are not numbers/],
    ['text', npy(header("'<U3'", '(1,)'), new Uint8Array(12)), /"<U3" are not numbers/],
    ['complex numbers', npy(header("'<c8'", '(1,)'), new Uint8Array(8)), /"<c8" are not numbers/],
    ['records', npy(header("[('a', '<f4')]", '(1,)'), new Uint8Array(4)), /holds records/],
    ['a negative size', npy(header("'<f4'", '(-1,)'), new Uint8Array(4)), /cannot be understood/],
    ['33 dimensions', npy(header("'|u1'", `(${'1, '.repeat(33)})`), new Uint8Array(1)), /33 dimensions/],
    ['an unknown version', npy(header("'|u1'", '()'), new Uint8Array(1), 9), /format version 9/],
    ['half a header', npy(header("'|u1'", '()'), new Uint8Array(1)).subarray(0, 30), /inside its header/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parseNpy(bytes, 'a.npy')).toThrow(CompressError);
    expect(() => parseNpy(bytes, 'a.npy')).toThrow(message);
  });
});

/** The archive with a zip64 end of its directory, which says how many members there are and where they are listed. */
function withLongEnd(archive: Buffer, members: number): Buffer {
  const end = archive.indexOf(Buffer.from('PK\x05\x06'));
  const long = Buffer.alloc(56);
  long.write('PK\x06\x06', 0, 'latin1');
  long.writeUInt32LE(members, 32);
  long.writeUInt32LE(archive.readUInt32LE(end + 16), 48);
  const locator = Buffer.alloc(20);
  locator.write('PK\x06\x07', 0, 'latin1');
  locator.writeUInt32LE(end, 8);
  const short = Buffer.from(archive.subarray(end));
  short.writeUInt32LE(0xffffffff, 16);
  return Buffer.concat([archive.subarray(0, end), long, locator, short]);
}

describe('npz', () => {
  it('refuses a member whose data are not those of its checksum', () => {
    const stored = Buffer.from(zipSync({ 'a.npy': [encodeNpy(new Uint8Array(100).fill(7), [100]), { level: 0 }] }));
    expect(parseNpz(stored, 'a.npz').get('a')?.data[99]).toBe(7);
    stored[stored.indexOf(Buffer.alloc(100, 7))]! ^= 1;
    expect(() => parseNpz(stored, 'a.npz')).toThrow(/member a\.npy is damaged, its checksum is wrong/);
  });

  it('reads deflated members as NumPy writes them', () => {
    const arrays = parseNpz(Buffer.from(NPZ, 'base64'), 'a.npz');
    expect([...arrays.keys()]).toEqual(['x', 'y']);
    expect(arrays.get('x')).toEqual({ shape: [2, 3], data: new Float32Array(6).fill(1.5) });
    expect(arrays.get('y')).toEqual({ shape: [4], data: Uint8Array.of(0, 1, 2, 3) });
  });

  it('picks the only array, or the one that is named', async () => {
    const one = encodeNpy(Uint8Array.of(1), [1]);
    const two = encodeNpy(Uint8Array.of(2), [1]);
    await writeFile(join(folder, 'one.npz'), zipSync({ 'any.npy': [one, { level: 0 }], 'readme.txt': one }));
    await writeFile(join(folder, 'two.npz'), zipSync({ 'a.npy': one, 'image.npy': two }));
    expect((await readArray(join(folder, 'one.npz'))).data[0]).toBe(1);
    expect((await readArray(join(folder, 'two.npz'), ['image'])).data[0]).toBe(2);
    await expect(readArray(join(folder, 'two.npz'), ['mask'])).rejects.toThrow(/2 arrays \(a, image\).*name one mask/);
  });

  it('says so where there is no array or no file', async () => {
    await writeFile(join(folder, 'none.npz'), zipSync({ 'readme.txt': Uint8Array.of(1) }));
    await expect(readArray(join(folder, 'none.npz'))).rejects.toThrow(/holds no \.npy array/);
    await expect(readArray(join(folder, 'absent.npy'))).rejects.toThrow(/cannot read .*absent\.npy/);
  });

  it.each([500_000_000, 2_147_483_647])('refuses a member that claims %d bytes and cannot hold them', (claim) => {
    const bytes = Buffer.from(zipSync({ 'a.npy': [encodeNpy(new Uint8Array(100), [100]), { level: 9 }] }));
    const entry = bytes.indexOf(Buffer.from('PK\x01\x02'));
    bytes.writeUInt32LE(claim, entry + 24);
    expect(() => parseNpz(bytes, 'a.npz')).toThrow(`a.npy claims ${claim} bytes`);
  });

  it('reads an archive with a 64-bit directory, and refuses one that claims 2^32 members', () => {
    const bytes = Buffer.from(zipSync({ 'a.npy': encodeNpy(Uint8Array.of(1, 2), [2]) }));
    expect(parseNpz(withLongEnd(bytes, 1), 'a.npz').get('a')?.shape).toEqual([2]);
    expect(() => parseNpz(withLongEnd(bytes, 2 ** 32 - 1), 'a.npz')).toThrow(CompressError);
  });

  it('answers every cut and flip with an error of ours or an array', () => {
    const bytes = Buffer.from(NPZ, 'base64');
    const cut = fc.integer({ min: 4, max: bytes.length });
    const flip = fc.record({ at: fc.integer({ min: 0, max: bytes.length - 1 }), bit: fc.integer({ min: 0, max: 7 }) });
    fc.assert(
      fc.property(cut, fc.array(flip, { maxLength: 4 }), (length, flips) => {
        const damaged = Buffer.from(bytes);
        for (const { at, bit } of flips) damaged[at]! ^= 1 << bit;
        try {
          parseNpz(damaged.subarray(0, length), 'a.npz');
        } catch (error) {
          expect(error).toBeInstanceOf(CompressError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

it('knows array files by name', () => {
  expect(['a.npy', 'B.NPZ', 'a.png', 'npy'].map(isArrayName)).toEqual([true, true, false, false]);
});
