/** A folder of images, with masks where there are any, and which of the images belong together. */
import { readdir, stat } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { badDataFile, badDataset, cannotRead } from '../errors.js';
import { readCsv } from '../formats/csv.js';
import { isImageName } from '../formats/images.js';
import { isArrayName } from '../formats/npy.js';

export interface Sample {
  /** The image's file name. */
  name: string;
  imageFile: string;
  maskFile: string | null;
  /** Images of one group (a patient) are not independent of each other. */
  group: string;
  /** Millimetres per pixel along each axis, as the axes lie in the array (y, x); null where unknown. */
  spacing: readonly number[] | null;
}

export interface Dataset {
  folder: string;
  /** In order of their names; never empty. Either all have a mask or none has, and the same for spacing. */
  samples: readonly Sample[];
  /** The table that named the groups; null where each image is its own group. */
  groupsFile: string | null;
}

export interface DatasetOptions {
  /** A table with the columns file and group; default: the folder's manifest.csv, where it has one. */
  groups?: string | null;
  /** Millimetres per pixel along each axis, for images of which no table says it. */
  spacing?: readonly number[] | null;
}

/**
 * Opens a folder of images, or of `images/` and `masks/` with the same names (endings may differ).
 * The table of groups may also have the columns spacing_x_mm and spacing_y_mm.
 * @throws CompressError where there is no image, images and masks do not pair up, or the table does not fit the images
 */
export async function openDataset(folder: string, options: DatasetOptions = {}): Promise<Dataset> {
  const folders = await listFolders(folder);
  if (folders.includes('masks') && !folders.includes('images')) {
    throw badDataset(folder, 'has masks/ but no images/; put the images that belong to the masks there');
  }
  const imageFolder = folders.includes('images') ? join(folder, 'images') : folder;
  const images = await listData(imageFolder);
  if (images.length === 0) {
    throw badDataset(imageFolder, 'holds no image; PNG, JPEG, TIFF, .npy and .npz files are read');
  }
  const masks = folders.includes('masks') ? await pairMasks(folder, images) : null;
  const groupsFile = options.groups ?? (await findManifest(folder));
  const rows = groupsFile === null ? null : await readGroups(groupsFile, images);
  const samples = images.map((name): Sample => {
    const row = rows?.get(name);
    return {
      name,
      imageFile: join(imageFolder, name),
      maskFile: masks?.get(name) ?? null,
      group: row?.group ?? name,
      spacing: row?.spacing ?? options.spacing ?? null,
    };
  });
  const unknown = samples.filter((sample) => sample.spacing === null).map((sample) => sample.name);
  if (unknown.length > 0 && unknown.length < samples.length) {
    throw badDataset(
      folder,
      `the spacing is known for some images but not for ${listNames(unknown)}; fill the table in`,
    );
  }
  return { folder, samples, groupsFile };
}

async function pairMasks(folder: string, images: readonly string[]): Promise<Map<string, string>> {
  const maskFolder = join(folder, 'masks');
  const masks = byStem(maskFolder, await listData(maskFolder));
  const imageStems = byStem(join(folder, 'images'), images);
  const withoutMask = images.filter((name) => !masks.has(parse(name).name));
  if (withoutMask.length > 0) {
    throw badDataset(
      folder,
      `${countOf(withoutMask, 'image')} without a mask of the same name in masks/: ${listNames(withoutMask)}`,
    );
  }
  const withoutImage = [...masks].filter(([stem]) => !imageStems.has(stem)).map(([, name]) => name);
  if (withoutImage.length > 0) {
    throw badDataset(
      folder,
      `${countOf(withoutImage, 'mask')} without an image of the same name in images/: ${listNames(withoutImage)}`,
    );
  }
  return new Map(images.map((name) => [name, join(maskFolder, masks.get(parse(name).name)!)]));
}

/** File names by their name without the ending, which must be unique. */
function byStem(folder: string, names: readonly string[]): Map<string, string> {
  const stems = new Map<string, string>();
  for (const name of names) {
    const other = stems.get(parse(name).name);
    if (other !== undefined) throw badDataset(folder, `${other} and ${name} differ only in their ending; keep one`);
    stems.set(parse(name).name, name);
  }
  return stems;
}

interface GroupRow {
  group: string;
  spacing: readonly number[] | null;
}

async function readGroups(file: string, images: readonly string[]): Promise<Map<string, GroupRow>> {
  const rows = new Map<string, GroupRow>();
  for (const row of await readCsv(file, ['file', 'group'])) {
    const name = row.file!;
    if (rows.has(name)) throw badDataFile(file, `names ${name} twice; keep one row an image`);
    if (row.group === '') throw badDataFile(file, `gives no group for ${name}; fill it in`);
    rows.set(name, { group: row.group!, spacing: readSpacing(file, row) });
  }
  const present = new Set(images);
  const unknown = [...rows.keys()].filter((name) => !present.has(name));
  if (unknown.length > 0) {
    throw badDataFile(file, `names ${countOf(unknown, 'file')} that the data do not have: ${listNames(unknown)}`);
  }
  const unlisted = images.filter((name) => !rows.has(name));
  if (unlisted.length > 0) {
    throw badDataFile(file, `does not name ${countOf(unlisted, 'image')} of the data: ${listNames(unlisted)}`);
  }
  return rows;
}

function readSpacing(file: string, row: Record<string, string>): readonly number[] | null {
  const cells = [row.spacing_y_mm ?? '', row.spacing_x_mm ?? ''];
  if (cells.every((cell) => cell === '')) return null;
  const spacing = cells.map(Number);
  if (spacing.every((value) => Number.isFinite(value) && value > 0)) return spacing;
  throw badDataFile(file, `gives ${row.file} a spacing that is no pair of positive numbers (${cells.join(', ')})`);
}

async function findManifest(folder: string): Promise<string | null> {
  const entries = await list(folder);
  return entries.some((entry) => entry.name === 'manifest.csv') ? join(folder, 'manifest.csv') : null;
}

/** Names of the folders in a folder, links to folders included. */
async function listFolders(folder: string): Promise<string[]> {
  const entries = await list(folder);
  const isFolder = await Promise.all(
    entries.map(async (entry) => {
      if (!entry.isSymbolicLink()) return entry.isDirectory();
      const target = await stat(join(folder, entry.name)).catch(() => undefined);
      return target?.isDirectory() ?? false;
    }),
  );
  return entries.filter((_, i) => isFolder[i]).map((entry) => entry.name);
}

function list(folder: string) {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw cannotRead(folder, error);
  });
}

/** Names of the images and arrays in a folder, sorted by code unit so that the order is the same everywhere. */
async function listData(folder: string): Promise<string[]> {
  return (await list(folder))
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .filter((name) => isImageName(name) || isArrayName(name))
    .sort();
}

function countOf(names: readonly string[], noun: string): string {
  return `${names.length} ${noun}${names.length === 1 ? '' : 's'}`;
}

function listNames(names: readonly string[]): string {
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '');
}
