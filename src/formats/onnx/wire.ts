import { notAModel, truncatedModel } from '../../errors.js';
import { allocate, type ByteSource, type Range } from '../bytes.js';

/** A 64-bit integer: a number where it is exact, else a bigint. */
export type Integer = number | bigint;

/** Wire types of protocol buffers; 3 and 4 (groups) are refused. */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** One field of a message: its number, its wire type, and where its payload lies. */
export interface Field extends Range {
  readonly number: number;
  readonly wire: number;
  /** The value of a varint, unsigned as it is on the wire; 0 for the other wire types. */
  readonly value: Integer;
  /** Tag, length and payload: what to copy to keep the field as it came. */
  readonly whole: Range;
}

/** Messages within messages, as in the C++ library; a control-flow branch takes three levels. */
const DEEPEST = 100;
/** Names and the like; a longer one is a damaged length or a payload that is not for reading. */
const LONGEST_TEXT = 1 << 24;
/** After a jump little is read, since the next jump is near; while reading goes on, windows grow. */
const SMALLEST_WINDOW = 1 << 13;
const LARGEST_WINDOW = 1 << 18;
const LONGEST_VARINT = 10;

/**
 * Walks protocol buffer messages in a byte source without loading them: a window of at most 256 kB moves over the
 * bytes, and payloads that nobody asks for are jumped over. Every length is checked against the enclosing message.
 */
export class WireReader {
  private readonly decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  private buffer = new Uint8Array();
  private windowStart = 0;
  private windowLength = 0;
  private depth = 0;

  constructor(
    private readonly source: ByteSource,
    readonly file: string,
  ) {}

  /** The whole source as one message. */
  get everything(): Range {
    return { start: 0, length: this.source.length };
  }

  /**
   * Calls `visit` for each field of a message, which answers whether it knows the field; returns where the fields that
   * it does not know lie, in their order.
   *
   * @throws CompressError when the bytes are no message, are cut short, or nest too deeply.
   */
  walk(message: Range, visit: (field: Field) => boolean): Range[] {
    if (++this.depth > DEEPEST) throw this.invalid(`its messages nest deeper than ${DEEPEST} levels`);
    const unknown: Range[] = [];
    const end = message.start + message.length;
    for (let at = message.start; at < end; ) {
      const field = this.fieldAt(at, end);
      if (!visit(field)) unknown.push(field.whole);
      at = field.start + field.length;
    }
    this.depth--;
    return unknown;
  }

  /** A signed 64-bit integer field. */
  integer(field: Field): Integer {
    this.expect(field, WIRE.varint);
    return signed(field.value);
  }

  /** An integer field that must be exact as a number, e.g. a version or an enumeration. */
  smallInteger(field: Field): number {
    const value = this.integer(field);
    if (typeof value === 'bigint') throw this.invalid(`the number at byte ${field.start} is out of range`);
    return value;
  }

  float(field: Field): number {
    this.expect(field, WIRE.fixed32);
    return this.view(field).getFloat32(0, true);
  }

  text(field: Field): string {
    this.expect(field, WIRE.bytes);
    if (field.length > LONGEST_TEXT) {
      throw this.invalid(`the text at byte ${field.start} has ${field.length} bytes`);
    }
    try {
      return this.decoder.decode(this.borrow(field));
    } catch {
      throw this.invalid(`the text at byte ${field.start} is not UTF-8`);
    }
  }

  /** A length-delimited field's payload as a copy. */
  bytes(field: Field): Uint8Array {
    this.expect(field, WIRE.bytes);
    return this.borrow(field).slice();
  }

  /** A length-delimited field's payload as a place. */
  range(field: Field): Range {
    this.expect(field, WIRE.bytes);
    return { start: field.start, length: field.length };
  }

  /** Appends the signed integers of a repeated field, be it packed or one at a time. */
  appendIntegers(field: Field, list: Integer[]): void {
    this.eachVarint(field, (value) => list.push(signed(value)));
  }

  /** Appends the floats of a repeated field, be it packed or one at a time. */
  appendFloats(field: Field, list: number[]): void {
    this.checkFixed(field, WIRE.fixed32, 4);
    const view = this.view(field);
    for (let at = 0; at < field.length; at += 4) list.push(view.getFloat32(at, true));
  }

