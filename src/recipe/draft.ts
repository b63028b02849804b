import { mkdtemp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { moveFiles, removeWhenEnded, writeFailure } from '../formats/files.js';

export interface Draft {
  readonly folder: string;
  /** Moves files of the draft, in this order, over those of the same names from an earlier run. */
  publish(files: readonly string[]): Promise<void>;
}

/**
 * Calls `make` with a folder in which results lie until all of them are there. It lies in the folder for results, so
 * that publishing only changes names, and is gone afterwards, also after a failure and when the process ends.
 *
 * @throws CompressError where the folder cannot be made; what `make` throws passes through
 */
export async function withDraft<T>(out: string, make: (draft: Draft) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(out, '.unfinished-')).catch((cause) => {
    throw writeFailure(out, cause);
  });
  const forget = removeWhenEnded(folder);
  const publish = (files: readonly string[]) =>
    moveFiles(files.map((from) => ({ from, to: join(out, basename(from)) })));
  try {
    return await make({ folder, publish });
  } finally {
    await rm(folder, { recursive: true, force: true });
    forget();
  }
}
