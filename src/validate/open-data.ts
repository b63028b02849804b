import { type Dataset, openDataset } from './dataset.js';
import { assertDisjoint, splitByGroup } from './splits.js';

export interface DataOptions {
  readonly data?: string;
  readonly valData?: string;
  readonly testData?: string;
  readonly groups?: string;
  readonly spacing?: readonly number[];
  readonly seed: number;
}

export interface Splits {
  /** For calibration and training. */
  readonly train: Dataset | null;
  /** For every choice that looks at accuracy. */
  readonly validation: Dataset | null;
  /** Read once, at the end. */
  readonly test: Dataset | null;
}

export const NO_DATA: Splits = { train: null, validation: null, test: null };

/**
 * Opens the folders that the user named; a tenth of the groups of `data` (8 to 200 images) becomes validation where
 * none is given. The table of groups is that of `data`, or without it that of `testData`.
 *
 * @throws CompressError where a folder does not hold a dataset, or two splits share an image
 */
export async function openData(options: DataOptions): Promise<Splits> {
  const shared = { spacing: options.spacing };
  const open = (folder: string | undefined, groups?: string) =>
    folder === undefined ? null : openDataset(folder, { ...shared, groups });
  const [data, givenValidation, test] = await Promise.all([
    open(options.data, options.groups),
    open(options.valData),
    open(options.testData, options.data === undefined ? options.groups : undefined),
  ]);
  const { train, validation } =
    givenValidation || !data ? { train: data, validation: givenValidation } : halve(data, options.seed);
  const splits = allOf({ train, validation, test });
  for (const [i, split] of splits.entries())
    for (const other of splits.slice(i + 1)) await assertDisjoint(split, other);
  return { train, validation, test };
}

function halve(data: Dataset, seed: number): { train: Dataset; validation: Dataset } {
  const { rest, heldOut } = splitByGroup(data, { fraction: 0.1, min: 8, max: 200, seed });
  return { train: rest, validation: heldOut };
}

export function allOf({ train, validation, test }: Splits): Dataset[] {
  return [train, validation, test].filter((split) => split !== null);
}

/** The images that accuracy is reported on: test where given, else validation. */
export function reportedSplit({ test, validation }: Splits): { dataset: Dataset; split: 'test' | 'validation' } | null {
  if (test) return { dataset: test, split: 'test' };
  return validation && { dataset: validation, split: 'validation' };
}