  /** Visits the varints of a repeated field, packed or one at a time, unsigned as they are on the wire. */
  eachVarint(field: Field, visit: (value: Integer) => void): void {
    if (field.wire === WIRE.varint) {
      visit(field.value);
      return;
    }
    this.expect(field, WIRE.bytes);
    const end = field.start + field.length;
    for (let at = field.start; at < end; ) {
      const { value, next } = this.varintAt(at, end);
      visit(value);
      at = next;
    }
  }

  /** Checks that a repeated field holds whole items of `size` bytes, packed or one at a time with wire type `wire`. */
  checkFixed(field: Field, wire: number, size: number): void {
    if (field.wire !== wire) this.expect(field, WIRE.bytes);
    if (field.length % size !== 0) {
      throw this.invalid(`the ${field.length} bytes at byte ${field.start} are not whole items of ${size}`);
    }
  }

  invalid(detail: string): Error {
    return notAModel(this.file, detail);
  }

  private fieldAt(at: number, end: number): Field {
    const tag = this.varintAt(at, end);
    const number = typeof tag.value === 'number' ? Math.floor(tag.value / 8) : 0;
    if (number < 1 || number >= 1 << 29) throw this.invalid(`byte ${at} starts no field`);
    const wire = (tag.value as number) % 8;
    let value: Integer = 0;
    let start = tag.next;
    let length: number;
    if (wire === WIRE.varint) {
      const varint = this.varintAt(start, end);
      value = varint.value;
      length = varint.next - start;
    } else if (wire === WIRE.bytes) {
      const varint = this.varintAt(start, end);
      start = varint.next;
      length = Number(varint.value);
    } else if (wire === WIRE.fixed64 || wire === WIRE.fixed32) {
      length = wire === WIRE.fixed64 ? 8 : 4;
    } else {
      throw this.invalid(`the field at byte ${at} has the unknown wire type ${wire}`);
    }
    if (start + length > end) throw this.tooLong(at, start + length);
    return { number, wire, value, start, length, whole: { start: at, length: start + length - at } };
  }

  private varintAt(at: number, end: number): { value: Integer; next: number } {
    const available = Math.min(LONGEST_VARINT, end - at);
    const base = this.focus(at, available);
    let low = 0;
    let scale = 1;
    // Seven bytes give 49 bits, which a number holds exactly.
    for (let i = 0; i < available && i < 7; i++) {
      const byte = this.buffer[base + i]!;
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return { value: low, next: at + i + 1 };
      scale *= 128;
    }
    let wide = BigInt(low);
    for (let i = 7; i < available; i++) {
      const byte = this.buffer[base + i]!;
      wide |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) return { value: narrow(BigInt.asUintN(64, wide)), next: at + i + 1 };
    }
    if (available < LONGEST_VARINT) throw this.tooLong(at, at + available + 1);
    throw this.invalid(`the number at byte ${at} does not end`);
  }

  private expect(field: Field, wire: number): void {
    if (field.wire !== wire) {
      throw this.invalid(`field ${field.number} at byte ${field.whole.start} has wire type ${field.wire}, not ${wire}`);
    }
  }

  private tooLong(at: number, needed: number): Error {
    if (needed > this.source.length) return truncatedModel(this.file, needed, this.source.length);
    return this.invalid(`the field at byte ${at} is longer than the message it lies in`);
  }

  private view(range: Range): DataView {
    const bytes = this.borrow(range);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Bytes that are valid until the next read. */
  private borrow({ start, length }: Range): Uint8Array {
    if (length <= LARGEST_WINDOW) {
      const base = this.focus(start, length);
      return this.buffer.subarray(base, base + length);
    }
    const bytes = allocate(this.file, length);
    this.source.readInto(bytes, start);
    return bytes;
  }

  /** Moves the window so that it holds the bytes asked for; returns where they are in the buffer. */
  private focus(start: number, length: number): number {
    const windowEnd = this.windowStart + this.windowLength;
    if (start < this.windowStart || start + length > windowEnd) {
      const goesOn = start >= this.windowStart && start <= windowEnd;
      const wanted = Math.max(length, goesOn ? 2 * this.windowLength : 0, SMALLEST_WINDOW);
      const size = Math.min(wanted, LARGEST_WINDOW, this.source.length - start);
      if (size > this.buffer.length) this.buffer = new Uint8Array(size);
      this.source.readInto(this.buffer.subarray(0, size), start);
      this.windowStart = start;
      this.windowLength = size;
    }
    return start - this.windowStart;
  }
}

function signed(value: Integer): Integer {
  return typeof value === 'number' ? value : narrow(BigInt.asIntN(64, value));
}

function narrow(value: bigint): Integer {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
