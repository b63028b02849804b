import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  openRecordFile,
  type RecordFile,
  recordBytes,
  type Section,
  type SectionValues,
} from '../../../src/formats/record-file.js';
import { createRandom } from '../../../src/math/random.js';
import { halfArrays } from '../../../src/training/half-arrays.js';

const root = mkdtempSync(join(tmpdir(), 'records-'));
afterAll(() => rmSync(root, { recursive: true }));

let path = '';
beforeEach(() => {
  path = join(mkdtempSync(join(root, 'case-')), 'targets.cache');
});

const SECTIONS: readonly Section[] = [
  { name: 'probability', dtype: 'f16', length: 7 },
  { name: 'mask', dtype: 'u8', length: 5 },
  { name: 'map', dtype: 'f32', length: 3 },
];
const COUNT = 6;

function open(over: { key?: string; sections?: readonly Section[]; count?: number } = {}): RecordFile {
  return openRecordFile(path, { key: 'a1', sections: SECTIONS, count: COUNT, halves: halfArrays, ...over });
}

/** Values that half precision holds exactly. */
function valuesOf(index: number, sections = SECTIONS): Map<string, SectionValues> {
  const random = createRandom(index);
  return new Map(
    sections.map(({ name, dtype, length }) => {
      const values = Array.from({ length }, () => random.integer(200));
      return [name, dtype === 'u8' ? Uint8Array.from(values) : Float32Array.from(values)];
    }),
  );
}

function contentOf(file: RecordFile, index: number): Map<string, SectionValues> | undefined {
  const content = new Map<string, SectionValues>();
  for (const { name } of SECTIONS) {
    const values = file.read(index, name);
    if (values === undefined) return undefined;
    content.set(name, values);
  }
  return content;
}

function fill(indices: readonly number[]): void {
  const file = open();
  for (const index of indices) file.write(index, valuesOf(index));
  file.close();
}

const everyRecord = Array.from({ length: COUNT }, (_, index) => index);

describe('a record file', () => {
  it('gives back what was written, in any order, now and after opening again', () => {
    const file = open();
    expect(everyRecord.some((index) => file.has(index))).toBe(false);
    expect(file.read(2, 'mask')).toBeUndefined();
    for (const index of [4, 0, 2]) file.write(index, valuesOf(index));
    file.close();
    const again = open();
    expect(everyRecord.filter((index) => again.has(index))).toEqual([0, 2, 4]);
    for (const index of [0, 2, 4]) expect(contentOf(again, index)).toEqual(valuesOf(index));
    expect(contentOf(again, 1)).toBeUndefined();
    again.write(1, valuesOf(1));
    again.write(0, valuesOf(9));
    expect(contentOf(again, 1)).toEqual(valuesOf(1));
    expect(contentOf(again, 0)).toEqual(valuesOf(9));
    again.close();
  });

  it('rounds f16 to the nearest half-precision number', () => {
    const file = open();
    const values = valuesOf(0).set('probability', Float32Array.of(0.1, 1 / 3, 1 + 2 ** -11, 1e6, -2, 0, 1));
    file.write(0, values);
    expect([...file.read(0, 'probability')!]).toEqual([
      0.0999755859375,
      0.333251953125,
      1,
      Number.POSITIVE_INFINITY,
      -2,
      0,
      1,
    ]);
    file.close();
  });

  it('reads into the array that it is given, also a part of a larger one', () => {
    fill([3]);
    const file = open();
    const batch = new Float32Array(20);
    for (const name of ['probability', 'map']) {
      const { length } = SECTIONS.find((section) => section.name === name)!;
      const into = batch.subarray(5, 5 + length);
      expect(file.read(3, name, into)).toBe(into);
      expect(into).toEqual(valuesOf(3).get(name));
    }
    expect(batch[4] + batch[12]).toBe(0);
    file.close();
  });

  it('takes the bytes that it says, and the same ones for the same content', () => {
    expect(recordBytes(SECTIONS)).toBe(24 + 16 + 8 + 16);
    fill([0]);
    const one = readFileSync(path);
    fill([0, 1]);
    expect(statSync(path).size - one.length).toBe(recordBytes(SECTIONS));
    rmSync(path);
    fill([0]);
    expect(readFileSync(path).equals(one)).toBe(true);
  });

  it('does not take what does not fit its sections, and keeps what was there', () => {
    fill([0]);
    const file = open();
    const write = (name: string, values?: SectionValues) => () =>
      file.write(0, new Map([...valuesOf(1), ...(values ? [[name, values] as const] : [])]));
    expect(write('mask', new Uint8Array(4))).toThrow(/mask .* takes 5 values of u8/);
    expect(write('mask', new Float32Array(5))).toThrow(/mask .* takes 5 values of u8/);
    expect(write('map', new Uint8Array(3))).toThrow(/map .* takes 3 values of f32/);
    expect(() => file.write(0, new Map())).toThrow(/probability .* takes 7 values/);
    expect(() => file.read(0, 'map', new Float32Array(2))).toThrow(/takes 3 values/);
    expect(() => file.read(0, 'other')).toThrow(/no section other/);
    for (const index of [-1, COUNT, 0.5]) expect(() => file.has(index)).toThrow(/not one of the 6/);
    expect(contentOf(file, 0)).toEqual(valuesOf(0));
    file.close();
    file.close();
    expect(() => file.has(0)).toThrow(/closed/);
  });
});

