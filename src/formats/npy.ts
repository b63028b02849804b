/**
 * NumPy's array files: .npy (format versions 1 to 3) and .npz (a zip of .npy members, stored or deflated).
 * Sizes in a header are claims: nothing is allocated before they are held against the bytes that are there.
 */
import { unzipSync } from 'fflate';
import { badDataFile, CompressError, messageOf } from '../errors.js';
import { crc32 } from './crc32.js';
import { readLimited } from './limited-read.js';
import { statedChecksums } from './zip-checksums.js';

export type NumericArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array;

export interface NpyArray {
  shape: number[];
  /** In C order. Half precision comes as float32, 64-bit integers as float64, bool as 0 and 1. */
  data: NumericArray;
}

const LARGEST_FILE = 2 ** 30;
const LARGEST_HEADER = 2 ** 16;
const LARGEST_RANK = 32;
const MOST_MEMBERS = 1000;
/** No deflate stream grows by more than this factor (zlib's technical details: 1032 to 1). */
const LARGEST_DEFLATE_RATIO = 1032;

/** Element kinds by NumPy's type letter and size. The buffer is aligned and in the machine's byte order. */
const DECODERS: Record<string, (buffer: ArrayBuffer) => NumericArray> = {
  b1: (buffer) => new Uint8Array(buffer).map((value) => (value === 0 ? 0 : 1)),
  i1: (buffer) => new Int8Array(buffer),
  u1: (buffer) => new Uint8Array(buffer),
  i2: (buffer) => new Int16Array(buffer),
  u2: (buffer) => new Uint16Array(buffer),
  i4: (buffer) => new Int32Array(buffer),
  u4: (buffer) => new Uint32Array(buffer),
  i8: (buffer) => convert(new BigInt64Array(buffer), Float64Array, Number),
  u8: (buffer) => convert(new BigUint64Array(buffer), Float64Array, Number),
  f2: (buffer) => convert(new Uint16Array(buffer), Float32Array, halfToNumber),
  f4: (buffer) => new Float32Array(buffer),
  f8: (buffer) => new Float64Array(buffer),
};

/**
 * Reads an .npy file, or one array of an .npz: its only one, else the first of `names` that it has.
 * @throws CompressError for anything that is no complete numeric array
 */
export async function readArray(file: string, names: readonly string[] = []): Promise<NpyArray> {
  const bytes = await readLimited(file, LARGEST_FILE, 'split it into one array an image');
  if (!isZip(bytes)) return parseNpy(bytes, file);
  const arrays = parseNpz(bytes, file);
  const present = [...arrays.keys()];
  const name = present.length === 1 ? present[0]! : names.find((candidate) => arrays.has(candidate));
  if (name !== undefined) return arrays.get(name)!;
  if (present.length === 0) throw badDataFile(file, 'the archive holds no .npy array; save one with numpy.savez');
  throw badDataFile(
    file,
    `the archive holds ${present.length} arrays (${present.slice(0, 5).join(', ')}); keep one, or name one ${names.join(' or ')}`,
  );
}

/** Parses the bytes of an .npy file. `file` is only for error messages. */
export function parseNpy(bytes: Uint8Array, file: string): NpyArray {
  const { descr, fortranOrder, shape, dataStart } = parseHeader(bytes, file);
  const [, order, kind] = /^([<>|=]?)([a-z]\d+)$/.exec(descr) ?? [];
  const decode = kind === undefined ? undefined : DECODERS[kind];
  if (decode === undefined) {
    throw badDataFile(file, `elements of type "${descr}" are not numbers that can be read; save it as float32`);
  }
  const itemSize = Number(kind!.slice(1));
  const count = checkedCount(shape, (bytes.length - dataStart) / itemSize, file);
  // A copy, because the view must be aligned and its bytes may be swapped.
  const buffer = new ArrayBuffer(count * itemSize);
  new Uint8Array(buffer).set(bytes.subarray(dataStart, dataStart + buffer.byteLength));
  if (order === '>') swapBytes(buffer, itemSize);
  const data = decode(buffer);
  return { shape, data: fortranOrder ? toCOrder(data, shape) : data };
}

/** Parses the bytes of an .npz file into its arrays by name (without `.npy`); other members are passed over. */
export function parseNpz(bytes: Uint8Array, file: string): Map<string, NpyArray> {
  let seen = 0;
  let claimed = 0;
  const wanted = (member: { name: string; size: number; originalSize: number }) => {
    // fflate trusts the count of members, which can be 2^32 in a file of 100 bytes.
    if (++seen > MOST_MEMBERS) throw badDataFile(file, `the archive has more than ${MOST_MEMBERS} members`);
    if (!member.name.endsWith('.npy')) return false;
    claimed += member.originalSize;
    const possible = Math.min(member.size, bytes.length) * LARGEST_DEFLATE_RATIO + 64;
    if (claimed > LARGEST_FILE || member.originalSize > possible) {
      throw badDataFile(
        file,
        `member ${member.name} claims ${member.originalSize} bytes, which is more than can be read`,
      );
    }
    return true;
  };
  try {
    const members = Object.entries(unzipSync(bytes, { filter: wanted }));
    const checksums = statedChecksums(bytes);
    for (const [name, data] of members)
      if (crc32(data) !== checksums.get(name))
        throw badDataFile(file, `member ${name} is damaged, its checksum is wrong; save or download it again`);
    return new Map(members.map(([name, data]) => [name.slice(0, -4), parseNpy(data, `${file}, member ${name}`)]));
  } catch (error) {
    if (error instanceof CompressError) throw error;
    throw badDataFile(file, `is not a complete zip archive (${messageOf(error)}); save or download it again`);
  }
}

