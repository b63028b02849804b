import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DecodedImage, encodePng } from '../../../src/formats/images.js';
import { encodeNpy } from '../../../src/formats/npy.js';
import type { Sample } from '../../../src/validate/dataset.js';
import {
  fitPreprocess,
  type InputShape,
  inputLayout,
  loadInput,
  type Preprocess,
} from '../../../src/validate/preprocess.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'preprocess-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function sampleOf(content: DecodedImage | Uint8Array, spacing: number[] | null = null): Promise<Sample> {
  const isArray = content instanceof Uint8Array;
  const name = isArray ? 'a.npy' : 'a.png';
  await writeFile(join(folder, name), isArray ? content : await encodePng(content));
  return { name, imageFile: join(folder, name), maskFile: null, group: name, spacing };
}

async function load(content: DecodedImage | Uint8Array, shape: InputShape, given: Partial<Preprocess> = {}) {
  return loadInput(await sampleOf(content), fitPreprocess(given, shape), shape);
}

const gray: DecodedImage = { width: 2, height: 2, channels: 1, depth: 8, data: Uint8Array.of(0, 51, 102, 255) };
const colour: DecodedImage = {
  width: 2,
  height: 1,
  channels: 3,
  depth: 8,
  data: Uint8Array.of(255, 0, 51, 0, 255, 102),
};

describe('the layout of an input', () => {
  it.each<[InputShape, boolean, number | null, (number | null)[]]>([
    [['batch', 1, 256, 256], false, 1, [256, 256]],
    [[1, 3, 'h', 'w'], false, 3, [null, null]],
    [[1, 144, 256, 3], true, 3, [144, 256]],
    [[null, 'h', 'w', 1], true, 1, [null, null]],
    [[1, 512, 512, 4], true, 4, [512, 512]],
    [[-1, 1, 32, 32, 32], false, 1, [32, 32, 32]],
    [['n', 'c', 'h', 'w'], false, null, [null, null]],
  ])('%j', (shape, channelsLast, channels, spatial) => {
    expect(inputLayout(shape)).toEqual({ channelsLast, channels, spatial });
  });
});

