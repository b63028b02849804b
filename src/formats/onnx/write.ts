import { basename } from 'node:path';
import protobuf from 'protobufjs/minimal.js';
import { type Part, totalLength, writeAtomically } from '../files.js';
import { MessageWriter } from './message-writer.js';
import {
  ATTRIBUTE,
  AttributeType,
  DIMENSION,
  ENTRY,
  EXTERNAL,
  GRAPH,
  MODEL,
  NODE,
  OPERATOR_SET,
  SHAPE,
  TENSOR,
  TENSOR_TYPE,
  TYPE,
  VALUE_INFO,
} from './schema.js';
import type { Integer } from './wire.js';

/** A message's payload as it came. */
export interface RawMessage {
  raw: Part;
}

export interface ModelToWrite {
  irVersion: number;
  /** Version of each operator set by its domain. */
  opsets: Iterable<readonly [domain: string, version: number]>;
  producerName?: string;
  producerVersion?: string;
  graph: GraphToWrite;
  functions?: readonly RawMessage[];
  metadata?: Iterable<readonly [key: string, value: string]>;
  /** Whole fields as they came, tag and all. */
  other?: readonly Part[];
}

interface GraphToWrite {
  name: string;
  nodes: readonly (RawMessage | NodeToWrite)[];
  initializers: readonly (RawMessage | TensorToWrite)[];
  sparseInitializers?: readonly RawMessage[];
  inputs: readonly (RawMessage | ValueInfoToWrite)[];
  outputs: readonly (RawMessage | ValueInfoToWrite)[];
  valueInfo?: readonly (RawMessage | ValueInfoToWrite)[];
  other?: readonly Part[];
}

export interface NodeToWrite {
  name?: string;
  opType: string;
  domain?: string;
  overload?: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: readonly (RawMessage | AttributeToWrite)[];
  other?: readonly Part[];
}

/** The key of the value says the attribute's type. */
export type AttributeToWrite = { name: string } & AttributeValue;

type AttributeValue =
  | { i: Integer }
  | { f: number }
  | { s: string | Uint8Array }
  | { t: RawMessage | TensorToWrite }
  | { g: RawMessage | GraphToWrite }
  | { ints: readonly Integer[] }
  | { floats: readonly number[] }
  | { strings: readonly (string | Uint8Array)[] };

export interface TensorToWrite {
  name: string;
  dims: readonly number[];
  /** A `TensorProto.DataType`. */
  dataType: number;
  /** Little-endian elements in row order. */
  data: Part;
}

export interface ValueInfoToWrite {
  name: string;
  /** A `TensorProto.DataType`. */
  elemType: number;
  /** Null for an unknown rank; a dimension is a number, a symbol, or null for unknown. */
  dims: readonly (number | string | null)[] | null;
}

export interface EncodedOnnx {
  model: Part[];
  /** The content of the file with the weights; empty when they are in the model. */
  externalData: Part[];
}

/** The format's own limit on a file. */
const LARGEST_MODEL = 2 ** 31 - 1;
/** The specification recommends to align external data to pages, so that it can be mapped. */
const PAGE = 4096;
/** Smaller initializers stay in the model, where shape inference needs them. */
const SMALLEST_EXTERNAL = 1024;

/**
 * The bytes of an ONNX file as parts whose lengths are known; payloads are not produced.
 *
 * @param externalLocation name of a file beside the model that takes the larger initializers; by default there is none
 */
export function encodeOnnx(model: ModelToWrite, externalLocation?: string): EncodedOnnx {
  const store = externalLocation === undefined ? undefined : new ExternalStore(externalLocation);
  const message = new MessageWriter();
  const others = new OtherFields(model.other, message);
  message
    .integer(MODEL.irVersion, model.irVersion)
    .optionalText(MODEL.producerName, model.producerName)
    .optionalText(MODEL.producerVersion, model.producerVersion);
  others.appendBelow(MODEL.graph);
  message.payload(MODEL.graph, encodeGraph(model.graph, store));
  for (const [domain, version] of model.opsets) {
    const operatorSet = new MessageWriter()
      .optionalText(OPERATOR_SET.domain, domain)
      .integer(OPERATOR_SET.version, version)
      .finish();
    message.payload(MODEL.opsetImport, operatorSet);
  }
  others.appendBelow(MODEL.metadata);
  for (const entry of model.metadata ?? []) message.payload(MODEL.metadata, encodeEntry(entry));
  others.appendBelow(MODEL.functions);
  for (const { raw } of model.functions ?? []) message.payload(MODEL.functions, [raw]);
  others.appendBelow(Number.POSITIVE_INFINITY);
  return { model: message.finish(), externalData: store?.parts ?? [] };
}