/** Writes float32 or uint8 values (C order) as an .npy file, version 1. */
export function encodeNpy(data: Float32Array | Uint8Array, shape: readonly number[]): Uint8Array {
  const descr = data instanceof Float32Array ? '<f4' : '|u1';
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  // The data starts at a multiple of 64 bytes, as NumPy does it.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const prefix = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, length & 0xff, length >> 8]);
  const body = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([prefix, Buffer.from(`${text.padEnd(length - 1)}\n`, 'latin1'), body]);
}

function isZip(bytes: Uint8Array): boolean {
  // PK 3 4 starts a member, PK 5 6 an empty archive.
  return bytes[0] === 0x50 && bytes[1] === 0x4b && (bytes[2] === 3 || bytes[2] === 5);
}

interface Header {
  descr: string;
  fortranOrder: boolean;
  shape: number[];
  dataStart: number;
}

function parseHeader(bytes: Uint8Array, file: string): Header {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < 12 || buffer.toString('latin1', 0, 6) !== '\x93NUMPY') {
    throw badDataFile(file, 'is not an .npy array; save one with numpy.save');
  }
  const version = buffer[6]!;
  if (version < 1 || version > 3)
    throw badDataFile(file, `has .npy format version ${version}; versions 1 to 3 are read`);
  const textStart = version === 1 ? 10 : 12;
  const length = version === 1 ? buffer.readUInt16LE(8) : buffer.readUInt32LE(8);
  if (length > LARGEST_HEADER || textStart + length > buffer.length) {
    throw badDataFile(file, 'is cut short inside its header; save or download it again');
  }
  const text = buffer.toString(version === 3 ? 'utf8' : 'latin1', textStart, textStart + length);
  const descr = /'descr':\s*'([^']{1,16})'/.exec(text)?.[1];
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const dims = /'shape':\s*\(([\d, ]*)\)/.exec(text)?.[1];
  if (/'descr':\s*\[/.test(text)) throw badDataFile(file, 'holds records, not numbers; save one plain array');
  if (descr === undefined || fortran === undefined || dims === undefined) {
    throw badDataFile(file, 'has an .npy header that cannot be understood; save it again with numpy.save');
  }
  const shape = dims
    .split(',')
    .filter((dim) => dim.trim() !== '')
    .map(Number);
  return { descr, fortranOrder: fortran === 'True', shape, dataStart: textStart + length };
}

/** The number of elements of `shape`, which must not be more than `available`. */
function checkedCount(shape: readonly number[], available: number, file: string): number {
  if (shape.length > LARGEST_RANK)
    throw badDataFile(file, `has ${shape.length} dimensions; at most ${LARGEST_RANK} are read`);
  const count = shape.reduce((product, dim) => product * dim, 1);
  if (!(count <= available)) {
    throw badDataFile(
      file,
      `says it holds ${shape.join(' x ')} values but only ${Math.floor(available)} are there; save or download it again`,
    );
  }
  return count;
}

function swapBytes(buffer: ArrayBuffer, itemSize: number): void {
  const bytes = Buffer.from(buffer);
  if (itemSize === 2) bytes.swap16();
  else if (itemSize === 4) bytes.swap32();
  else if (itemSize === 8) bytes.swap64();
}

/** Reorders values in which the first index runs fastest so that the last one does. */
function toCOrder(data: NumericArray, shape: readonly number[]): NumericArray {
  const result = data.slice();
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, dim) => product * dim, 1));
  const index = new Array<number>(shape.length).fill(0);
  let source = 0;
  for (let target = 0; target < result.length; target++) {
    result[target] = data[source]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      source += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      source -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}

/** As `TypedArray.from` with a function, which is twenty times slower on large arrays. */
function convert<From, To extends Float32Array | Float64Array>(
  source: ArrayLike<From>,
  Target: new (length: number) => To,
  value: (element: From) => number,
): To {
  const result = new Target(source.length);
  for (let i = 0; i < source.length; i++) result[i] = value(source[i]!);
  return result;
}

/** IEEE 754 binary16 to a number. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Whether a file's name says that it is a NumPy array. */
export function isArrayName(file: string): boolean {
  return /\.np[yz]$/i.test(file);
}
