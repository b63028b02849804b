import { mkdir, realpath } from 'node:fs/promises';
import { parse } from 'node:path';
import { cannotWrite, wouldOverwriteInput } from '../errors.js';

/**
 * Makes the folder of a file that is to be written.
 * @throws CompressError where it cannot be made, or the file is the model that is being read
 */
export async function prepareTarget(input: string, target: string): Promise<void> {
  const { dir } = parse(target);
  try {
    await mkdir(dir || '.', { recursive: true });
  } catch (error) {
    throw cannotWrite(dir, error);
  }
  const resolved = await realpath(target).catch(() => null);
  if (resolved !== null && resolved === (await realpath(input))) throw wouldOverwriteInput(target);
}
