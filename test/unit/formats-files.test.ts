import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { memoryBytes } from '../../src/formats/bytes.js';
import {
  joinParts,
  moveFiles,
  type Part,
  partOf,
  totalLength,
  writeAtomically,
  writeFailure,
} from '../../src/formats/files.js';

const root = mkdtempSync(join(tmpdir(), 'files-'));
afterAll(() => rmSync(root, { recursive: true }));

let folder = root;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
});

const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => (index * 7) % 253);

describe('moving finished files', () => {
  const put = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('replaces what lies there, through links, and keeps its mode', async () => {
    const [from, old] = [put('new', 'new'), put('old', 'old')];
    chmodSync(old, 0o600);
    const link = join(folder, 'link');
    symlinkSync(old, link);
    await moveFiles([{ from, to: link }]);
    expect(readFileSync(old, 'utf8')).toBe('new');
    expect(statSync(old).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).sort()).toEqual(['link', 'old']);
  });

  it('moves nothing where one of the places is a folder', async () => {
    const [first, second, old] = [put('first', '1'), put('second', '2'), put('old', 'old')];
    const moves = [
      { from: first, to: old },
      { from: second, to: folder },
    ];
    await expect(moveFiles(moves)).rejects.toThrow(/is not a regular file/);
    expect(readFileSync(old, 'utf8')).toBe('old');
  });

  it.runIf(existsSync('/dev/shm') && statSync('/dev/shm').dev !== statSync(root).dev)(
    'copies through a link into another file system',
    async () => {
      const elsewhere = mkdtempSync('/dev/shm/files-');
      try {
        writeFileSync(join(elsewhere, 'old'), 'old');
        symlinkSync(join(elsewhere, 'old'), join(folder, 'link'));
        await moveFiles([{ from: put('new', 'new'), to: join(folder, 'link') }]);
        expect(readFileSync(join(elsewhere, 'old'), 'utf8')).toBe('new');
      } finally {
        rmSync(elsewhere, { recursive: true });
      }
    },
  );
});

describe('parts', () => {
  it('copies ranges of a source piece by piece', () => {
    const data = pattern(3_000_001);
    const range = partOf(memoryBytes(data), { start: 5, length: 2_500_000 });
    expect(totalLength([range, data])).toBe(5_500_001);
    expect(Buffer.compare(joinParts([range]), data.subarray(5, 2_500_005))).toBe(0);
  });

  it('is our bug when a part is not as long as it said', () => {
    const part: Part = { length: 3, produce: () => new Uint8Array(2) };
    expect(() => joinParts([part])).toThrow(/part of 3 bytes came out with 2/);
  });
});

describe('writeAtomically', () => {
  it('writes small and large parts in order', async () => {
    const path = join(folder, 'out');
    const data = pattern(4_000_000);
    const parts: Part[] = [
      data.subarray(0, 10),
      data.subarray(10, 900_000),
      partOf(memoryBytes(data), { start: 900_000, length: 2_700_000 }),
      ...Array.from({ length: 4000 }, (_, index) => data.subarray(3_600_000 + 100 * index, 3_600_100 + 100 * index)),
    ];
    await writeAtomically(path, async (sink) => {
      for (const part of parts) await sink.write(part);
    });
    expect(Buffer.compare(readFileSync(path), data)).toBe(0);
    expect(readdirSync(folder)).toEqual(['out']);
  });

  it('leaves the old file and no other when filling fails', async () => {
    const path = join(folder, 'out');
    writeFileSync(path, 'old');
    const failing = writeAtomically(path, async (sink) => {
      await sink.write(pattern(2_000_000));
      throw new Error('no more');
    });
    await expect(failing).rejects.toThrow('no more');
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['out']);
  });

  it('writes through a link and keeps the mode of the file it replaces', async () => {
    const path = join(folder, 'private');
    writeFileSync(path, 'old');
    chmodSync(path, 0o600);
    symlinkSync('private', join(folder, 'link'));
    await writeAtomically(join(folder, 'link'), (sink) => sink.write(pattern(3)));
    expect(readFileSync(path).length).toBe(3);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('refuses a folder, a device and a missing folder', async () => {
    const write = (path: string) => writeAtomically(path, () => undefined);
    await expect(write(folder)).rejects.toThrow(/not a regular file/);
    await expect(write('/dev/null')).rejects.toThrow(/not a regular file/);
    await expect(write(join(folder, 'none', 'out'))).rejects.toThrow(/folder does not exist/);
    writeFileSync(join(folder, 'file'), '');
    await expect(write(join(folder, 'file', 'out'))).rejects.toThrow(/folder does not exist/);
  });

  it.runIf(existsSync('/dev/full'))('says that the disk is full', () => {
    let cause: unknown;
    try {
      writeFileSync('/dev/full', 'x');
    } catch (error) {
      cause = error;
    }
    expect(writeFailure('out', cause as NodeJS.ErrnoException).message).toMatch(/the disk is full/);
  });

  it.skipIf(process.platform === 'win32').each([
    ['a signal', 'SIGTERM', '', [null, 'SIGTERM']],
    [
      'a signal that the program handles itself',
      'SIGINT',
      "process.on('SIGINT', () => process.exit(130));",
      [130, null],
    ],
  ] as const)('removes the temporary file when the process ends by %s', async (_, signal, setup, ending) => {
    const program = `
      import { writeAtomically } from ${JSON.stringify(new URL('../../dist/formats/files.js', import.meta.url).href)};
      ${setup}
      await writeAtomically('out', async (sink) => {
        await sink.write(new Uint8Array(2_000_000));
        console.log('written');
        await new Promise((resolve) => setTimeout(resolve, 30_000));
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: folder });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    expect(readdirSync(folder).length).toBe(1);
    child.kill(signal);
    expect(await ended).toEqual(ending);
    expect(readdirSync(folder)).toEqual([]);
  });
});
