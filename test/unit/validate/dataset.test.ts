import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Dataset, openDataset, type Sample } from '../../../src/validate/dataset.js';
import { openData } from '../../../src/validate/open-data.js';
import { assertDisjoint, splitByGroup } from '../../../src/validate/splits.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dataset-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Files by path; opening a data set looks at names only. */
async function put(files: Record<string, string>, at = folder): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(at, path)), { recursive: true });
    await writeFile(join(at, path), text);
  }
}

describe('opening', () => {
  it('takes every image of a flat folder, in order, each its own group', async () => {
    await put({ 'b.png': '', 'a.JPG': '', 'c.npy': '', 'notes.txt': '', '.hidden.png': '' });
    const { samples, groupsFile } = await openDataset(folder);
    expect(samples.map((sample) => sample.name)).toEqual(['a.JPG', 'b.png', 'c.npy']);
    expect(samples[1]).toEqual({
      name: 'b.png',
      imageFile: join(folder, 'b.png'),
      maskFile: null,
      group: 'b.png',
      spacing: null,
    });
    expect(groupsFile).toBeNull();
  });

  it('pairs images with masks by name, whatever the ending', async () => {
    await put({ 'images/1.jpg': '', 'images/2.png': '', 'masks/1.png': '', 'masks/2.npy': '' });
    const { samples } = await openDataset(folder, { spacing: [0.5, 0.25] });
    expect(samples.map((sample) => sample.maskFile)).toEqual([
      join(folder, 'masks/1.png'),
      join(folder, 'masks/2.npy'),
    ]);
    expect(samples[0]!.spacing).toEqual([0.5, 0.25]);
  });

  it('reads groups and spacing from the manifest in the folder', async () => {
    await put({
      'images/1.png': '',
      'images/2.png': '',
      'manifest.csv': '\ufefffile,group,spacing_x_mm,spacing_y_mm\n1.png,anna,0.28,0.19\n2.png,anna,0.3,0.2\n',
    });
    const { samples, groupsFile } = await openDataset(folder);
    expect(samples.map(({ group, spacing }) => [group, spacing])).toEqual([
      ['anna', [0.19, 0.28]],
      ['anna', [0.2, 0.3]],
    ]);
    expect(groupsFile).toBe(join(folder, 'manifest.csv'));
  });

  it('prefers the table that is named', async () => {
    await put({ 'a.png': '', 'manifest.csv': 'file,group\na.png,one\n', 'other.csv': 'group,file\ntwo,a.png\n' });
    expect((await openDataset(folder, { groups: join(folder, 'other.csv') })).samples[0]!.group).toBe('two');
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['no image', { 'notes.txt': '' }, /holds no image; PNG, JPEG/],
    ['masks alone', { 'masks/1.png': '', '1.png': '' }, /has masks\/ but no images\//],
    [
      'an image without mask',
      { 'images/1.png': '', 'images/2.png': '', 'masks/1.png': '' },
      /1 image without a mask .*: 2\.png/,
    ],
    [
      'a mask without image',
      { 'images/1.png': '', 'masks/1.png': '', 'masks/7.png': '' },
      /1 mask without an image .*: 7\.png/,
    ],
    [
      'two images of one name',
      { 'images/1.png': '', 'images/1.jpg': '', 'masks/1.png': '' },
      /1\.jpg and 1\.png differ only/,
    ],
    [
      'a table without groups',
      { '1.png': '', 'manifest.csv': 'file,patient\n1.png,a\n' },
      /has no column group \(its columns: file, patient\)/,
    ],
    ['an empty table', { '1.png': '', 'manifest.csv': '' }, /has no column file, group/],
    ['a ragged table', { '1.png': '', 'manifest.csv': 'file,group\n1.png,a,b\n' }, /is not a comma-separated table/],
    [
      'a table with an unknown file',
      { '1.png': '', 'manifest.csv': 'file,group\n1.png,a\n2.png,a\n' },
      /names 1 file that the data do not have: 2\.png/,
    ],
    [
      'a table that lacks an image',
      { '1.png': '', '2.png': '', 'manifest.csv': 'file,group\n1.png,a\n' },
      /does not name 1 image of the data: 2\.png/,
    ],
    ['a file named twice', { '1.png': '', 'manifest.csv': 'file,group\n1.png,a\n1.png,b\n' }, /names 1\.png twice/],
    ['a missing group', { '1.png': '', 'manifest.csv': 'file,group\n1.png,\n' }, /gives no group for 1\.png/],
    [
      'a spacing of zero',
      { '1.png': '', 'manifest.csv': 'file,group,spacing_x_mm,spacing_y_mm\n1.png,a,0,1\n' },
      /no pair of positive numbers/,
    ],
    [
      'a spacing for some images only',
      { '1.png': '', '2.png': '', 'manifest.csv': 'file,group,spacing_x_mm,spacing_y_mm\n1.png,a,1,1\n2.png,a,,\n' },
      /known for some images but not for 2\.png/,
    ],
  ])('refuses %s', async (_, files, message) => {
    await put(files);
    await expect(openDataset(folder)).rejects.toThrow(message);
  });

  it('names the first files of many, and a folder that is not there', async () => {
    await put(Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`images/${i}.png`, ''])));
    await mkdir(join(folder, 'masks'));
    await expect(openDataset(folder)).rejects.toThrow(/9 images without .*: 0\.png, 1\.png, 2\.png, 3\.png, 4\.png, …/);
    await expect(openDataset(join(folder, 'absent'))).rejects.toThrow(/cannot read .*absent/);
  });
});

