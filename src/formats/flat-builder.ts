import { Builder, type Offset } from 'flatbuffers';

/** A field of a table: its number in the schema, its kind, and its value. */
export type Field = readonly [
  slot: number,
  kind: 'byte' | 'int32' | 'float' | 'bool' | 'offset',
  value: number | boolean,
];

/** Writes tables by the numbers of their fields, children before parents, without code made from a schema. */
export class FlatBuilder {
  private readonly builder = new Builder(1 << 16);

  constructor() {
    this.builder.forceDefaults(true);
  }

  /** A field whose offset is 0 is left out. */
  table(fields: readonly Field[]): Offset {
    const { builder } = this;
    builder.startObject(fields.reduce((most, [slot]) => Math.max(most, slot + 1), 0));
    for (const [slot, kind, value] of fields) {
      const number = Number(value);
      if (kind === 'int32') builder.addFieldInt32(slot, number, 0);
      else if (kind === 'float') builder.addFieldFloat32(slot, number, 0);
      else if (kind !== 'offset') builder.addFieldInt8(slot, number, 0);
      else if (number !== 0) builder.addFieldOffset(slot, number, 0);
    }
    return builder.endObject();
  }

  text(value: string): Offset {
    return this.builder.createString(value);
  }

  offsets(values: readonly Offset[]): Offset {
    return this.vector(values, (value) => this.builder.addOffset(value));
  }

  integers(values: readonly number[]): Offset {
    return this.vector(values, (value) => this.builder.addInt32(value));
  }

  floats(values: readonly number[]): Offset {
    return this.vector(values, (value) => this.builder.addFloat32(value));
  }

  /** A vector of bytes that has none. */
  noBytes(): Offset {
    this.builder.startVector(1, 0, 4);
    return this.builder.endVector();
  }

  finish(root: Offset, identifier: string): Uint8Array {
    this.builder.finish(root, identifier);
    return this.builder.asUint8Array();
  }

  private vector<T>(values: readonly T[], add: (value: T) => void): Offset {
    this.builder.startVector(4, values.length, 4);
    for (const value of values.toReversed()) add(value);
    return this.builder.endVector();
  }
}
