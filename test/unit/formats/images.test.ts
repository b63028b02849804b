import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DecodedImage, encodePng, isImageName, readImage, resizeImage } from '../../../src/formats/images.js';

let folder = '';
const at = (name: string) => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'images-'));
});
afterAll(() => rm(folder, { recursive: true }));

function gradient(channels: 1 | 3, depth: 8 | 16, [height, width] = [3, 5]): DecodedImage {
  const count = height! * width! * channels;
  const most = depth === 8 ? 255 : 65535;
  const values = Array.from({ length: count }, (_, i) => Math.round((i * most) / (count - 1)));
  const data = depth === 8 ? Uint8Array.from(values) : Uint16Array.from(values);
  return { width: width!, height: height!, channels, depth, data };
}

const raw = ({ width, height, channels, data }: DecodedImage) => sharp(data, { raw: { width, height, channels } });

describe('reading', () => {
  it.each([
    [1, 8],
    [3, 8],
    [1, 16],
    [3, 16],
  ] as const)('gives the stored pixels of a PNG with %d channels of %d bits', async (channels, depth) => {
    const image = gradient(channels, depth);
    await writeFile(at('a.png'), await encodePng(image));
    expect(await readImage(at('a.png'))).toEqual(image);
  });

  it.each([
    [1, 8, 'b-w'],
    [3, 8, 'srgb'],
    [1, 16, 'grey16'],
    [3, 16, 'rgb16'],
  ] as const)('gives the stored pixels of a TIFF with %d channels of %d bits', async (channels, depth, space) => {
    const image = gradient(channels, depth);
    await raw(image).toColourspace(space).tiff({ compression: 'lzw' }).toFile(at('a.tif'));
    expect(await readImage(at('a.tif'))).toEqual(image);
  });

  it('reads gray and coloured JPEG', async () => {
    const flat: DecodedImage = { ...gradient(1, 8, [16, 16]), data: new Uint8Array(256).fill(90) };
    await raw(flat).toColourspace('b-w').jpeg({ quality: 100 }).toFile(at('a.jpg'));
    expect(await readImage(at('a.jpg'))).toEqual(flat);
    await raw(gradient(3, 8, [16, 16]))
      .jpeg()
      .toFile(at('b.jpeg'));
    expect(await readImage(at('b.jpeg'))).toMatchObject({ channels: 3, depth: 8, width: 16 });
  });

  it('drops transparency and spreads a palette and one-bit pixels', async () => {
    const rgba = sharp(Uint8Array.of(10, 20, 30, 0, 40, 50, 60, 128), { raw: { width: 2, height: 1, channels: 4 } });
    await rgba.png().toFile(at('rgba.png'));
    expect((await readImage(at('rgba.png'))).data).toEqual(Uint8Array.of(10, 20, 30, 40, 50, 60));
    await raw(gradient(3, 8)).png({ palette: true }).toFile(at('palette.png'));
    expect(await readImage(at('palette.png'))).toMatchObject({ channels: 3, depth: 8 });
    const bits = sharp(Uint8Array.of(0, 255, 255, 0), { raw: { width: 4, height: 1, channels: 1 } });
    await bits.toColourspace('b-w').tiff({ bitdepth: 1 }).toFile(at('bits.tif'));
    expect((await readImage(at('bits.tif'))).data).toEqual(Uint8Array.of(0, 255, 255, 0));
  });

  it('applies no colour profile', async () => {
    const image = gradient(3, 8);
    await raw(image).withIccProfile('p3').png().toFile(at('profile.png'));
    const stored = await sharp(at('profile.png'), { ignoreIcc: true }).raw().toBuffer();
    const read = await readImage(at('profile.png'));
    expect(Buffer.from(read.data)).toEqual(stored);
  });

  it('refuses by name what is no such image', async () => {
    await writeFile(at('text.png'), 'not an image');
    await writeFile(at('vector.png'), '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    await expect(readImage(at('text.png'))).rejects.toThrow(/text\.png: is not a PNG, JPEG or TIFF/);
    await expect(readImage(at('vector.png'))).rejects.toThrow(/vector\.png: is not a PNG, JPEG or TIFF/);
    await expect(readImage(at('absent.png'))).rejects.toThrow(/cannot read .*absent\.png/);
    await expect(readImage(folder)).rejects.toThrow(/cannot read/);
  });

  it('refuses damaged files', async () => {
    const noise = {
      ...gradient(3, 8, [64, 64]),
      data: Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i) % 251),
    };
    const png = await encodePng(noise);
    const jpeg = await raw(noise).jpeg().toBuffer();
    for (const [name, bytes] of [['cut.png', png] as const, ['cut.jpg', jpeg] as const]) {
      await writeFile(at(name), bytes.subarray(0, bytes.length / 2));
      await expect(readImage(at(name))).rejects.toThrow(/damaged or cut short/);
    }
  });

  it('refuses a header that claims a huge image', async () => {
    const png = await encodePng(gradient(1, 8));
    png.writeUInt32BE(60_000, 16);
    png.writeUInt32BE(60_000, 20);
    await writeFile(at('huge.png'), png);
    await expect(readImage(at('huge.png'))).rejects.toThrow(/huge\.png: /);
  });

  it('refuses float samples and several pages', async () => {
    await writeFile(at('float.tif'), floatTiff());
    await expect(readImage(at('float.tif'))).rejects.toThrow(/samples of type float/);
    const pages = sharp(new Uint8Array(12), { raw: { width: 2, height: 6, channels: 1, pageHeight: 3 } });
    await pages.tiff().toFile(at('pages.tif'));
    await expect(readImage(at('pages.tif'))).rejects.toThrow(/2 pages/);
  });
});

