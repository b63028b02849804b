import { realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, posix, relative, sep, win32 } from 'node:path';
import {
  badTensor,
  cannotRead,
  externalDataAbsolute,
  externalDataLink,
  externalDataMissing,
  externalDataOutside,
  externalDataTooShort,
  externalDataWithoutFolder,
} from '../../errors.js';
import { type ByteSource, type FileBytes, fileBytes } from '../bytes.js';
import type { TensorLocation } from './structures.js';

/**
 * The files beside a model that hold its weights. A model may come from anywhere, so only regular files in its own
 * folder, links followed, are opened; each is opened once.
 */
export class ExternalData {
  private readonly opened = new Map<string, FileBytes>();

  /**
   * @param file the model's path, or its name in error messages if it was given as bytes
   * @param folder where to look; null for a model that was given as bytes
   */
  constructor(
    readonly file: string,
    private readonly folder: string | null = dirname(file),
  ) {}

  /**
   * @param tensor name in error messages
   * @param needed bytes that the tensor's shape and type need
   */
  open(tensor: string, place: TensorLocation & { kind: 'external' }, needed: number): ByteSource {
    const { location, offset, length } = place;
    if (length !== null && length !== needed) {
      throw badTensor(this.file, tensor, `has ${length} bytes in "${location}" where its shape needs ${needed}`);
    }
    const path = this.resolve(tensor, location);
    const bytes = this.opened.get(path) ?? fileBytes(path);
    this.opened.set(path, bytes);
    const end = offset + needed;
    if (end > bytes.length) throw externalDataTooShort(this.file, tensor, location, end, bytes.length);
    return bytes.slice(offset, needed);
  }

  /** Paths of the files that weights lie in, as far as they were opened. */
  get files(): string[] {
    return [...this.opened.keys()];
  }

  close(): void {
    for (const bytes of this.opened.values()) bytes.close();
    this.opened.clear();
  }

  private resolve(tensor: string, location: string): string {
    if (this.folder === null) throw externalDataWithoutFolder(this.file, tensor);
    // Both conventions are refused everywhere, so that a model means the same on every system.
    if (posix.isAbsolute(location) || win32.parse(location).root !== '') {
      throw externalDataAbsolute(this.file, tensor, location);
    }
    if (location.split(/[\\/]/).includes('..')) throw externalDataOutside(this.file, tensor, location);
    const path = this.followLinks(tensor, location, join(this.folder, location));
    const fromFolder = relative(realpathSync(this.folder), path);
    if (fromFolder === '..' || fromFolder.startsWith(`..${sep}`) || isAbsolute(fromFolder)) {
      throw externalDataLink(this.file, tensor, location);
    }
    return path;
  }

  private followLinks(tensor: string, location: string, path: string): string {
    try {
      return realpathSync(path);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const missing = code === 'ENOENT' || code === 'ENOTDIR' || code === 'ERR_INVALID_ARG_VALUE';
      throw missing ? externalDataMissing(this.file, tensor, location) : cannotRead(path, cause);
    }
  }
}
