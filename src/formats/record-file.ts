import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import { endianness } from 'node:os';
import { cannotRead, notARecordFile, notARegularFile } from '../errors.js';
import { allocate } from './bytes.js';
import { crc32 } from './crc32.js';
import { writeFailure } from './files.js';

/** One array of every record; f16 is handed over as Float32Array. */
export interface Section {
  readonly name: string;
  readonly dtype: 'f32' | 'f16' | 'u8';
  /** Number of elements. */
  readonly length: number;
}

export type SectionValues = Float32Array | Uint8Array;

/** Half precision for whole arrays of equal length. */
interface HalfArrays {
  encode(values: Float32Array, codes: Uint16Array): void;
  decode(codes: Uint16Array, values: Float32Array): void;
}

export interface RecordFileOptions {
  /** Digest of all that the records depend on. */
  readonly key: string;
  readonly sections: readonly Section[];
  /** Number of records. */
  readonly count: number;
  readonly halves: HalfArrays;
}

/**
 * Records of one size on disk, written and read one at a time in any order. The file may be cut, damaged or left in the
 * middle of a write: what is read is what was written, or nothing.
 */
export interface RecordFile {
  /** Whether the record was written and is not known to be damaged; its values are checked when they are read. */
  has(index: number): boolean;
  /**
   * Writes every section of a record, in place of the record that may be there.
   * @throws CompressError `disk-full` and the like; the record is then absent and the others stay as they are
   */
  write(index: number, values: ReadonlyMap<string, SectionValues>): void;
  /**
   * One section, in `into` where that is given, or undefined where the record is absent or damaged: from then on `has`
   * says so too, and the content of `into` is undefined.
   * @throws CompressError when the disk cannot be read
   */
  read<Values extends SectionValues>(index: number, section: string, into: Values): Values | undefined;
  read(index: number, section: string): SectionValues | undefined;
  close(): void;
}

/**
 * Layout, all numbers in the machine's byte order: the header (this line, a line of JSON with all that the file depends
 * on, filled with spaces to a multiple of 8 bytes), then `count` records. A record is its head (the mark, the CRC-32 of
 * each section, the CRC-32 of the head), then its sections, each filled to a multiple of 8 bytes. The header and the
 * index go into the CRC of a head, so that a record of another file or place is never taken for this one.
 */
const MAGIC = 'unet-compress records\n';
const VERSION = 1;
/** First word of the head of a record that was written to its end. */
const WRITTEN = 0x44524352;

const ELEMENT_BYTES = { f32: 4, f16: 2, u8: 1 } as const;

/** Bytes that a record takes on disk. */
export function recordBytes(sections: readonly Section[]): number {
  return sections.reduce((sum, section) => sum + paddedBytes(section), headBytes(sections));
}

function headBytes(sections: readonly Section[]): number {
  return toEight((sections.length + 2) * 4);
}

function paddedBytes({ dtype, length }: Section): number {
  return toEight(ELEMENT_BYTES[dtype] * length);
}

