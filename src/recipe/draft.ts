import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { moveFiles, removeWhenEnded, writeFailure } from '../formats/files.js';
import { makeFolder } from './prepare-target.js';

export interface Draft {
  readonly folder: string;
  /** Moves files of the draft, in this order, over those at the same places from an earlier run. */
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
  const publish = async (files: readonly string[]) => {
    const moves = files.map((from) => ({ from, to: join(out, relative(folder, from)) }));
    for (const { to } of moves) await makeFolder(dirname(to));
    await moveFiles(moves);
  };
  try {
    return await make({ folder, publish });
  } finally {
    await rm(folder, { recursive: true, force: true });
    forget();
  }
}
