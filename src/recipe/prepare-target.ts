import { mkdir, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { cannotWrite, wouldOverwriteInput } from '../errors.js';

/**
 * Makes the folder of a file that is to be written.
 * @throws CompressError where it cannot be made, or the file is the model that is being read
 */
export async function prepareTarget(input: string, target: string): Promise<void> {
  await makeFolder(dirname(target));
  const resolved = await realpath(target).catch(() => null);
  if (resolved !== null && resolved === (await realpath(input))) throw wouldOverwriteInput(target);
}

/**
 * Makes a folder and those above it. Node's recursive mkdir never ends where a file system answers ENOENT although the
 * folder above is there, as /proc does.
 * @throws CompressError where it cannot be made
 */
export async function makeFolder(folder: string): Promise<void> {
  if (await isFolder(folder)) return;
  const above = dirname(folder);
  if (above !== folder) await makeFolder(above);
  try {
    await mkdir(folder);
  } catch (error) {
    // Another process may have made it in the meantime.
    if (!(await isFolder(folder))) throw cannotWrite(folder, error);
  }
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isDirectory() ?? false;
}