describe('a file of something else', () => {
  it('starts anew for another key, other sections or another count', () => {
    for (const other of [{ key: 'b2' }, { sections: SECTIONS.slice(1) }, { count: COUNT + 1 }]) {
      rmSync(path, { force: true });
      fill([0, 1]);
      const file = open(other);
      expect([file.has(0), file.has(1)]).toEqual([false, false]);
      file.write(1, valuesOf(1));
      file.close();
      const again = open(other);
      expect([again.has(0), again.has(1)]).toEqual([false, true]);
      again.close();
    }
  });

  it('does not take records of another file for its own', () => {
    fill([0, 1]);
    const records = readFileSync(path).subarray(-2 * recordBytes(SECTIONS));
    open({ key: 'b2' }).close();
    const header = readFileSync(path);
    writeFileSync(path, Buffer.concat([header, records]));
    const file = open({ key: 'b2' });
    expect(everyRecord.some((index) => file.has(index))).toBe(false);
    file.close();
    fill([0, 1]);
    const [size, step] = [statSync(path).size, recordBytes(SECTIONS)];
    const swapped = readFileSync(path);
    swapped.copy(swapped, size - 2 * step, size - step);
    writeFileSync(path, swapped);
    const own = open();
    expect([own.has(0), own.has(1)]).toEqual([false, true]);
    own.close();
  });

  it('leaves a reader of the file that it replaces undisturbed', () => {
    fill([0]);
    const reader = open();
    open({ key: 'b2' }).close();
    expect(contentOf(reader, 0)).toEqual(valuesOf(0));
    reader.write(1, valuesOf(1));
    reader.close();
    const file = open({ key: 'b2' });
    expect(everyRecord.some((index) => file.has(index))).toBe(false);
    file.close();
  });

  it('never touches what is no record file', () => {
    for (const content of ['x', 'a,b\n1,2\n', 'unet-compress record', 'unet-compress recordings '.repeat(40)]) {
      const ours = 'unet-compress records\n'.startsWith(content);
      writeFileSync(path, content);
      if (ours) open().close();
      else {
        expect(() => open()).toThrow(expect.objectContaining({ code: 'not-a-record-file' }));
        expect(readFileSync(path, 'utf8')).toBe(content);
      }
    }
  });

  it('never follows a link and never replaces a folder', () => {
    const target = `${path}.target`;
    fill([0]);
    writeFileSync(target, readFileSync(path));
    rmSync(path);
    for (const to of [target, `${path}.missing`]) {
      symlinkSync(to, path);
      expect(() => open()).toThrow(expect.objectContaining({ code: 'not-a-regular-file' }));
      expect(lstatSync(path).isSymbolicLink()).toBe(true);
      rmSync(path);
    }
    expect(existsSync(`${path}.missing`)).toBe(false);
    mkdirSync(path);
    expect(() => open()).toThrow(expect.objectContaining({ code: 'not-a-regular-file' }));
  });

  it('says that the folder is missing', () => {
    path = join(path, 'nowhere', 'targets.cache');
    expect(() => open()).toThrow(expect.objectContaining({ code: 'no-such-folder' }));
  });
});