/**
 * Writes an ONNX file, part by part, whole or not at all. Weights go into `<path>.data` on request, and when the file
 * would pass the 2 GiB that the format allows.
 *
 * @returns the files written
 * @throws CompressError when a file cannot be written.
 */
export async function writeOnnx(
  path: string,
  model: ModelToWrite,
  options: { externalData?: boolean } = {},
): Promise<string[]> {
  let encoded = encodeOnnx(model);
  if (options.externalData || totalLength(encoded.model) > LARGEST_MODEL) {
    encoded = encodeOnnx(model, `${basename(path)}.data`);
  }
  const { externalData } = encoded;
  const dataPath = `${path}.data`;
  await writeAtomically(path, async (sink) => {
    for (const part of encoded.model) await sink.write(part);
    if (externalData.length === 0) return;
    // The model takes its name last, so that it never points to data that is not there.
    await writeAtomically(dataPath, async (dataSink) => {
      for (const part of externalData) await dataSink.write(part);
    });
  });
  return externalData.length === 0 ? [path] : [path, dataPath];
}

/** Lays tensors one after the other, each at the start of a page. */
class ExternalStore {
  readonly parts: Part[] = [];
  private length = 0;

  constructor(readonly location: string) {}

  /** @returns the offset of the data */
  add(data: Part): number {
    const padding = (PAGE - (this.length % PAGE)) % PAGE;
    if (padding > 0) this.parts.push(new Uint8Array(padding));
    const offset = this.length + padding;
    this.parts.push(data);
    this.length = offset + data.length;
    return offset;
  }
}

/**
 * Fields that are written as they came. Writers of the format put fields in the order of their numbers, so a file that
 * nothing has changed comes back byte for byte when these stand at their places.
 */
class OtherFields {
  private readonly fields: readonly { readonly number: number; readonly part: Part }[];
  private done = 0;

  constructor(
    parts: readonly Part[] = [],
    private readonly message: MessageWriter,
  ) {
    this.fields = parts
      .map((part) => ({ number: fieldNumber(part), part }))
      .sort((a, b) => (a.number === b.number ? 0 : a.number - b.number));
  }

  /** Appends the fields that are left with numbers below this one. */
  appendBelow(number: number): void {
    for (; this.done < this.fields.length; this.done++) {
      const field = this.fields[this.done]!;
      if (field.number >= number && number !== Number.POSITIVE_INFINITY) return;
      this.message.append(field.part);
    }
  }
}

/** The number in a field's tag; a part that is not in memory counts as the last. */
function fieldNumber(part: Part): number {
  if (!(part instanceof Uint8Array)) return Number.POSITIVE_INFINITY;
  return protobuf.Reader.create(part).uint32() >>> 3;
}

function encodeGraph(graph: RawMessage | GraphToWrite, store?: ExternalStore): Part[] {
  if ('raw' in graph) return [graph.raw];
  const message = new MessageWriter();
  const others = new OtherFields(graph.other, message);
  for (const node of graph.nodes) message.payload(GRAPH.node, encodeNode(node, store));
  message.text(GRAPH.name, graph.name);
  for (const tensor of graph.initializers) message.payload(GRAPH.initializer, encodeTensor(tensor, store));
  others.appendBelow(GRAPH.input);
  for (const value of graph.inputs) message.payload(GRAPH.input, encodeValueInfo(value));
  for (const value of graph.outputs) message.payload(GRAPH.output, encodeValueInfo(value));
  for (const value of graph.valueInfo ?? []) message.payload(GRAPH.valueInfo, encodeValueInfo(value));
  others.appendBelow(GRAPH.sparseInitializer);
  for (const { raw } of graph.sparseInitializers ?? []) message.payload(GRAPH.sparseInitializer, [raw]);
  others.appendBelow(Number.POSITIVE_INFINITY);
  return message.finish();
}

