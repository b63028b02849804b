import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { chmod, type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type CompressError, cannotWrite, diskFull, noPermission, noSuchFolder, notARegularFile } from '../errors.js';
import { type ByteSource, fileBytes, type Range } from './bytes.js';

/** Bytes whose length is known before they are made. */
export interface LazyPart {
  readonly length: number;
  /** The bytes, whole or in pieces; a piece may be overwritten when the next one is asked for. */
  produce(): Uint8Array | Iterable<Uint8Array>;
}

/** A stretch of a file to be written. */
export type Part = Uint8Array | LazyPart;

export interface Sink {
  write(part: Part): Promise<void>;
}

const PIECE = 1 << 20;

export function totalLength(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** A range of a source as it came, copied through one piece of memory of at most 1 MiB. */
export function partOf(source: ByteSource, range: Range = { start: 0, length: source.length }): LazyPart {
  return {
    length: range.length,
    *produce() {
      const piece = new Uint8Array(Math.min(PIECE, range.length));
      for (let done = 0; done < range.length; done += piece.length) {
        const view = piece.subarray(0, Math.min(piece.length, range.length - done));
        source.readInto(view, range.start + done);
        yield view;
      }
    },
  };
}

/** The bytes of parts one after the other. */
export function joinParts(parts: readonly Part[]): Uint8Array {
  const joined = new Uint8Array(totalLength(parts));
  let at = 0;
  for (const piece of piecesOf(parts)) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/**
 * Writes a file whole or not at all: `fill` writes into a temporary file in the same folder, which takes the target's
 * name when `fill` is done and is removed when it fails or the process is told to end. A link is written through.
 *
 * @throws CompressError when the target cannot be written; what `fill` throws passes through.
 */
export async function writeAtomically(path: string, fill: (sink: Sink) => Promise<void> | void): Promise<void> {
  const { target, mode } = await resolveTarget(path);
  const temporary = join(dirname(target), `.${basename(target).slice(0, 100)}.${randomUUID()}.tmp`);
  const handle = await orExplain(path, open(temporary, 'wx', mode));
  const forget = removeWhenEnded(temporary);
  try {
    const sink = new FileSink(path, handle);
    try {
      await fill(sink);
      await sink.flush();
    } finally {
      await orExplain(path, handle.close());
    }
    await orExplain(path, rename(temporary, target));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    forget();
  }
}

/** Gathers small parts into one piece before they reach the file; large ones go there directly. */
class FileSink implements Sink {
  private readonly gathered = new Uint8Array(PIECE);
  private used = 0;

  constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  async write(part: Part): Promise<void> {
    for (const piece of piecesOf([part])) {
      if (this.used + piece.length > PIECE) await this.flush();
      if (piece.length >= PIECE / 2) {
        await this.flush();
        await this.put(piece);
      } else {
        this.gathered.set(piece, this.used);
        this.used += piece.length;
      }
    }
  }

  async flush(): Promise<void> {
    await this.put(this.gathered.subarray(0, this.used));
    this.used = 0;
  }

  private async put(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await orExplain(this.path, this.handle.write(bytes, done, bytes.length - done));
      done += bytesWritten;
    }
  }
}

function* piecesOf(parts: readonly Part[]): Generator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Uint8Array) {
      yield part;
      continue;
    }
    const produced = part.produce();
    let length = 0;
    for (const piece of produced instanceof Uint8Array ? [produced] : produced) {
      length += piece.length;
      yield piece;
    }
    if (length !== part.length) throw new Error(`a part of ${part.length} bytes came out with ${length}`);
  }
}

/** A finished file, and the path that it is to have. */
export interface Move {
  readonly from: string;
  readonly to: string;
}

/**
 * Moves finished files, in order, over what lies at their paths; modes are kept, and links are written through. None is
 * moved where a path holds anything but a regular file.
 *
 * @throws CompressError when a path cannot be written
 */
export async function moveFiles(moves: readonly Move[]): Promise<void> {
  const resolved = await Promise.all(moves.map(async (move) => ({ ...move, ...(await resolveTarget(move.to)) })));
  for (const { from, to, target, mode } of resolved) {
    if (mode !== undefined) await orExplain(to, chmod(from, mode));
    await rename(from, target).catch(async (cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EXDEV') throw writeFailure(to, cause);
      // A link into another file system: there, names cannot be changed across.
      const source = fileBytes(from);
      await writeAtomically(to, (sink) => sink.write(partOf(source))).finally(() => source.close());
    });
  }
}

/** Renaming over a device or a folder would replace or fail on it; only regular files are replaced, modes kept. */
async function resolveTarget(path: string): Promise<{ target: string; mode?: number }> {
  const existing = await stat(path).catch(() => undefined);
  if (existing === undefined) return { target: path };
  if (!existing.isFile()) throw notARegularFile(path);
  return { target: await orExplain(path, realpath(path)), mode: existing.mode & 0o777 };
}

async function orExplain<T>(path: string, action: Promise<T>): Promise<T> {
  try {
    return await action;
  } catch (cause) {
    throw writeFailure(path, cause as NodeJS.ErrnoException);
  }
}

/** Says why a file could not be written, for the system errors that a user can do something about. */
export function writeFailure(path: string, cause: NodeJS.ErrnoException): CompressError {
  switch (cause.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return diskFull(path);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return noPermission(path);
    case 'ENOENT':
    case 'ENOTDIR':
      return noSuchFolder(path);
    default:
      return cannotWrite(path, cause);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const unfinished = new Set<string>();

/**
 * Removes a file, or a folder with all that is in it, when the process ends before the returned function was called. A
 * signal that the program handles itself is left to it.
 */
export function removeWhenEnded(path: string): () => void {
  if (unfinished.size === 0) {
    process.on('exit', removeUnfinished);
    for (const signal of SIGNALS) process.on(signal, onSignal);
  }
  unfinished.add(path);
  return () => {
    unfinished.delete(path);
    if (unfinished.size === 0) stopListening();
  };
}

function removeUnfinished(): void {
  for (const path of unfinished) rmSync(path, { recursive: true, force: true });
}

function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  removeUnfinished();
  // A listener takes the place of the signal's default; give it back.
  stopListening();
  process.kill(process.pid, signal);
}

function stopListening(): void {
  process.off('exit', removeUnfinished);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
