import * as zlib from 'node:zlib';

/** Node has its own from 20.15 on, in vector instructions; the table is for the earlier ones that are supported. */
const builtIn = (zlib as { crc32?: typeof zlib.crc32 }).crc32;

/** CRC-32 as in zip and PNG (polynomial 0xedb88320); `start` goes on from the value of the bytes before. */
export const crc32: (bytes: Uint8Array, start?: number) => number = builtIn ?? crc32ByTable;

let table: Uint32Array | undefined;

/** One table of 256 entries, a byte at a time (Sarwate 1988). */
export function crc32ByTable(bytes: Uint8Array, start = 0): number {
  table ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
    return remainder;
  });
  let remainder = ~start;
  for (let index = 0; index < bytes.length; index++) {
    remainder = table[(remainder ^ bytes[index]!) & 0xff]! ^ (remainder >>> 8);
  }
  return ~remainder >>> 0;
}