describe('the table of groups', () => {
  it('is that of the test images where there are no others', async () => {
    await put({ '1.png': '', '2.png': '', 'table.csv': 'file,group\n1.png,one\n2.png,one\n' });
    const open = (groups: string) => openData({ testData: folder, groups: join(folder, groups), seed: 0 });
    expect((await open('table.csv')).test?.samples.map(({ group }) => group)).toEqual(['one', 'one']);
    await expect(open('absent.csv')).rejects.toThrow(/cannot read .*absent\.csv/);
  });
});

function datasetOf(groups: readonly string[]): Dataset {
  const samples = groups.map((group, i): Sample => {
    const name = `${i}.png`;
    return { name, imageFile: name, maskFile: null, group, spacing: null };
  });
  return { folder: 'data', samples, groupsFile: null };
}

describe('splitting', () => {
  const paired = datasetOf(Array.from({ length: 300 }, (_, i) => `g${Math.floor(i / 3)}`));

  it('holds out whole groups, about the asked share, and loses nothing', () => {
    const { rest, heldOut } = splitByGroup(paired, { seed: 1 });
    const groupsOf = ({ samples }: Dataset) => new Set(samples.map((sample) => sample.group));
    expect(heldOut.samples).toHaveLength(30);
    expect([...groupsOf(heldOut)].filter((group) => groupsOf(rest).has(group))).toEqual([]);
    const together = [...rest.samples, ...heldOut.samples].sort((a, b) => parseInt(a.name, 10) - parseInt(b.name, 10));
    expect(together).toEqual(paired.samples);
  });

  it('depends on the seed alone, not on the order of the data', () => {
    const names = (dataset: Dataset, seed: number) =>
      splitByGroup(dataset, { seed })
        .heldOut.samples.map((sample) => sample.name)
        .sort();
    const reversed = { ...paired, samples: [...paired.samples].reverse() };
    expect(names(reversed, 1)).toEqual(names(paired, 1));
    expect(names(paired, 2)).not.toEqual(names(paired, 1));
  });

  it('keeps between min and max, and at most half', () => {
    const count = (groups: string[], options = {}) => splitByGroup(datasetOf(groups), options).heldOut.samples.length;
    const own = (n: number) => Array.from({ length: n }, (_, i) => `g${i}`);
    expect(count(own(40))).toBe(8);
    expect(count(own(10))).toBe(5);
    expect(count(own(2))).toBe(1);
    expect(count(own(5000))).toBe(200);
    expect(count([...own(20), ...new Array<string>(300).fill('large')])).toBeLessThanOrEqual(200);
  });

  it('refuses a single group', () => {
    expect(() => splitByGroup(datasetOf(['a', 'a', 'a']))).toThrow(/all images are of one group/);
  });
});

describe('images in two splits', () => {
  it('are found by content and named', async () => {
    await put({ 'a/1.png': 'one', 'a/2.png': 'two', 'b/1.png': 'three', 'b/copy.png': 'two' });
    const [a, b] = [await openDataset(join(folder, 'a')), await openDataset(join(folder, 'b'))];
    await expect(assertDisjoint(a, b)).rejects.toThrow(/b.copy\.png is the same image as .*a.2\.png/);
  });

  it('may share a name', async () => {
    await put({ 'a/1.png': 'one', 'b/1.png': 'two' });
    await assertDisjoint(await openDataset(join(folder, 'a')), await openDataset(join(folder, 'b')));
  });
});
