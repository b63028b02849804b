import type { Range } from '../bytes.js';
import { DATA_TYPES, ENTRY, EXTERNAL, TENSOR } from './schema.js';
import type { OnnxTensor, TensorLocation } from './structures.js';
import { type Field, type Integer, WIRE, type WireReader } from './wire.js';

/** The last run of a typed field of a tensor, and how many there are. */
interface TypedRuns {
  last: Field;
  count: number;
}

const TYPED_FIELDS: readonly number[] = [
  TENSOR.floatData,
  TENSOR.int32Data,
  TENSOR.stringData,
  TENSOR.int64Data,
  TENSOR.doubleData,
  TENSOR.uint64Data,
];

/** Reads what a TensorProto says about its data, not the data. */
export function readTensor(reader: WireReader, raw: Range): OnnxTensor {
  const tensor = { name: '', dims: [] as number[], dataType: 0, raw };
  const typed = new Map<number, TypedRuns>();
  const external = new Map<string, string>();
  let rawData: Range | undefined;
  let isExternal = false;
  reader.walk(raw, (field) => {
    switch (field.number) {
      case TENSOR.dims:
        reader.eachVarint(field, (value) => tensor.dims.push(dimension(reader, field, value)));
        break;
      case TENSOR.dataType:
        tensor.dataType = reader.smallInteger(field);
        break;
      case TENSOR.name:
        tensor.name = reader.text(field);
        break;
      case TENSOR.rawData:
        rawData = reader.range(field);
        break;
      case TENSOR.externalData:
        readExternalEntry(reader, field, external);
        break;
      case TENSOR.dataLocation:
        isExternal = reader.smallInteger(field) === EXTERNAL;
        break;
      default:
        if (TYPED_FIELDS.includes(field.number)) {
          typed.set(field.number, { last: field, count: (typed.get(field.number)?.count ?? 0) + 1 });
        }
    }
    return true;
  });
  const location = isExternal
    ? externalLocation(reader, tensor.name, external)
    : embeddedLocation(reader, tensor, rawData, typed);
  return { ...tensor, location };
}

function dimension(reader: WireReader, field: Field, value: Integer): number {
  if (typeof value === 'number') return value;
  throw reader.invalid(`a tensor's dimension at byte ${field.start} is out of range`);
}

function embeddedLocation(
  reader: WireReader,
  { dataType, raw }: Omit<OnnxTensor, 'location'>,
  rawData: Range | undefined,
  typed: ReadonlyMap<number, TypedRuns>,
): TensorLocation {
  if (rawData !== undefined) return { kind: 'raw', ...rawData };
  const field = DATA_TYPES.get(dataType)?.field;
  const runs = field === undefined ? undefined : typed.get(field);
  if (field === undefined || runs === undefined) return { kind: 'raw', start: raw.start, length: 0 };
  // One packed run of floats or doubles is little-endian on the wire: the same as raw data.
  const isFixed = field === TENSOR.floatData || field === TENSOR.doubleData;
  if (isFixed && runs.count === 1 && runs.last.wire === WIRE.bytes) return { kind: 'raw', ...reader.range(runs.last) };
  return { kind: 'typed', field };
}

function readExternalEntry(reader: WireReader, entry: Field, external: Map<string, string>): void {
  let key = '';
  let value = '';
  reader.walk(reader.range(entry), (field) => {
    if (field.number === ENTRY.key) key = reader.text(field);
    if (field.number === ENTRY.value) value = reader.text(field);
    return true;
  });
  external.set(key, value);
}

function externalLocation(reader: WireReader, name: string, external: ReadonlyMap<string, string>): TensorLocation {
  const count = (key: string): number | null => {
    const text = external.get(key);
    if (text === undefined || text === '') return null;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw reader.invalid(`tensor "${name}" has the external ${key} "${text}"`);
    return value;
  };
  const location = external.get('location');
  if (!location) throw reader.invalid(`tensor "${name}" lies in another file and does not name it`);
  return { kind: 'external', location, offset: count('offset') ?? 0, length: count('length') };
}
