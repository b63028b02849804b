/**
 * Where a tensor's bytes lie: in memory or in a range of a file. Nothing is read before it is asked for, so a graph of
 * gigabytes costs what its structure costs.
 */
export interface Bytes {
  readonly length: number;
  /** `length` bytes from `offset`; the caller must not write into them. They may lie in `scratch`, if it is large enough. */
  read(offset: number, length: number, scratch?: Uint8Array): Uint8Array;
  /** Fills `target` with the bytes from `offset`. */
  readInto(target: Uint8Array, offset: number): void;
}

export function bytesInMemory(data: Uint8Array): Bytes {
  return {
    length: data.length,
    read: (offset, length) => data.subarray(offset, offset + length),
    readInto: (target, offset) => target.set(data.subarray(offset, offset + target.length)),
  };
}
