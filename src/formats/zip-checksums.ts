/** What fflate leaves to its caller: the checksums of a zip archive's members. */

const END = 0x06054b50;
const END_64 = 0x06064b50;
const ENTRY = 0x02014b50;
const ENTRY_LENGTH = 46;
const UTF8_NAME = 1 << 11;

/**
 * The CRC-32 that the directory at an archive's end states of each member, by name; the last of equal names counts, as
 * in fflate. An archive without a directory that can be followed has none.
 */
export function statedChecksums(archive: Uint8Array): Map<string, number> {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const checksums = new Map<string, number>();
  for (let at = directoryStart(bytes); at + ENTRY_LENGTH <= bytes.length && bytes.readUInt32LE(at) === ENTRY; ) {
    const nameEnd = at + ENTRY_LENGTH + bytes.readUInt16LE(at + 28);
    const encoding = bytes.readUInt16LE(at + 8) & UTF8_NAME ? 'utf8' : 'latin1';
    checksums.set(bytes.toString(encoding, at + ENTRY_LENGTH, nameEnd), bytes.readUInt32LE(at + 16));
    at = nameEnd + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return checksums;
}

/** Offset of the first directory entry; the archive's length where there is none. */
function directoryStart(bytes: Buffer): number {
  const end = bytes.lastIndexOf(Buffer.from(Uint32Array.of(END).buffer));
  if (end < 0 || end + 22 > bytes.length) return bytes.length;
  const start = bytes.readUInt32LE(end + 16);
  if (start !== 0xffffffff) return start;
  // Zip64: a locator of 20 bytes stands before the end and says where the long form of it is.
  const long = end >= 20 ? Number(bytes.readBigUInt64LE(end - 12)) : bytes.length;
  const isLong = long + 56 <= bytes.length && bytes.readUInt32LE(long) === END_64;
  return isLong ? Number(bytes.readBigUInt64LE(long + 48)) : bytes.length;
}
