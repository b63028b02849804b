import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { cannotRead, fileChanged, notARegularFile, tooLargeForMemory } from '../errors.js';

/** A range of bytes: offset of the first one, and how many. */
export interface Range {
  readonly start: number;
  readonly length: number;
}

/** Bytes that can be read at any place, from memory or from a file; offsets may pass 4 GiB. */
export interface ByteSource {
  readonly length: number;
  /**
   * `length` bytes from `offset`, a view or a copy (so of any alignment); the caller must not write into them. A copy
   * goes into `scratch` where that is large enough, else into fresh memory.
   */
  read(offset: number, length: number, scratch?: Uint8Array): Uint8Array;
  /** Fills `target` with the bytes from `offset`. */
  readInto(target: Uint8Array, offset: number): void;
  /** The same bytes, seen through a window; copies nothing. */
  slice(offset: number, length: number): ByteSource;
}

export interface FileBytes extends ByteSource {
  /** Gives the file handle back; reading after that is an error. Slices share the handle. */
  close(): void;
}

export function memoryBytes(data: Uint8Array): ByteSource {
  return {
    length: data.length,
    read(offset, length) {
      checkRange(offset, length, data.length);
      return data.subarray(offset, offset + length);
    },
    readInto(target, offset) {
      checkRange(offset, target.length, data.length);
      target.set(data.subarray(offset, offset + target.length));
    },
    slice(offset, length) {
      checkRange(offset, length, data.length);
      return memoryBytes(data.subarray(offset, offset + length));
    },
  };
}

/**
 * The bytes of a regular file. The file is opened on the first read and stays open until `close`, so replacing it by
 * rename does not disturb a reader.
 *
 * @throws CompressError when there is no such file, it is not a regular one, or it changes before or while it is read.
 */
export function fileBytes(path: string): FileBytes {
  const found = attempt(path, () => statSync(path));
  if (!found.isFile()) throw notARegularFile(path);
  let handle: number | undefined;
  let closed = false;

  const open = (): number => {
    if (closed) throw new Error(`${path} is read after it was closed`);
    if (handle === undefined) {
      handle = attempt(path, () => openSync(path, 'r'));
      if (!sameFile(found, fstatSync(handle))) throw fileChanged(path);
    }
    return handle;
  };

  const readInto = (target: Uint8Array, offset: number): void => {
    checkRange(offset, target.length, found.size);
    const descriptor = open();
    for (let done = 0; done < target.length; ) {
      const count = attempt(path, () => readSync(descriptor, target, done, target.length - done, offset + done));
      if (count === 0) throw fileChanged(path);
      done += count;
    }
  };

  return {
    ...rangeOf(path, readInto, 0, found.size),
    close() {
      closed = true;
      if (handle !== undefined) closeSync(handle);
      handle = undefined;
    },
  };
}

/** Bytes that are made on the first read and kept; `file` is what they are made from. */
export function lazyBytes(file: string, length: number, make: () => Uint8Array): ByteSource {
  let made: ByteSource | undefined;
  const readInto: ByteSource['readInto'] = (target, offset) => {
    made ??= memoryBytes(make());
    made.readInto(target, offset);
  };
  return rangeOf(file, readInto, 0, length);
}

function rangeOf(path: string, readFile: ByteSource['readInto'], start: number, size: number): ByteSource {
  const readInto: ByteSource['readInto'] = (target, offset) => {
    checkRange(offset, target.length, size);
    readFile(target, start + offset);
  };
  return {
    length: size,
    readInto,
    read(offset, length, scratch) {
      checkRange(offset, length, size);
      const fits = scratch !== undefined && scratch.length >= length;
      const target = fits ? scratch.subarray(0, length) : allocate(path, length);
      readInto(target, offset);
      return target;
    },
    slice(offset, length) {
      checkRange(offset, length, size);
      return rangeOf(path, readFile, start + offset, length);
    },
  };
}

/** Uninitialized memory of its own; `file` is named when there is not that much. */
export function allocate(file: string, length: number): Uint8Array {
  try {
    return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  } catch {
    throw tooLargeForMemory(file, length);
  }
}

function sameFile(a: Stats, b: Stats): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeMs === b.mtimeMs;
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw cannotRead(path, cause);
  }
}

/** A range outside the source is a fault of the caller, never of the file: readers check lengths first. */
function checkRange(offset: number, length: number, size: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
    throw new RangeError(`bytes ${offset} to ${offset + length} are outside of ${size}`);
  }
}
