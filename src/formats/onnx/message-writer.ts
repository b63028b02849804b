import protobuf from 'protobufjs/minimal.js';
import { type Part, totalLength } from '../files.js';
import { type Integer, WIRE } from './wire.js';

/** Smaller parts are copied, which is cheaper than a long list of parts. */
const LARGEST_COPIED = 4096;

/** Builds a protocol buffer message as a list of parts, so that a large payload is known by its length only. */
export class MessageWriter {
  private readonly parts: Part[] = [];
  private writer = protobuf.Writer.create();
  private pending = false;

  integer(field: number, value: Integer): this {
    // protobufjs takes a number or the digits of one.
    this.tag(field, WIRE.varint).int64(typeof value === 'bigint' ? value.toString() : value);
    return this;
  }

  float(field: number, value: number): this {
    this.tag(field, WIRE.fixed32).float(value);
    return this;
  }

  text(field: number, value: string): this {
    this.tag(field, WIRE.bytes).string(value);
    return this;
  }

  /** A text field that is left out when empty. */
  optionalText(field: number, value: string | undefined): this {
    return value ? this.text(field, value) : this;
  }

  /** A length-delimited field with this payload. */
  payload(field: number, payload: readonly Part[]): this {
    this.tag(field, WIRE.bytes).uint64(totalLength(payload));
    for (const part of payload) this.append(part);
    return this;
  }

  /** A whole field as it came, tag and all. */
  append(part: Part): this {
    if (part instanceof Uint8Array && part.length <= LARGEST_COPIED) {
      this.writer.raw(part);
      this.pending = true;
    } else {
      this.flush();
      this.parts.push(part);
    }
    return this;
  }

  finish(): Part[] {
    this.flush();
    return this.parts;
  }

  private tag(field: number, wire: number): protobuf.Writer {
    this.pending = true;
    return this.writer.uint32(field * 8 + wire);
  }

  private flush(): void {
    if (!this.pending) return;
    this.parts.push(this.writer.finish());
    this.writer = protobuf.Writer.create();
    this.pending = false;
  }
}