describe('scaling', () => {
  it('averages areas when shrinking', async () => {
    const board = {
      ...gradient(1, 8, [8, 8]),
      data: Uint8Array.from({ length: 64 }, (_, i) => ((i + (i >> 3)) % 2) * 200),
    };
    const small = await resizeImage(board, 2, 2);
    for (const value of small.data) expect(Math.abs(value - 100)).toBeLessThanOrEqual(13);
  });

  it('keeps a ramp a ramp, in 16 bits and in colour', async () => {
    const columns = Uint16Array.from({ length: 64 }, (_, i) => (i % 8) * 4000);
    const small = await resizeImage({ width: 8, height: 8, channels: 1, depth: 16, data: columns }, 4, 4);
    expect(small).toMatchObject({ width: 4, height: 4, channels: 1, depth: 16 });
    // Pixel 1 of the half-size image lies at 2.5 of the old one.
    expect(Math.abs(small.data[1]! - 10_000)).toBeLessThanOrEqual(1);
    expect(await resizeImage(gradient(3, 16), 6, 10)).toMatchObject({ width: 10, height: 6, channels: 3, depth: 16 });
  });

  it('leaves an image of the right size alone', async () => {
    const image = gradient(3, 8);
    expect(await resizeImage(image, 3, 5)).toBe(image);
  });
});

it('knows images by name', () => {
  expect(['a.png', 'a.JPG', 'a.jpeg', 'a.tif', 'a.TIFF', 'a.bmp', 'png'].map(isImageName)).toEqual([
    ...[true, true, true, true, true],
    ...[false, false],
  ]);
});

/** A TIFF of one row of two 32-bit float samples, which sharp cannot write. */
function floatTiff(): Buffer {
  const tags = [
    ...[
      [256, 2],
      [257, 1],
      [258, 32],
      [259, 1],
      [262, 1],
    ],
    ...[
      [273, 8],
      [277, 1],
      [278, 1],
      [279, 8],
      [339, 3],
    ],
  ];
  const directory = tags.map(([tag, value]) => {
    const entry = Buffer.alloc(12);
    entry.writeUInt16LE(tag!, 0);
    entry.writeUInt16LE(4, 2);
    entry.writeUInt32LE(1, 4);
    entry.writeUInt32LE(value!, 8);
    return entry;
  });
  const header = Buffer.from('II*\0\x10\0\0\0', 'latin1');
  const samples = Buffer.from(Float32Array.of(0.5, 1).buffer);
  return Buffer.concat([header, samples, Buffer.from([tags.length, 0]), ...directory, Buffer.alloc(4)]);
}
