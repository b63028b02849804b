import { readFile, stat } from 'node:fs/promises';
import { badDataFile, cannotRead } from '../errors.js';

/**
 * Reads a whole file of at most `largest` bytes; `advice` says what to do about a larger one.
 * @throws CompressError where it cannot be read or is larger
 */
export async function readLimited(file: string, largest: number, advice: string): Promise<Buffer> {
  let size: number;
  try {
    ({ size } = await stat(file));
    if (size <= largest) return await readFile(file);
  } catch (error) {
    throw cannotRead(file, error);
  }
  throw badDataFile(file, `has ${size} bytes and at most ${largest} are read; ${advice}`);
}