describe('defaults', () => {
  it('fit the model', () => {
    const none = { scale: null, mean: [], std: [] };
    expect(fitPreprocess({}, ['n', 1, 256, 128])).toEqual({ resize: [256, 128], channels: 'gray', ...none });
    expect(fitPreprocess({}, [1, 'h', 'w', 3])).toEqual({ resize: null, channels: 'rgb', ...none });
    expect(fitPreprocess({}, [1, 2, 32, 32, 32])).toEqual({ resize: null, channels: null, ...none });
  });

  it.each<[Partial<Preprocess>, RegExp]>([
    [{ resize: [64, 64] }, /resize is 64 x 64, but the model's input is fixed at 8 x 8/],
    [{ channels: 'gray' }, /channels is gray, but the model takes 3/],
    [{ mean: [1, 2] }, /mean has 2 values for 3 channels/],
    [{ std: [1, 0, 1] }, /std holds a 0/],
  ])('refuse %j', (given, message) => {
    expect(() => fitPreprocess(given, [1, 3, 8, 8])).toThrow(message);
  });
});

describe('images', () => {
  it('become pixel / 255', async () => {
    const { data, shape, spatial } = await load(gray, ['n', 1, 2, 2]);
    expect([...data]).toEqual([0, 0.2, 0.4, 1].map(Math.fround));
    expect({ shape, spatial }).toEqual({ shape: [1, 2, 2], spatial: [2, 2] });
  });

  it('of 16 bits become pixel / 65535', async () => {
    const deep: DecodedImage = { ...gray, depth: 16, data: Uint16Array.of(0, 13107, 1, 65535) };
    expect([...(await load(deep, [1, 1, 2, 2])).data]).toEqual([0, 0.2, 1 / 65535, 1].map(Math.fround));
  });

  it('lie channel by channel, or channels last, as the model has it', async () => {
    const first = await load(colour, [1, 3, 1, 2]);
    const last = await load(colour, [1, 'h', 'w', 3]);
    expect([...first.data]).toEqual([1, 0, 0, 1, 0.2, 0.4].map(Math.fround));
    expect([...last.data]).toEqual([1, 0, 0.2, 0, 1, 0.4].map(Math.fround));
    expect([first.shape, last.shape]).toEqual([
      [3, 1, 2],
      [1, 2, 3],
    ]);
  });

  it('turn gray by the weights of BT.601, and gray into three equal channels', async () => {
    // 0.299 * 255 + 0.114 * 51 = 82.06; 0.587 * 255 + 0.114 * 102 = 161.31
    expect([...(await load(colour, [1, 1, 1, 2])).data]).toEqual([82 / 255, 161 / 255].map(Math.fround));
    expect([...(await load(gray, [1, 3, 2, 2])).data].slice(4)).toEqual(
      [0, 0.2, 0.4, 1, 0, 0.2, 0.4, 1].map(Math.fround),
    );
  });

  it('are scaled, shifted and spread as asked, per channel', async () => {
    const given = { scale: 1, mean: [10, 20, 30], std: [2, 4, 8] };
    const { data } = await load(colour, [1, 3, 1, 2], given);
    expect([...data]).toEqual([122.5, -5, -5, 58.75, 2.625, 9]);
    expect([...(await load(gray, [1, 1, 2, 2], { mean: [0.5], std: [0.5] })).data][3]).toBe(1);
  });

  it('are brought to the size of the model, and the spacing with them', async () => {
    const sample = await sampleOf(gray, [0.4, 0.2]);
    const shape = [1, 1, 4, 8];
    const loaded = await loadInput(sample, fitPreprocess({}, shape), shape);
    expect(loaded.shape).toEqual([1, 4, 8]);
    expect(loaded.spacing).toEqual([0.2, 0.05]);
    expect(loaded.data[0]).toBe(0);
    expect(loaded.data.at(-1)).toBe(1);
  });

  it('keep their size where the model leaves it open', async () => {
    expect((await load(gray, [1, 1, 'h', 'w'])).shape).toEqual([1, 2, 2]);
    expect((await load(gray, [1, 1, 'h', 'w'], { resize: [6, 4] })).shape).toEqual([1, 6, 4]);
  });

  it('are refused where they cannot become the input', async () => {
    await expect(load(gray, [1, 4, 2, 2])).rejects.toThrow(/2 x 2 pixels of 1 channels, the model takes 2 x 2 of 4/);
    await expect(load(gray, [1, 1, 8, 'w'])).rejects.toThrow(/the model takes 8 x \? of 1/);
    await expect(load(gray, [1, 1, 8, 8, 8])).rejects.toThrow(/3 spatial axes; give \.npy/);
  });
});

describe('arrays', () => {
  const volume = Float32Array.from({ length: 24 }, (_, i) => i);

  it('pass as they are, with or without batch and single channel', async () => {
    for (const dims of [
      [1, 1, 2, 3, 4],
      [1, 2, 3, 4],
      [2, 3, 4],
    ]) {
      const { data, shape, spatial } = await load(encodeNpy(volume, dims), ['n', 1, 'd', 'h', 'w']);
      expect({ data, shape, spatial }).toEqual({ data: volume, shape: [1, 2, 3, 4], spatial: [2, 3, 4] });
    }
  });

  it('may have many channels, first or last', async () => {
    expect((await load(encodeNpy(volume, [6, 2, 2]), [1, 6, 'h', 'w'])).spatial).toEqual([2, 2]);
    expect((await load(encodeNpy(volume, [2, 3, 4]), [1, 'h', 'w', 4])).spatial).toEqual([2, 3]);
  });

  it('are scaled only where asked', async () => {
    const { data } = await load(encodeNpy(volume, [2, 3, 4]), [1, 2, 3, 4], { scale: 2, mean: [0, 1] });
    expect([data[1], data[12]]).toEqual([2, 23]);
    const last = await load(encodeNpy(volume, [2, 3, 4]), [1, 'h', 'w', 4], { mean: [0, 1, 0, 0] });
    expect([...last.data.subarray(4, 8)]).toEqual([4, 4, 6, 7]);
  });

  it('must have the shape of the input', async () => {
    await expect(load(encodeNpy(volume, [2, 3, 4]), [1, 3, 4, 2])).rejects.toThrow(/has the shape 2 x 3 x 4/);
    await expect(load(encodeNpy(volume, [24]), [1, 3, 'h', 'w'])).rejects.toThrow(
      /has the shape 24, the model takes 3 x \? x \?/,
    );
  });

  it('need a spacing for each of their axes', async () => {
    const sample = await sampleOf(encodeNpy(volume, [2, 3, 4]), [1, 1]);
    const shape = [1, 1, 2, 3, 4];
    await expect(loadInput(sample, fitPreprocess({}, shape), shape)).rejects.toThrow(
      /3 spatial axes but its spacing has 2/,
    );
  });
});
