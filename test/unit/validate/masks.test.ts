import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodePng } from '../../../src/formats/images.js';
import { encodeNpy } from '../../../src/formats/npy.js';
import { classCount, guessLabels, loadMask, resizeNearest } from '../../../src/validate/masks.js';

let folder = '';
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'masks-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function maskFile(values: readonly number[], width = values.length): Promise<string> {
  const file = join(folder, `${count++}.png`);
  const image = { width, height: values.length / width, channels: 1, depth: 8, data: Uint8Array.from(values) } as const;
  await writeFile(file, await encodePng(image));
  return file;
}

describe('guessing labels', () => {
  const guess = async (...masks: number[][]) => guessLabels(await Promise.all(masks.map((mask) => maskFile(mask))));

  it('takes two values for background and foreground, over all masks', async () => {
    expect(await guess([0, 0], [0, 255])).toEqual({
      labels: { 0: 0, 255: 1 },
      sentence: 'mask values: 0 is background, 255 is foreground',
    });
    expect((await guess([0, 2], [2, 2])).labels).toEqual({ 0: 0, 2: 1 });
  });

  it('takes a lone value for background if it is 0, else for foreground', async () => {
    expect((await guess([0, 0])).labels).toEqual({ 0: 0 });
    expect((await guess([255, 255])).labels).toEqual({ 0: 0, 255: 1 });
  });

  it('takes small whole numbers as classes, gaps kept', async () => {
    const { labels, sentence } = await guess([0, 1], [0, 4]);
    expect(labels).toEqual({ 0: 0, 1: 1, 4: 4 });
    expect(sentence).toBe('mask values are class numbers (0, 1, 4)');
    expect(classCount(labels)).toBe(5);
  });

  it('numbers a few other values in order', async () => {
    expect((await guess([0, 255, 128])).labels).toEqual({ 0: 0, 128: 1, 255: 2 });
  });

  it('refuses a mask of many values', async () => {
    const blurred = await maskFile(Array.from({ length: 100 }, (_, i) => 2 * i));
    await expect(guessLabels([blurred])).rejects.toThrow(/more than 32 different values/);
  });
});

describe('loading', () => {
  const sizes = (stored: readonly number[], spatial = stored) => ({ stored, spatial });

  it('refuses a mask of another size than its image, as stored or as the model sees it', async () => {
    const file = await maskFile([0, 255, 255, 0, 0, 255], 3);
    const load = (stored: number[], spatial: number[]) =>
      loadMask(file, { 0: 0, 255: 1 }, [4, 4], sizes(stored, spatial));
    expect((await load([2, 3], [4, 4])).shape).toEqual([4, 4]);
    expect((await load([8, 8], [2, 3])).shape).toEqual([4, 4]);
    await expect(load([8, 8], [4, 4])).rejects.toThrow(/is a mask of 2 x 3 pixels, but its image has 8 x 8/);
  });

  it('gives classes, scaled by the nearest pixel', async () => {
    const file = await maskFile([0, 255, 255, 0], 2);
    const mask = await loadMask(file, { 0: 0, 255: 1 }, [4, 4], sizes([2, 2]));
    expect(mask.shape).toEqual([4, 4]);
    expect([...mask.data]).toEqual([0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0]);
  });

  it('reads arrays of any rank, which must have the size', async () => {
    const file = join(folder, 'volume.npy');
    await writeFile(file, encodeNpy(Uint8Array.of(0, 1, 2, 0, 1, 2, 0, 1), [1, 2, 2, 2]));
    const mask = await loadMask(file, { 0: 0, 1: 1, 2: 2 }, [2, 2, 2], sizes([2, 2, 2]));
    expect(mask).toEqual({ shape: [2, 2, 2], data: Uint8Array.of(0, 1, 2, 0, 1, 2, 0, 1) });
    await expect(loadMask(file, { 0: 0, 1: 1, 2: 2 }, [4, 2, 2], sizes([2, 2, 2]))).rejects.toThrow(
      /1 x 2 x 2 x 2, but the model's output has/,
    );
  });

  it('accepts gray saved as colour and refuses colours', async () => {
    const image = { width: 2, height: 1, channels: 3, depth: 8 } as const;
    const file = join(folder, 'colour.png');
    await writeFile(file, await encodePng({ ...image, data: Uint8Array.of(0, 0, 0, 9, 9, 9) }));
    expect((await loadMask(file, { 0: 0, 9: 1 }, [1, 2], sizes([1, 2]))).data).toEqual(Uint8Array.of(0, 1));
    await writeFile(file, await encodePng({ ...image, data: Uint8Array.of(0, 0, 0, 9, 0, 0) }));
    await expect(loadMask(file, { 0: 0, 9: 1 }, [1, 2], sizes([1, 2]))).rejects.toThrow(/mask in colour/);
  });

  it('refuses a value without a label, by name', async () => {
    const file = await maskFile([0, 7]);
    await expect(loadMask(file, { 0: 0 }, [1, 2], sizes([1, 2]))).rejects.toThrow(
      /holds the value 7, which has no label/,
    );
  });
});

it('refuses labels that are no classes', () => {
  expect(classCount({ 0: 0 })).toBe(2);
  expect(() => classCount({ 0: 0, 9: 1.5 })).toThrow(/1\.5 is no class/);
  expect(() => classCount({ 0: 0, 9: 255 })).toThrow(/255 is no class/);
});

it('takes the pixel under the centre when shrinking', () => {
  const ramp = { shape: [1, 9], data: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8) };
  expect([...resizeNearest(ramp, [1, 3]).data]).toEqual([1, 4, 7]);
});
