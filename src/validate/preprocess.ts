/** From an image file to the numbers that a model takes. */
import { badDataFile, badPreprocess } from '../errors.js';
import { type DecodedImage, readImage, resizeImage } from '../formats/images.js';
import { isArrayName, type NumericArray, readArray } from '../formats/npy.js';
import type { Sample } from './dataset.js';

/** value = (pixel * scale - mean) / std, after the conversion to gray or colour and the change of size. */
export interface Preprocess {
  /** Height and width; null leaves images as they are. */
  resize: readonly [height: number, width: number] | null;
  /** null: as the image is. */
  channels: 'gray' | 'rgb' | null;
  /** null: 1/255 for 8-bit images, 1/65535 for 16-bit ones, and 1 for arrays (.npy, .npz). */
  scale: number | null;
  /** One value, or one a channel; empty: 0. */
  mean: readonly number[];
  /** One value, or one a channel; empty: 1. */
  std: readonly number[];
}

/** The shape of a model's input, batch first. Anything but a positive number is a dimension left open. */
export type InputShape = readonly (number | string | null)[];

export interface InputLayout {
  channelsLast: boolean;
  channels: number | null;
  spatial: (number | null)[];
}

export interface LoadedInput {
  /** Values in the model's layout. */
  data: Float32Array;
  /** Without the batch: [channels, height, width], or [height, width, channels]. */
  shape: number[];
  /** Spatial part of `shape`. */
  spatial: number[];
  /** The same as the file has it. */
  stored: number[];
  /** Millimetres per pixel of what the model sees: the sample's spacing, changed as its size was. */
  spacing: readonly number[] | null;
}

/** Channels come first, unless the last axis looks like channels (at most 4) and the first after the batch does not. */
export function inputLayout(shape: InputShape): InputLayout {
  const sizes = shape.map((size) => (typeof size === 'number' && Number.isInteger(size) && size > 0 ? size : null));
  const few = (size: number | null | undefined) => typeof size === 'number' && size <= 4;
  const channelsLast = sizes.length > 2 && few(sizes.at(-1)) && !few(sizes[1]);
  return channelsLast
    ? { channelsLast, channels: sizes.at(-1)!, spatial: sizes.slice(1, -1) }
    : { channelsLast, channels: sizes[1] ?? null, spatial: sizes.slice(2) };
}

/**
 * Fills in what is not given so that it fits the model's input: gray for one channel and colour for three, the model's
 * own height and width where they are fixed.
 * @throws CompressError where what is given contradicts the input
 */
export function fitPreprocess(given: Partial<Preprocess>, shape: InputShape): Preprocess {
  const { channels, spatial } = inputLayout(shape);
  const [height, width] = spatial;
  const fixedSize = spatial.length === 2 && height && width ? ([height, width] as const) : null;
  const fitting = channels === 1 ? 'gray' : channels === 3 ? 'rgb' : null;
  const result: Preprocess = {
    resize: given.resize ?? fixedSize,
    channels: given.channels ?? fitting,
    scale: given.scale ?? null,
    mean: given.mean ?? [],
    std: given.std ?? [],
  };
  checkAgainst(result, channels, fixedSize);
  return result;
}

/**
 * Loads one image as the model's input. Arrays pass as they are; their shape must be the input's (the batch, and a single
 * channel, may be left out), and they are scaled only where `preprocess` says so.
 * @throws CompressError where the file cannot be read or does not fit the input
 */
export async function loadInput(sample: Sample, preprocess: Preprocess, shape: InputShape): Promise<LoadedInput> {
  const layout = inputLayout(shape);
  return isArrayName(sample.imageFile)
    ? loadArray(sample, preprocess, shape, layout)
    : loadImage(sample, preprocess, layout);
}

async function loadImage(sample: Sample, preprocess: Preprocess, layout: InputLayout): Promise<LoadedInput> {
  const file = sample.imageFile;
  if (layout.spatial.length !== 2) {
    throw badDataFile(
      file,
      `is an image, but the model's input has ${layout.spatial.length} spatial axes; give .npy files`,
    );
  }
  const stored = await readImage(file);
  const converted = preprocess.channels === null ? stored : convertChannels(stored, preprocess.channels);
  const [height, width] = preprocess.resize ?? [stored.height, stored.width];
  const image = await resizeImage(converted, height, width);
  const spatial = [height, width];
  if (!fits(spatial, layout.spatial) || !fits([image.channels], [layout.channels])) {
    const wanted = layout.spatial.map((size) => size ?? '?').join(' x ');
    throw badDataFile(
      file,
      `gives ${spatial.join(' x ')} pixels of ${image.channels} channels, the model takes ${wanted} of ${layout.channels}; set preprocess.resize and preprocess.channels, or give .npy files`,
    );
  }
  return {
    data: normalize(
      image.data,
      image.channels,
      layout.channelsLast,
      preprocess,
      image.depth === 8 ? 1 / 255 : 1 / 65535,
    ),
    shape: layout.channelsLast ? [...spatial, image.channels] : [image.channels, ...spatial],
    spatial,
    stored: [stored.height, stored.width],
    spacing: scaleSpacing(sample, [stored.height, stored.width], spatial),
  };
}

