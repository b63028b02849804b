/** From a mask file to a class for every pixel. */
import { badDataFile, badDataset } from '../errors.js';
import { readImage } from '../formats/images.js';
import { isArrayName, type NumericArray, readArray } from '../formats/npy.js';

/** A class for every pixel or voxel; 0 is the background. */
export interface ClassMap {
  /** [height, width] or [depth, height, width]. */
  shape: readonly number[];
  data: Uint8Array;
}

/** The class of every pixel value that occurs in the masks. */
export type Labels = Readonly<Record<string, number>>;

const MOST_CLASSES = 32;

/**
 * Reads every mask for the values that occur and says which class each one is: two values are background and foreground;
 * several whole numbers below 32 are the classes themselves; a few others are numbered in ascending order.
 * @throws CompressError where the values look like anything but classes
 */
export async function guessLabels(maskFiles: readonly string[]): Promise<{ labels: Labels; sentence: string }> {
  const distinct = new Set<number>();
  for (const file of maskFiles) {
    collectDistinct((await readMask(file)).data, distinct);
    if (distinct.size > MOST_CLASSES) {
      throw badDataFile(
        file,
        `the masks hold more than ${MOST_CLASSES} different values, as blurred or JPEG edges do; save them without smoothing, or set labels`,
      );
    }
  }
  const values = [...distinct].sort((a, b) => a - b);
  if (values.length <= 2) {
    const low = values.length === 2 ? values[0]! : Math.min(0, ...values);
    const high = values.find((value) => value !== low);
    const labels = high === undefined ? { [low]: 0 } : { [low]: 0, [high]: 1 };
    return {
      labels,
      sentence: `mask values: ${low} is background${high === undefined ? '' : `, ${high} is foreground`}`,
    };
  }
  const areClasses = values.every((value) => Number.isInteger(value) && value >= 0 && value < MOST_CLASSES);
  const labels = Object.fromEntries(values.map((value, rank) => [value, areClasses ? value : rank]));
  const pairs = Object.entries(labels).map(([value, label]) => `${value} is class ${label}`);
  return {
    labels,
    sentence: areClasses ? `mask values are class numbers (${values.join(', ')})` : `mask values: ${pairs.join(', ')}`,
  };
}

/** Sizes of the image that a mask belongs to: as it is stored, and as the model sees it. */
export interface ImageSizes {
  readonly stored: readonly number[];
  readonly spatial: readonly number[];
}

/**
 * Loads a mask as classes, at the given size: images are brought there by the nearest pixel, arrays must have it.
 * @throws CompressError for an unreadable file, a coloured mask, one of another size than its image, or a value without a
 *   label
 */
export async function loadMask(
  file: string,
  labels: Labels,
  spatial: readonly number[],
  image: ImageSizes,
): Promise<ClassMap> {
  const mask = await readMask(file);
  const classOf = new Map(Object.entries(labels).map(([value, label]) => [Number(value), label]));
  const data = classify(mask.data, classOf, file);
  const significant = (shape: readonly number[]) => shape.filter((size) => size !== 1).join(' x ');
  if (significant(mask.shape) === significant(spatial)) return { shape: spatial, data };
  if (isArrayName(file) || spatial.length !== 2) {
    throw badDataFile(
      file,
      `has the shape ${mask.shape.join(' x ')}, but the model's output has ${spatial.join(' x ')}`,
    );
  }
  if (![image.stored, image.spatial].some((shape) => significant(shape) === significant(mask.shape))) {
    throw badDataFile(
      file,
      `is a mask of ${mask.shape.join(' x ')} pixels, but its image has ${image.stored.join(' x ')}; save both at one size`,
    );
  }
  return resizeNearest({ shape: mask.shape, data }, spatial);
}

function classify(values: NumericArray, classOf: ReadonlyMap<number, number>, file: string): Uint8Array {
  const result = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    // Neighbours are mostly equal, and comparing is much cheaper than looking up.
    const label = i > 0 && values[i] === values[i - 1] ? result[i - 1] : classOf.get(values[i]!);
    if (label === undefined) {
      throw badDataFile(file, `holds the value ${values[i]}, which has no label; add it to labels`);
    }
    result[i] = label;
  }
  return result;
}

/** Each new pixel takes the class of the old pixel that its centre lies in. */
export function resizeNearest({ shape, data }: ClassMap, to: readonly number[]): ClassMap {
  const [height, width] = shape as [number, number];
  const [newHeight, newWidth] = to as [number, number];
  const result = new Uint8Array(newHeight * newWidth);
  for (let y = 0; y < newHeight; y++) {
    const row = Math.floor(((y + 0.5) * height) / newHeight) * width;
    for (let x = 0; x < newWidth; x++) {
      result[y * newWidth + x] = data[row + Math.floor(((x + 0.5) * width) / newWidth)]!;
    }
  }
  return { shape: to, data: result };
}

/** The number of classes, background included, that `labels` names. */
export function classCount(labels: Labels): number {
  const classes = Object.values(labels);
  const wrong = classes.find((label) => !Number.isInteger(label) || label < 0 || label > 254);
  if (wrong !== undefined) throw badDataset('labels', `${wrong} is no class; classes are whole numbers from 0 to 254`);
  return Math.max(1, ...classes) + 1;
}

/** Stops soon after there are too many, as in a mask of noise. */
function collectDistinct(values: NumericArray, distinct: Set<number>): void {
  let last: number | undefined;
  for (let i = 0; i < values.length && distinct.size <= MOST_CLASSES; i++) {
    // Neighbours are mostly equal, and comparing is much cheaper than looking up.
    if (values[i] !== last) distinct.add(values[i]!);
    last = values[i];
  }
}

async function readMask(file: string): Promise<{ shape: readonly number[]; data: NumericArray }> {
  if (isArrayName(file)) return readArray(file, ['mask', 'y']);
  const { width, height, channels, data } = await readImage(file);
  if (channels === 1) return { shape: [height, width], data };
  const gray = data.slice(0, data.length / 3);
  for (let i = 0; i < gray.length; i++) {
    gray[i] = data[3 * i]!;
    if (data[3 * i + 1] !== gray[i] || data[3 * i + 2] !== gray[i]) {
      throw badDataFile(file, 'is a mask in colour; save it in gray, one value a class');
    }
  }
  return { shape: [height, width], data: gray };
}
