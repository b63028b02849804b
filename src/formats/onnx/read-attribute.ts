import type { Range } from '../bytes.js';
import { readTensor } from './read-tensor.js';
import { ATTRIBUTE, AttributeType } from './schema.js';
import type { OnnxAttribute, OnnxGraph } from './structures.js';
import type { Field, WireReader } from './wire.js';

/** Longer strings are data of some other tool, and are left where they are. */
const LONGEST_STRING = 1 << 20;

const TYPE_OF_FIELD: ReadonlyMap<number, number> = new Map([
  [ATTRIBUTE.f, AttributeType.FLOAT],
  [ATTRIBUTE.i, AttributeType.INT],
  [ATTRIBUTE.s, AttributeType.STRING],
  [ATTRIBUTE.t, AttributeType.TENSOR],
  [ATTRIBUTE.g, AttributeType.GRAPH],
  [ATTRIBUTE.sparseTensor, AttributeType.SPARSE_TENSOR],
  [ATTRIBUTE.typeProto, AttributeType.TYPE_PROTO],
  [ATTRIBUTE.floats, AttributeType.FLOATS],
  [ATTRIBUTE.ints, AttributeType.INTS],
  [ATTRIBUTE.strings, AttributeType.STRINGS],
  [ATTRIBUTE.tensors, AttributeType.TENSORS],
  [ATTRIBUTE.graphs, AttributeType.GRAPHS],
  [ATTRIBUTE.sparseTensors, AttributeType.SPARSE_TENSORS],
  [ATTRIBUTE.typeProtos, AttributeType.TYPE_PROTOS],
]);

type GraphReader = (reader: WireReader, range: Range) => OnnxGraph;

/** @param readGraph reads a subgraph */
export function readAttribute(reader: WireReader, raw: Range, readGraph: GraphReader): OnnxAttribute {
  const attribute: OnnxAttribute = { name: '', type: AttributeType.UNDEFINED, raw };
  const present = new Set<number>();
  reader.walk(raw, (field) => {
    const type = TYPE_OF_FIELD.get(field.number);
    if (type !== undefined) present.add(type);
    if (field.number === ATTRIBUTE.name) attribute.name = reader.text(field);
    else if (field.number === ATTRIBUTE.type) attribute.type = reader.smallInteger(field);
    else if (field.number === ATTRIBUTE.reference) attribute.reference = reader.text(field) || undefined;
    else readValue(reader, field, attribute, readGraph);
    return true;
  });
  // The first versions of the format had no type field.
  const [inferred] = present;
  attribute.type ||= inferred ?? AttributeType.UNDEFINED;
  if (attribute.reference === undefined && !present.has(attribute.type)) fillDefault(attribute);
  return attribute;
}

function readValue(reader: WireReader, field: Field, attribute: OnnxAttribute, readGraph: GraphReader): void {
  switch (field.number) {
    case ATTRIBUTE.f:
      attribute.f = reader.float(field);
      break;
    case ATTRIBUTE.i:
      attribute.i = reader.integer(field);
      break;
    case ATTRIBUTE.s:
      if (field.length <= LONGEST_STRING) attribute.s = reader.bytes(field);
      break;
    case ATTRIBUTE.t:
      attribute.t = readTensor(reader, reader.range(field));
      break;
    case ATTRIBUTE.g:
      attribute.g = readGraph(reader, reader.range(field));
      break;
    case ATTRIBUTE.floats:
      attribute.floats ??= [];
      reader.appendFloats(field, attribute.floats);
      break;
    case ATTRIBUTE.ints:
      attribute.ints ??= [];
      reader.appendIntegers(field, attribute.ints);
      break;
    case ATTRIBUTE.strings:
      attribute.strings ??= [];
      attribute.strings.push(reader.bytes(field));
      break;
    case ATTRIBUTE.tensors:
      attribute.tensors ??= [];
      attribute.tensors.push(readTensor(reader, reader.range(field)));
      break;
    case ATTRIBUTE.graphs:
      attribute.graphs ??= [];
      attribute.graphs.push(readGraph(reader, reader.range(field)));
      break;
  }
}

/** An empty list leaves no field in the file, and some writers leave out a scalar that is zero. */
function fillDefault(attribute: OnnxAttribute): void {
  switch (attribute.type) {
    case AttributeType.FLOAT:
      attribute.f = 0;
      break;
    case AttributeType.INT:
      attribute.i = 0;
      break;
    case AttributeType.STRING:
      attribute.s = new Uint8Array();
      break;
    case AttributeType.FLOATS:
      attribute.floats = [];
      break;
    case AttributeType.INTS:
      attribute.ints = [];
      break;
    case AttributeType.STRINGS:
      attribute.strings = [];
      break;
    case AttributeType.TENSORS:
      attribute.tensors = [];
      break;
    case AttributeType.GRAPHS:
      attribute.graphs = [];
      break;
  }
}
