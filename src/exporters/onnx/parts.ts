import type { ByteSource } from '../../formats/bytes.js';
import { type Part, partOf } from '../../formats/files.js';

/** Longer stretches of the source file are copied when they are written, not before. */
const READ_AT_ONCE = 1 << 16;

/** Bytes of the source file as they came. */
export function partFrom(source: ByteSource): Part {
  return source.length <= READ_AT_ONCE ? source.read(0, source.length) : partOf(source);
}