function toEight(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/**
 * Opens a record file. One with the same key, sections and count goes on with the records that it has; one of another
 * key or form, or with a damaged header, is replaced by an empty one. Memory is that of one record.
 *
 * @throws CompressError when the path is a link or not a file, holds anything but a record file, or cannot be written
 */
export function openRecordFile(path: string, options: RecordFileOptions): RecordFile {
  const header = headerOf(options);
  const kept = openExisting(path, header);
  return new DiskRecords(path, kept ?? create(path, header), header, options);
}

function headerOf({ key, sections, count }: RecordFileOptions): Buffer {
  const named = sections.map(({ name, dtype, length }) => ({ name, dtype, length }));
  const form = { version: VERSION, byteOrder: endianness(), key, count, sections: named };
  const text = Buffer.from(`${MAGIC}${JSON.stringify(form)}\n`);
  return Buffer.concat([text], toEight(text.length)).fill(' ', text.length);
}

/** The descriptor of a file that begins with this header; one with another header is removed and gives undefined. */
function openExisting(path: string, header: Buffer): number | undefined {
  const found = orExplain(path, () => lstatSync(path, { throwIfNoEntry: false }));
  if (found === undefined) return undefined;
  if (!found.isFile()) throw notARegularFile(path);
  // A link that took the file's place since then is not followed; Windows has no such flag.
  const descriptor = orExplain(path, () => openSync(path, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0)));
  try {
    const start = Buffer.alloc(header.length);
    const length = readFully(path, descriptor, start, 0);
    if (length === header.length && start.equals(header)) return descriptor;
    // The header may have been cut anywhere, down to nothing.
    const magic = start.toString('latin1', 0, Math.min(length, MAGIC.length));
    if (!MAGIC.startsWith(magic)) throw notARecordFile(path);
    orExplain(path, () => unlinkSync(path));
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  closeSync(descriptor);
  return undefined;
}

function create(path: string, header: Buffer): number {
  const descriptor = orExplain(path, () => openSync(path, 'wx+'));
  try {
    writeFully(path, descriptor, header, 0);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    rmSync(path, { force: true });
    throw error;
  }
}

/** A section and where it lies in its record. */
interface PlacedSection extends Section {
  readonly position: number;
  readonly start: number;
  readonly bytes: number;
}

class DiskRecords implements RecordFile {
  private readonly sections = new Map<string, PlacedSection>();
  private readonly damaged = new Set<number>();
  private readonly head: Uint32Array;
  private readonly indexWord = new Uint32Array(1);
  private readonly headerCrc: number;
  private readonly recordsStart: number;
  private readonly recordLength: number;
  /** Where the values of a record end; what may follow only fills it up. */
  private readonly valuesEnd: number;
  /** Holds one record while it is written, one section while it is read. */
  private readonly scratch: Uint8Array;
  private closed = false;

  constructor(
    private readonly path: string,
    private readonly descriptor: number,
    header: Buffer,
    private readonly options: RecordFileOptions,
  ) {
    const { sections } = options;
    let start = headBytes(sections);
    let end = start;
    for (const [position, section] of sections.entries()) {
      const bytes = ELEMENT_BYTES[section.dtype] * section.length;
      this.sections.set(section.name, { ...section, position, start, bytes });
      end = start + bytes;
      start += paddedBytes(section);
    }
    this.head = new Uint32Array(sections.length + 2);
    this.headerCrc = crc32(header);
    this.recordsStart = header.length;
    this.recordLength = start;
    this.valuesEnd = end;
    this.scratch = allocate(path, start);
  }

  has(index: number): boolean {
    // A cut file may hold the head of a record and not all of its values.
    return this.readHead(index) && fstatSync(this.descriptor).size >= this.placeOf(index) + this.valuesEnd;
  }

  write(index: number, values: ReadonlyMap<string, SectionValues>): void {
    const record = this.scratch.fill(0);
    this.head[0] = WRITTEN;
    for (const section of this.sections.values()) {
      const bytes = record.subarray(section.start, section.start + section.bytes);
      this.encode(section, values.get(section.name), bytes);
      this.head[section.position + 1] = crc32(bytes);
    }
    this.head[this.head.length - 1] = this.headCrc(index);
    const at = this.placeOf(index);
    const contentStart = headBytes(this.options.sections);
    // The old head goes first and the new one comes last: a process that ends in between leaves no record.
    writeFully(this.path, this.descriptor, record.subarray(0, contentStart), at);
    writeFully(this.path, this.descriptor, record.subarray(contentStart), at + contentStart);
    writeFully(this.path, this.descriptor, bytesOf(this.head), at);
    this.damaged.delete(index);
  }

  read<Values extends SectionValues>(index: number, name: string, into?: Values): Values | undefined {
    const section = this.sections.get(name);
    if (section === undefined) throw new RangeError(`${this.path} has no section ${name}`);
    if (!this.readHead(index)) return undefined;
    const values = into ?? (section.dtype === 'u8' ? new Uint8Array(section.length) : new Float32Array(section.length));
    this.check(section, values);
    // Half precision is decoded from the scratch; anything else is read to where it belongs.
    const bytes = section.dtype === 'f16' ? this.scratch.subarray(0, section.bytes) : bytesOf(values);
    const length = readFully(this.path, this.descriptor, bytes, this.placeOf(index) + section.start);
    if (length < section.bytes || crc32(bytes) !== this.head[section.position + 1]) {
      this.damaged.add(index);
      return undefined;
    }
    if (section.dtype === 'f16') this.options.halves.decode(codesOf(bytes), values as Float32Array);
    return values as Values;
  }

  close(): void {
    if (!this.closed) closeSync(this.descriptor);
    this.closed = true;
  }

  /** Reads the head of a record into `head`; says whether it is that of a record written to its end. */
  private readHead(index: number): boolean {
    const at = this.placeOf(index);
    if (this.damaged.has(index)) return false;
    const head = bytesOf(this.head);
    return (
      readFully(this.path, this.descriptor, head, at) === head.length &&
      this.head[0] === WRITTEN &&
      this.head.at(-1) === this.headCrc(index)
    );
  }

  private headCrc(index: number): number {
    this.indexWord[0] = index;
    return crc32(bytesOf(this.head.subarray(0, -1)), crc32(bytesOf(this.indexWord), this.headerCrc));
  }

  private placeOf(index: number): number {
    if (this.closed) throw new Error(`${this.path} is used after it was closed`);
    if (!(Number.isInteger(index) && index >= 0 && index < this.options.count)) {
      throw new RangeError(`record ${index} is not one of the ${this.options.count} of ${this.path}`);
    }
    return this.recordsStart + index * this.recordLength;
  }

  private encode(section: PlacedSection, values: SectionValues | undefined, bytes: Uint8Array): void {
    this.check(section, values);
    if (section.dtype === 'f16') this.options.halves.encode(values as Float32Array, codesOf(bytes));
    else bytes.set(bytesOf(values));
  }

  private check(section: Section, values: SectionValues | undefined): asserts values is SectionValues {
    const fits = section.dtype === 'u8' ? values instanceof Uint8Array : values instanceof Float32Array;
    if (!fits || values?.length !== section.length) {
      throw new RangeError(
        `section ${section.name} of ${this.path} takes ${section.length} values of ${section.dtype}`,
      );
    }
  }
}

function bytesOf(values: Uint32Array | SectionValues): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Sections start at multiples of 8 bytes in memory of its own, as a 16-bit view demands. */
function codesOf(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
}

/** Fills `target`, or as much of it as there is before the end of the file; returns how many bytes came. */
function readFully(path: string, descriptor: number, target: Uint8Array, offset: number): number {
  let done = 0;
  while (done < target.length) {
    let count: number;
    try {
      count = readSync(descriptor, target, done, target.length - done, offset + done);
    } catch (cause) {
      throw cannotRead(path, cause);
    }
    if (count === 0) break;
    done += count;
  }
  return done;
}

function writeFully(path: string, descriptor: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += orExplain(path, () => writeSync(descriptor, bytes, done, bytes.length - done, offset + done));
  }
}

function orExplain<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw writeFailure(path, cause as NodeJS.ErrnoException);
  }
}
