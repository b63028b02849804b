import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ByteSource, fileBytes, lazyBytes, memoryBytes } from '../../src/formats/bytes.js';

const folder = mkdtempSync(join(tmpdir(), 'bytes-'));
afterAll(() => rmSync(folder, { recursive: true }));

const data = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);

function fileWith(name: string, content: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe.each<[string, () => ByteSource]>([
  ['memoryBytes', () => memoryBytes(data)],
  ['fileBytes', () => fileBytes(fileWith('data', data))],
  ['lazyBytes', () => lazyBytes('made', data.length, () => data)],
])('%s', (_, open) => {
  it('reads, and reads through slices of slices', () => {
    const source = open();
    expect(source.length).toBe(1000);
    expect([...source.read(10, 5)]).toEqual([10, 11, 12, 13, 14]);
    const slice = source.slice(100, 200).slice(50, 20);
    expect(slice.length).toBe(20);
    expect([...slice.read(18, 2)]).toEqual([168, 169]);
    const target = new Uint8Array(3);
    slice.readInto(target, 1);
    expect([...target]).toEqual([151, 152, 153]);
    expect(source.read(1000, 0).length).toBe(0);
  });

  it('never reads outside itself', () => {
    const slice = open().slice(100, 200);
    expect(() => slice.read(190, 11)).toThrow(RangeError);
    expect(() => slice.read(-1, 2)).toThrow(RangeError);
    expect(() => slice.readInto(new Uint8Array(201), 0)).toThrow(RangeError);
    expect(() => slice.slice(150, 51)).toThrow(RangeError);
    expect(() => slice.read(Number.NaN, 1)).toThrow(RangeError);
  });
});

describe('lazyBytes', () => {
  it('makes its bytes once, on the first read', () => {
    let made = 0;
    const source = lazyBytes('made', 1000, () => {
      made++;
      return data;
    });
    const slice = source.slice(5, 10);
    expect(made).toBe(0);
    slice.read(0, 1);
    source.read(0, 1);
    expect(made).toBe(1);
  });
});

describe('fileBytes', () => {
  it('keeps reading the file it opened when another one takes its name', () => {
    const path = fileWith('renamed', data);
    const source = fileBytes(path);
    source.read(0, 1);
    renameSync(fileWith('other', new Uint8Array(1000)), path);
    expect(source.read(7, 1)[0]).toBe(7);
    source.close();
  });

  it('refuses a file that changed before it was opened, or shrank after', () => {
    const path = fileWith('changed', data);
    const early = fileBytes(path);
    writeFileSync(path, data.subarray(1));
    expect(() => early.read(0, 1)).toThrow(/changed while it was being read/);
    const late = fileBytes(path);
    late.read(0, 1);
    writeFileSync(path, data.subarray(500));
    expect(() => late.read(0, 999)).toThrow(/changed while it was being read/);
    late.close();
  });

  it('refuses what is not there and what is not a file', () => {
    expect(() => fileBytes(join(folder, 'none'))).toThrow(/cannot read .*none/);
    expect(() => fileBytes(folder)).toThrow(/not a regular file/);
  });

  it('does not read after close', () => {
    const source = fileBytes(fileWith('closed', data));
    source.read(0, 1);
    source.close();
    expect(() => source.read(0, 1)).toThrow(/after it was closed/);
  });
});
