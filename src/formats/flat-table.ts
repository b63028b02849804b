/**
 * A table in a FlatBuffers file, whose fields are known by their place in the schema. The package's own reader takes
 * bytes beyond the end for zeros; here they are a RangeError.
 */
export class FlatTable {
  private readonly fields: number;
  private readonly fieldsLength: number;

  constructor(
    private readonly view: DataView,
    readonly at: number,
  ) {
    this.fields = at - view.getInt32(at, true);
    this.fieldsLength = view.getUint16(this.fields, true);
  }

  static root(view: DataView): FlatTable {
    return new FlatTable(view, view.getUint32(0, true));
  }

  /** Where the field's value, or the reference to it, lies; null where the field is left out. */
  field(slot: number): number | null {
    const entry = 4 + 2 * slot;
    const offset = entry + 2 <= this.fieldsLength ? this.view.getUint16(this.fields + entry, true) : 0;
    return offset === 0 ? null : this.at + offset;
  }

  /** A value, read by `read` where it lies. */
  value<T>(slot: number, read: (view: DataView, at: number) => T, absent: T): T {
    const at = this.field(slot);
    return at === null ? absent : read(this.view, at);
  }

  /** Where a vector's first element lies, and how many there are, each of `size` bytes. */
  vector(slot: number, size: number): { start: number; length: number } {
    const at = this.field(slot);
    if (at === null) return { start: 0, length: 0 };
    const start = at + this.view.getUint32(at, true) + 4;
    const length = this.view.getUint32(start - 4, true);
    if (start + length * size > this.view.byteLength) throw new RangeError('a vector goes on beyond the end');
    return { start, length };
  }

  integers(slot: number): number[] {
    const { start, length } = this.vector(slot, 4);
    return Array.from({ length }, (_, index) => this.view.getInt32(start + 4 * index, true));
  }

  tables(slot: number): FlatTable[] {
    const { start, length } = this.vector(slot, 4);
    return Array.from({ length }, (_, index) => {
      const at = start + 4 * index;
      return new FlatTable(this.view, at + this.view.getUint32(at, true));
    });
  }

  text(slot: number): string {
    const { start, length } = this.vector(slot, 1);
    return new TextDecoder().decode(new Uint8Array(this.view.buffer, this.view.byteOffset + start, length));
  }
}