async function loadArray(
  sample: Sample,
  preprocess: Preprocess,
  inputShape: InputShape,
  layout: InputLayout,
): Promise<LoadedInput> {
  const file = sample.imageFile;
  const array = await readArray(file, ['image', 'x']);
  const wanted = layout.channelsLast ? [...layout.spatial, layout.channels] : [layout.channels, ...layout.spatial];
  let shape = array.shape;
  if (shape.length === inputShape.length && shape[0] === 1) shape = shape.slice(1);
  if (shape.length === layout.spatial.length && layout.channels === 1) {
    shape = layout.channelsLast ? [...shape, 1] : [1, ...shape];
  }
  if (!fits(shape, wanted)) {
    throw badDataFile(
      file,
      `has the shape ${array.shape.join(' x ')}, the model takes ${wanted.map((size) => size ?? '?').join(' x ')}`,
    );
  }
  const spatial = layout.channelsLast ? shape.slice(0, -1) : shape.slice(1);
  const channels = layout.channelsLast ? shape.at(-1)! : shape[0]!;
  return {
    data: scaleArray(array.data, channels, layout.channelsLast, preprocess),
    shape,
    spatial,
    stored: spatial,
    spacing: scaleSpacing(sample, spatial, spatial),
  };
}

/** Gray as ITU-R BT.601 weighs it, rounded, as PIL and OpenCV do. */
function convertChannels(image: DecodedImage, wanted: 'gray' | 'rgb'): DecodedImage {
  const { data, channels } = image;
  if (wanted === 'gray' && channels === 3) {
    const gray = data.slice(0, data.length / 3);
    for (let i = 0; i < gray.length; i++) {
      gray[i] = Math.round(0.299 * data[3 * i]! + 0.587 * data[3 * i + 1]! + 0.114 * data[3 * i + 2]!);
    }
    return { ...image, channels: 1, data: gray };
  }
  if (wanted === 'rgb' && channels === 1) {
    const colour = image.depth === 8 ? new Uint8Array(3 * data.length) : new Uint16Array(3 * data.length);
    for (let i = 0; i < colour.length; i++) colour[i] = data[Math.floor(i / 3)]!;
    return { ...image, channels: 3, data: colour };
  }
  return image;
}

/** Channels-last samples to the model's layout. */
function normalize(
  data: NumericArray,
  channels: number,
  channelsLast: boolean,
  preprocess: Preprocess,
  defaultScale: number,
): Float32Array {
  const points = data.length / channels;
  const result = new Float32Array(data.length);
  for (let channel = 0; channel < channels; channel++) {
    const value = normalizer(preprocess, channel, defaultScale);
    for (let point = 0; point < points; point++) {
      const source = point * channels + channel;
      result[channelsLast ? source : channel * points + point] = value(data[source]!);
    }
  }
  return result;
}

function scaleArray(data: NumericArray, channels: number, channelsLast: boolean, preprocess: Preprocess): Float32Array {
  const values = Array.from({ length: channels }, (_, channel) => normalizer(preprocess, channel, 1));
  const points = data.length / channels;
  const result = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    result[i] = values[channelsLast ? i % channels : Math.floor(i / points)]!(data[i]!);
  }
  return result;
}

function normalizer(preprocess: Preprocess, channel: number, defaultScale: number): (pixel: number) => number {
  const { mean, std } = preprocess;
  const scale = preprocess.scale ?? defaultScale;
  const shift = mean[mean.length === 1 ? 0 : channel] ?? 0;
  const spread = std[std.length === 1 ? 0 : channel] ?? 1;
  return (pixel) => (pixel * scale - shift) / spread;
}

function scaleSpacing(sample: Sample, from: readonly number[], to: readonly number[]): readonly number[] | null {
  if (sample.spacing === null) return null;
  if (sample.spacing.length !== to.length) {
    throw badDataFile(
      sample.imageFile,
      `has ${to.length} spatial axes but its spacing has ${sample.spacing.length}; give one spacing an axis`,
    );
  }
  return sample.spacing.map((millimetres, axis) => (millimetres * from[axis]!) / to[axis]!);
}

function fits(sizes: readonly number[], wanted: readonly (number | null)[]): boolean {
  return sizes.length === wanted.length && wanted.every((size, axis) => size === null || size === sizes[axis]);
}

function checkAgainst(
  { resize, channels, mean, std }: Preprocess,
  modelChannels: number | null,
  modelSize: readonly number[] | null,
): void {
  if (resize !== null && modelSize !== null && !fits(resize, modelSize)) {
    throw badPreprocess(
      `preprocess.resize is ${resize.join(' x ')}, but the model's input is fixed at ${modelSize.join(' x ')}; leave it out`,
    );
  }
  const given = channels === 'gray' ? 1 : channels === 'rgb' ? 3 : null;
  if (given !== null && modelChannels !== null && given !== modelChannels) {
    throw badPreprocess(
      `preprocess.channels is ${channels}, but the model takes ${modelChannels} channels; leave it out`,
    );
  }
  const count = given ?? modelChannels;
  for (const [name, values] of [['mean', mean] as const, ['std', std] as const]) {
    if (values.length > 1 && count !== null && values.length !== count) {
      throw badPreprocess(
        `preprocess.${name} has ${values.length} values for ${count} channels; give one, or one a channel`,
      );
    }
  }
  if (std.includes(0))
    throw badPreprocess('preprocess.std holds a 0, and values are divided by it; give positive numbers');
}
