import { badTensor } from '../../errors.js';
import { allocate, type ByteSource, lazyBytes } from '../bytes.js';
import type { ExternalData } from './external-data.js';
import { DATA_TYPES, type DataTypeFacts, TENSOR } from './schema.js';
import type { OnnxTensor } from './structures.js';
import { type Integer, WIRE, WireReader } from './wire.js';

const { int64Data, uint64Data, int32Data, floatData, doubleData, stringData } = TENSOR;

/**
 * A tensor's elements as little-endian bytes in row order, wherever they lie; sub-byte elements are packed from the low
 * end of a byte. Nothing is read yet, except that elements in typed fields are decoded on the first read and kept.
 *
 * @param source the bytes that the tensor's structure was read from
 * @throws CompressError when shape, type and data do not go together, or the file with the data cannot be used.
 */
export function tensorBytes(tensor: OnnxTensor, source: ByteSource, external: ExternalData): ByteSource {
  const { file } = external;
  const { location } = tensor;
  const length = byteLength(tensor, file);
  switch (location.kind) {
    case 'external':
      return external.open(tensor.name, location, length);
    case 'raw':
      checkLength(tensor, file, location.length, length);
      return source.slice(location.start, length);
    case 'typed': {
      const entries = length / entrySize(tensor, file);
      // An entry takes at least a byte, so a shape that the file cannot fill is found before memory is taken.
      if (entries > tensor.raw.length) throw tooFewEntries(tensor, file, tensor.raw.length, entries);
      return lazyBytes(file, length, () => decodeTyped(tensor, source, file, length));
    }
  }
}

/** `tensorBytes`, read. */
export function materialize(tensor: OnnxTensor, source: ByteSource, external: ExternalData): Uint8Array {
  const bytes = tensorBytes(tensor, source, external);
  return bytes.read(0, bytes.length);
}

/** The elements of a string tensor, undecoded. */
export function readStrings(tensor: OnnxTensor, source: ByteSource, file: string): Uint8Array[] {
  const strings: Uint8Array[] = [];
  const reader = new WireReader(source, file);
  reader.walk(tensor.raw, (field) => {
    if (field.number === stringData) strings.push(reader.bytes(field));
    return true;
  });
  const count = elementCount(tensor, file);
  if (strings.length !== count) throw tooFewEntries(tensor, file, strings.length, count);
  return strings;
}

function elementCount({ name, dims }: OnnxTensor, file: string): number {
  if (dims.includes(0)) return 0;
  const count = dims.reduce((product, dim) => product * dim, 1);
  // A product that is not exact has already passed the largest exact one, and grows from there.
  if (!Number.isSafeInteger(count * 16)) throw badTensor(file, name, `has the impossible shape [${dims.join(', ')}]`);
  return count;
}

function byteLength(tensor: OnnxTensor, file: string): number {
  return Math.ceil((elementCount(tensor, file) * numericType(tensor, file).bits) / 8);
}

function numericType({ name, dataType }: OnnxTensor, file: string): DataTypeFacts {
  const type = DATA_TYPES.get(dataType);
  if (type === undefined) throw badTensor(file, name, `has the unknown data type ${dataType}`);
  if (type.field === stringData) throw badTensor(file, name, 'holds text where numbers are needed');
  return type;
}

function entrySize(tensor: OnnxTensor, file: string): number {
  const { bits, field } = numericType(tensor, file);
  if (field === floatData) return 4;
  if (field === doubleData) return 8;
  return Math.max(1, bits / 8);
}

function checkLength({ name, dims }: OnnxTensor, file: string, length: number, needed: number): void {
  if (length === needed) return;
  throw badTensor(file, name, `has ${length} bytes of data where its shape [${dims.join(', ')}] needs ${needed}`);
}

function tooFewEntries({ name, dims }: OnnxTensor, file: string, entries: number, needed: number): Error {
  const detail = `has ${entries} values at most where its shape [${dims.join(', ')}] needs ${needed}`;
  return badTensor(file, name, detail);
}

function decodeTyped(tensor: OnnxTensor, source: ByteSource, file: string, length: number): Uint8Array {
  const { field: number } = numericType(tensor, file);
  const size = entrySize(tensor, file);
  const bytes = allocate(file, length);
  const view = new DataView(bytes.buffer);
  const reader = new WireReader(source, file);
  let filled = 0;
  reader.walk(tensor.raw, (field) => {
    if (field.number !== number) return true;
    if (number === int32Data || number === int64Data || number === uint64Data) {
      reader.eachVarint(field, (value) => {
        if (filled < length) storeInteger(view, filled, size, value);
        filled += size;
      });
    } else {
      reader.checkFixed(field, size === 4 ? WIRE.fixed32 : WIRE.fixed64, size);
      if (filled + field.length <= length) source.readInto(bytes.subarray(filled, filled + field.length), field.start);
      filled += field.length;
    }
    return true;
  });
  checkLength(tensor, file, filled, length);
  return bytes;
}

/** The low bytes of a varint, which hold negative numbers as two's complement of 64 bits. */
function storeInteger(view: DataView, at: number, size: number, value: Integer): void {
  if (size === 8) view.setBigUint64(at, BigInt(value), true);
  else {
    const low = typeof value === 'number' ? value : Number(BigInt.asUintN(32, value));
    if (size === 4) view.setUint32(at, low, true);
    else if (size === 2) view.setUint16(at, low, true);
    else view.setUint8(at, low);
  }
}
