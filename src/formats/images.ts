/**
 * PNG, JPEG and TIFF images of 8 or 16 bits, through sharp. Pixels come as they are stored: no colour profile is
 * applied, no orientation tag is followed, and transparency is dropped, as the usual training scripts do.
 */
import type { Sharp, SharpOptions } from 'sharp';
import { badDataFile, messageOf } from '../errors.js';
import { readLimited } from './limited-read.js';

export interface DecodedImage {
  width: number;
  height: number;
  /** 1 (gray) or 3 (red, green, blue). */
  channels: 1 | 3;
  depth: 8 | 16;
  /** Rows from the top, channels last; Uint16Array where the depth is 16. */
  data: Uint8Array | Uint16Array;
}

const LARGEST_FILE = 2 ** 28;
const MOST_PIXELS = 2 ** 26;

/** Whether a file's name says that it is an image that can be read. */
export function isImageName(file: string): boolean {
  return /\.(png|jpe?g|tiff?)$/i.test(file);
}

/**
 * Reads one image.
 * @throws CompressError for a file that is not there, is no PNG, JPEG or TIFF, is damaged, has several pages, other
 *   samples than 8- or 16-bit whole numbers, or more than 2^26 pixels
 */
export async function readImage(file: string): Promise<DecodedImage> {
  const bytes = await readLimited(file, LARGEST_FILE, 'scale it down first');
  // Only the three formats reach the decoders: libvips would also open SVG, PDF and others.
  if (!hasImageSignature(bytes)) {
    throw badDataFile(file, 'is not a PNG, JPEG or TIFF image, or is damaged; export it again as PNG');
  }
  try {
    return await decode(bytes);
  } catch (error) {
    if (messageOf(error).includes('exceeds pixel limit')) {
      throw badDataFile(file, `has more than ${MOST_PIXELS} pixels; scale it down first`);
    }
    if (error instanceof Unsupported) throw badDataFile(file, error.message);
    throw badDataFile(file, `cannot be decoded, the file is damaged or cut short (${messageOf(error).trim()})`);
  }
}

/**
 * Scales to a new size, aspect not kept, in the image's own depth: a triangle filter that widens when shrinking (bilinear
 * with area averaging, as PIL's BILINEAR; at the border the edge pixel is repeated).
 */
export async function resizeImage(image: DecodedImage, height: number, width: number): Promise<DecodedImage> {
  if (image.height === height && image.width === width) return image;
  const pipeline = (await fromRaw(image)).resize({ width, height, fit: 'fill', kernel: 'linear' });
  return toRaw(pipeline, image.channels, image.depth);
}

/** The bytes of a PNG file. */
export async function encodePng(image: DecodedImage): Promise<Buffer> {
  const pipeline = await fromRaw(image);
  return pipeline.toColourspace(spaceOf(image.channels, image.depth)).png().toBuffer();
}

/** A reason to refuse an image that its decoder would accept. */
class Unsupported extends Error {}

async function decode(bytes: Buffer): Promise<DecodedImage> {
  // failOn: a PNG with an odd colour profile only warns; a damaged or truncated image is an error.
  const pipeline = await open(bytes, { limitInputPixels: MOST_PIXELS, failOn: 'error', ignoreIcc: true });
  const { depth, pages, channels, hasAlpha } = await pipeline.metadata();
  if (depth !== 'uchar' && depth !== 'ushort') {
    throw new Unsupported(`has samples of type ${depth}; 8 and 16 bits are read, other values can come as .npy`);
  }
  if ((pages ?? 1) > 1)
    throw new Unsupported(`has ${pages} pages; save a volume as .npy, or each page as its own file`);
  if (channels > 4) throw new Unsupported(`has ${channels} channels; save it as .npy with the channels in front`);
  const gray = channels - (hasAlpha ? 1 : 0) === 1;
  return toRaw(pipeline.removeAlpha(), gray ? 1 : 3, depth === 'ushort' ? 16 : 8);
}

async function toRaw(pipeline: Sharp, channels: 1 | 3, depth: 8 | 16): Promise<DecodedImage> {
  const { data, info } = await pipeline
    .toColourspace(spaceOf(channels, depth))
    .raw({ depth: depth === 16 ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const samples = depth === 16 ? new Uint16Array(Uint8Array.from(data).buffer) : new Uint8Array(data);
  return { width: info.width, height: info.height, channels, depth, data: samples };
}

function fromRaw({ width, height, channels, data }: DecodedImage): Promise<Sharp> {
  return open(data, { raw: { width, height, channels } });
}

/** libvips turns gray into colour, and 16 bits into 8, unless it is told to stay. */
function spaceOf(channels: 1 | 3, depth: 8 | 16): string {
  if (channels === 1) return depth === 16 ? 'grey16' : 'b-w';
  return depth === 16 ? 'rgb16' : 'srgb';
}

/** sharp loads a large native library: only when the first image is touched. */
async function open(input: Buffer | Uint8Array | Uint16Array, options: SharpOptions): Promise<Sharp> {
  const { default: sharp } = await import('sharp');
  return sharp(input, options);
}

function hasImageSignature(bytes: Buffer): boolean {
  const start = bytes.toString('latin1', 0, 4);
  return start === '\x89PNG' || start.startsWith('\xff\xd8\xff') || /^(II[*+]\0|MM\0[*+])$/.test(start);
}