describe('damage', () => {
  it('of any bit makes at most its own record absent', () => {
    fill([0, 1, 3]);
    const whole = readFileSync(path);
    const start = whole.length - 4 * recordBytes(SECTIONS);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(7), (byte, bit) => {
        const flipped = Buffer.from(whole);
        flipped[byte] ^= 1 << bit;
        writeFileSync(path, flipped);
        if (byte < 'unet-compress records\n'.length) {
          expect(() => open()).toThrow(expect.objectContaining({ code: 'not-a-record-file' }));
          return;
        }
        const file = open();
        const hit = byte < start ? undefined : Math.floor((byte - start) / recordBytes(SECTIONS));
        for (const index of everyRecord) {
          const content = contentOf(file, index);
          const kept = [0, 1, 3].includes(index) && byte >= start;
          if (content !== undefined) expect(content).toEqual(valuesOf(index));
          if (index !== hit) expect(content !== undefined).toBe(kept);
          expect(file.has(index)).toBe(content !== undefined);
        }
        if (hit !== undefined) {
          file.write(hit, valuesOf(hit));
          expect(contentOf(file, hit)).toEqual(valuesOf(hit));
        }
        file.close();
      }),
      { numRuns: 200 },
    );
  });

  it('of every bit of the written values is found', () => {
    fill([0]);
    const whole = readFileSync(path);
    const start = whole.length - recordBytes(SECTIONS);
    const padding = [
      [14, 16],
      [21, 24],
      [36, 40],
    ];
    for (let at = 0; at < recordBytes(SECTIONS) * 8; at++) {
      const byte = at >> 3;
      const inContent = byte - 24;
      const flipped = Buffer.from(whole);
      flipped[start + byte] ^= 1 << (at & 7);
      writeFileSync(path, flipped);
      const file = open();
      const unused = (byte >= 20 && byte < 24) || padding.some(([from, to]) => inContent >= from && inContent < to);
      expect([at, contentOf(file, 0) !== undefined]).toEqual([at, unused]);
      file.close();
    }
  });

  it('by a cut leaves the records before the cut', () => {
    fill(everyRecord);
    const whole = readFileSync(path);
    // The last 4 bytes of a record only fill it up.
    const start = whole.length - COUNT * recordBytes(SECTIONS);
    for (let length = 0; length <= whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      const file = open();
      const complete = length < start ? 0 : Math.floor((length + 4 - start) / recordBytes(SECTIONS));
      expect(everyRecord.filter((index) => file.has(index))).toEqual(everyRecord.slice(0, complete));
      for (const index of everyRecord.slice(0, complete)) expect(contentOf(file, index)).toEqual(valuesOf(index));
      file.close();
    }
  });

  it('while the file is open is found too', () => {
    fill(everyRecord);
    const file = open();
    truncateSync(path, statSync(path).size - 5);
    expect(file.has(COUNT - 1)).toBe(false);
    expect(contentOf(file, COUNT - 1)).toBeUndefined();
    expect(contentOf(file, 0)).toEqual(valuesOf(0));
    file.close();
  });
});

/** Runs a module that has `open`, `SECTIONS`, `count` and `valuesOf` at hand, in a process of its own. */
function script(body: string): string {
  const library = (file: string) => JSON.stringify(new URL(`../../../dist/${file}`, import.meta.url).href);
  return `
    import { openRecordFile } from ${library('formats/record-file.js')};
    import { halfArrays } from ${library('training/half-arrays.js')};
    const count = 200, length = 50000;
    const sections = [{ name: 'one', dtype: 'u8', length }, { name: 'two', dtype: 'f16', length }];
    const file = openRecordFile(${JSON.stringify(path)}, { key: 'k', sections, count, halves: halfArrays });
    const valuesOf = (n) => new Map([['one', new Uint8Array(length).fill(n)], ['two', new Float32Array(length).fill(n)]]);
    ${body}`;
}

const LARGE: readonly Section[] = [
  { name: 'one', dtype: 'u8', length: 50000 },
  { name: 'two', dtype: 'f16', length: 50000 },
];

describe('a process that', () => {
  it('is killed while it writes leaves whole records only', async () => {
    const code = script(
      `file.write(0, valuesOf(1)); console.log('started'); for (let n = 0; ; n++) file.write(n % count, valuesOf(n % 200 + 1));`,
    );
    for (const delay of [3, 20, 45, 120]) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      await new Promise((resolve) => setTimeout(resolve, delay));
      child.kill('SIGKILL');
      await once(child, 'exit');
      const file = openRecordFile(path, { key: 'k', sections: LARGE, count: 200, halves: halfArrays });
      const written = Array.from({ length: 200 }, (_, index) => index).filter((index) => file.has(index));
      expect(written.length).toBeGreaterThan(0);
      for (const index of written) {
        expect(file.read(index, 'one')!.every((value) => value === index + 1)).toBe(true);
        expect(file.read(index, 'two')!.every((value) => value === index + 1)).toBe(true);
      }
      file.close();
    }
  });

  it.skipIf(process.platform === 'win32')('finds no more room says so and reads on what it has', () => {
    const code = script(`
      let failed = 0;
      for (let n = 0; n < 6; n++) {
        try { file.write(n, valuesOf(n + 1)); } catch (error) { failed++; console.log(error.name, error.code, error.where.file); }
      }
      file.write(1, valuesOf(9));
      const good = [0, 1, 2, 3, 4, 5].filter((n) => file.has(n));
      console.log(failed, good.join(), good.every((n) => file.read(n, 'one')[49999] === (n === 1 ? 9 : n + 1)));`);
    // A limit on the size of files is the nearest to a full disk that needs no disk: 1,024 blocks of 512 bytes or of 1 KiB.
    const limited = `trap '' XFSZ; ulimit -f 1024; exec "$0" --input-type=module -e "$1"`;
    const { stdout, stderr } = spawnSync('sh', ['-c', limited, process.execPath, code], { encoding: 'utf8' });
    expect(stderr).toBe('');
    const lines = stdout.trim().split('\n');
    expect(lines.slice(0, -1).every((line) => line === `CompressError cannot-write ${path}`)).toBe(true);
    expect(lines.length).toBeGreaterThan(1);
    const [failed, good, right] = lines.at(-1)!.split(' ');
    expect(Number(failed) + good.split(',').length).toBe(6);
    expect(good).toMatch(/^0,1/);
    expect(right).toBe('true');
  });
});