function encodeNode(node: RawMessage | NodeToWrite, store?: ExternalStore): Part[] {
  if ('raw' in node) return [node.raw];
  const message = new MessageWriter();
  for (const name of node.inputs) message.text(NODE.input, name);
  for (const name of node.outputs) message.text(NODE.output, name);
  message.optionalText(NODE.name, node.name).text(NODE.opType, node.opType);
  for (const attribute of node.attributes) message.payload(NODE.attribute, encodeAttribute(attribute, store));
  message.optionalText(NODE.domain, node.domain).optionalText(NODE.overload, node.overload);
  for (const field of node.other ?? []) message.append(field);
  return message.finish();
}

function encodeAttribute(attribute: RawMessage | AttributeToWrite, store?: ExternalStore): Part[] {
  if ('raw' in attribute) return [attribute.raw];
  const message = new MessageWriter().text(ATTRIBUTE.name, attribute.name);
  const type = appendValue(message, attribute, store);
  return message.integer(ATTRIBUTE.type, type).finish();
}

function appendValue(message: MessageWriter, value: AttributeValue, store?: ExternalStore): number {
  if ('f' in value) {
    message.float(ATTRIBUTE.f, value.f);
    return AttributeType.FLOAT;
  }
  if ('i' in value) {
    message.integer(ATTRIBUTE.i, value.i);
    return AttributeType.INT;
  }
  if ('s' in value) {
    message.payload(ATTRIBUTE.s, [bytesOf(value.s)]);
    return AttributeType.STRING;
  }
  if ('t' in value) {
    // Only initializers go into a file of their own: runtimes do not agree on attributes that do.
    message.payload(ATTRIBUTE.t, encodeTensor(value.t));
    return AttributeType.TENSOR;
  }
  if ('g' in value) {
    message.payload(ATTRIBUTE.g, encodeGraph(value.g, store));
    return AttributeType.GRAPH;
  }
  if ('floats' in value) {
    for (const item of value.floats) message.float(ATTRIBUTE.floats, item);
    return AttributeType.FLOATS;
  }
  if ('ints' in value) {
    for (const item of value.ints) message.integer(ATTRIBUTE.ints, item);
    return AttributeType.INTS;
  }
  for (const item of value.strings) message.payload(ATTRIBUTE.strings, [bytesOf(item)]);
  return AttributeType.STRINGS;
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? new TextEncoder().encode(text) : text;
}

function encodeTensor(tensor: RawMessage | TensorToWrite, store?: ExternalStore): Part[] {
  if ('raw' in tensor) return [tensor.raw];
  const { name, dims, dataType, data } = tensor;
  const message = new MessageWriter();
  for (const dim of dims) message.integer(TENSOR.dims, dim);
  message.integer(TENSOR.dataType, dataType).text(TENSOR.name, name);
  if (store === undefined || data.length < SMALLEST_EXTERNAL) return message.payload(TENSOR.rawData, [data]).finish();
  const offset = store.add(data);
  for (const entry of [
    ['location', store.location],
    ['offset', String(offset)],
    ['length', String(data.length)],
  ] as const) {
    message.payload(TENSOR.externalData, encodeEntry(entry));
  }
  return message.integer(TENSOR.dataLocation, EXTERNAL).finish();
}

function encodeEntry([key, value]: readonly [key: string, value: string]): Part[] {
  return new MessageWriter().text(ENTRY.key, key).text(ENTRY.value, value).finish();
}

function encodeValueInfo(value: RawMessage | ValueInfoToWrite): Part[] {
  if ('raw' in value) return [value.raw];
  const tensorType = new MessageWriter().integer(TENSOR_TYPE.elemType, value.elemType);
  if (value.dims !== null) {
    const shape = new MessageWriter();
    for (const dim of value.dims) shape.payload(SHAPE.dim, encodeDimension(dim));
    tensorType.payload(TENSOR_TYPE.shape, shape.finish());
  }
  const type = new MessageWriter().payload(TYPE.tensor, tensorType.finish()).finish();
  return new MessageWriter().text(VALUE_INFO.name, value.name).payload(VALUE_INFO.type, type).finish();
}

function encodeDimension(dim: number | string | null): Part[] {
  if (dim === null) return [];
  const message = new MessageWriter();
  return typeof dim === 'number'
    ? message.integer(DIMENSION.value, dim).finish()
    : message.text(DIMENSION.symbol, dim).finish();
}
