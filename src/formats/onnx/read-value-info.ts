import type { Range } from '../bytes.js';
import { DIMENSION, SHAPE, TENSOR_TYPE, TYPE, VALUE_INFO } from './schema.js';
import type { OnnxValueInfo } from './structures.js';
import type { Field, WireReader } from './wire.js';

export function readValueInfo(reader: WireReader, raw: Range): OnnxValueInfo {
  const value: OnnxValueInfo = { name: '', elemType: null, dims: null, raw };
  reader.walk(raw, (field) => {
    if (field.number === VALUE_INFO.name) value.name = reader.text(field);
    if (field.number === VALUE_INFO.type) readType(reader, field, value);
    return true;
  });
  return value;
}

function readType(reader: WireReader, type: Field, value: OnnxValueInfo): void {
  reader.walk(reader.range(type), (field) => {
    if (field.number !== TYPE.tensor) return true;
    reader.walk(reader.range(field), (part) => {
      if (part.number === TENSOR_TYPE.elemType) value.elemType = reader.smallInteger(part) || null;
      if (part.number === TENSOR_TYPE.shape) value.dims = readShape(reader, part);
      return true;
    });
    return true;
  });
}

function readShape(reader: WireReader, shape: Field): (number | string | null)[] {
  const dims: (number | string | null)[] = [];
  reader.walk(reader.range(shape), (field) => {
    if (field.number === SHAPE.dim) dims.push(readDimension(reader, field));
    return true;
  });
  return dims;
}

/** Some exporters write an unknown dimension as a negative number or an empty symbol. */
function readDimension(reader: WireReader, dimension: Field): number | string | null {
  let dim: number | string | null = null;
  reader.walk(reader.range(dimension), (field) => {
    if (field.number === DIMENSION.value) {
      const value = reader.smallInteger(field);
      dim = value < 0 ? null : value;
    }
    if (field.number === DIMENSION.symbol) dim = reader.text(field) || null;
    return true;
  });
  return dim;
}
