import type { ByteSource, Range } from '../bytes.js';
import { readAttribute } from './read-attribute.js';
import { readTensor } from './read-tensor.js';
import { readValueInfo } from './read-value-info.js';
import { ENTRY, FUNCTION, GRAPH, MODEL, NODE, OPERATOR_SET, SPARSE_TENSOR } from './schema.js';
import type { OnnxFunction, OnnxGraph, OnnxModel, OnnxNode, OnnxSparseTensor } from './structures.js';
import { type Field, WireReader } from './wire.js';

/** The first version of the format that requires operator set imports; before it there was one operator set. */
const FIRST_WITH_OPSETS = 3;

/**
 * The structure of an ONNX file. Weights are not read: a tensor says where its bytes lie.
 *
 * @param file name of the source in error messages
 * @throws CompressError when the bytes are no ONNX model, or are cut short.
 */
export function readOnnx(source: ByteSource, file: string): OnnxModel {
  const reader = new WireReader(source, file);
  let irVersion: number | undefined;
  let graph: OnnxGraph | undefined;
  const model = {
    opsets: new Map<string, number>(),
    producerName: '',
    producerVersion: '',
    functions: [] as OnnxFunction[],
    metadata: [] as [string, string][],
  };
  const other = reader.walk(reader.everything, (field) => {
    switch (field.number) {
      case MODEL.irVersion:
        irVersion = reader.smallInteger(field);
        return true;
      case MODEL.producerName:
        model.producerName = reader.text(field);
        return true;
      case MODEL.producerVersion:
        model.producerVersion = reader.text(field);
        return true;
      case MODEL.graph:
        if (graph !== undefined) throw reader.invalid('it holds two graphs');
        graph = readGraph(reader, reader.range(field));
        return true;
      case MODEL.opsetImport:
        readOperatorSet(reader, field, model.opsets);
        return true;
      case MODEL.metadata:
        model.metadata.push(readEntry(reader, field));
        return true;
      case MODEL.functions:
        model.functions.push(readFunction(reader, reader.range(field)));
        return true;
      default:
        return false;
    }
  });
  if (irVersion === undefined) throw reader.invalid('it says no version of the ONNX format');
  if (graph === undefined) throw reader.invalid('it holds no graph');
  if (model.opsets.size === 0) {
    if (irVersion >= FIRST_WITH_OPSETS) throw reader.invalid('it names no operator set');
    model.opsets.set('', 1);
  }
  return { ...model, irVersion, graph, other };
}

function readGraph(reader: WireReader, range: Range): OnnxGraph {
  const graph: Omit<OnnxGraph, 'other'> = {
    name: '',
    nodes: [],
    initializers: [],
    sparseInitializers: [],
    inputs: [],
    outputs: [],
    valueInfo: [],
  };
  const other = reader.walk(range, (field) => {
    switch (field.number) {
      case GRAPH.node:
        graph.nodes.push(readNode(reader, reader.range(field)));
        return true;
      case GRAPH.name:
        graph.name = reader.text(field);
        return true;
      case GRAPH.initializer:
        graph.initializers.push(readTensor(reader, reader.range(field)));
        return true;
      case GRAPH.sparseInitializer:
        graph.sparseInitializers.push(readSparseTensor(reader, reader.range(field)));
        return true;
      case GRAPH.input:
        graph.inputs.push(readValueInfo(reader, reader.range(field)));
        return true;
      case GRAPH.output:
        graph.outputs.push(readValueInfo(reader, reader.range(field)));
        return true;
      case GRAPH.valueInfo:
        graph.valueInfo.push(readValueInfo(reader, reader.range(field)));
        return true;
      default:
        return false;
    }
  });
  return { ...graph, other };
}

function readNode(reader: WireReader, raw: Range): OnnxNode {
  const node: Omit<OnnxNode, 'other'> = {
    name: '',
    opType: '',
    domain: '',
    overload: '',
    inputs: [],
    outputs: [],
    attributes: new Map(),
    implicitInputs: [],
    raw,
  };
  const other = reader.walk(raw, (field) => {
    switch (field.number) {
      case NODE.input:
        node.inputs.push(reader.text(field));
        return true;
      case NODE.output:
        node.outputs.push(reader.text(field));
        return true;
      case NODE.name:
        node.name = reader.text(field);
        return true;
      case NODE.opType:
        node.opType = reader.text(field);
        return true;
      case NODE.domain:
        node.domain = standardDomain(reader.text(field));
        return true;
      case NODE.overload:
        node.overload = reader.text(field);
        return true;
      case NODE.attribute:
        addAttribute(reader, field, node.attributes);
        return true;
      default:
        return false;
    }
  });
  node.implicitInputs = implicitInputsOf(node);
  return { ...node, other };
}

function addAttribute(reader: WireReader, field: Field, attributes: OnnxNode['attributes']): void {
  const attribute = readAttribute(reader, reader.range(field), readGraph);
  if (attributes.has(attribute.name)) throw reader.invalid(`a node has two attributes "${attribute.name}"`);
  attributes.set(attribute.name, attribute);
}

function implicitInputsOf(node: Omit<OnnxNode, 'other'>): string[] {
  const names = new Set<string>();
  for (const { g, graphs } of node.attributes.values()) {
    for (const graph of [...(g ? [g] : []), ...(graphs ?? [])]) {
      for (const name of freeNames(graph)) names.add(name);
    }
  }
  return [...names];
}

/** Names that a graph uses and does not define. */
function freeNames(graph: OnnxGraph): string[] {
  const defined = new Set(['']);
  for (const { name } of [...graph.inputs, ...graph.initializers, ...graph.sparseInitializers]) defined.add(name);
  for (const node of graph.nodes) for (const name of node.outputs) defined.add(name);
  const used = graph.nodes.flatMap((node) => [...node.inputs, ...node.implicitInputs]);
  return [...used, ...graph.outputs.map(({ name }) => name)].filter((name) => !defined.has(name));
}

function readSparseTensor(reader: WireReader, raw: Range): OnnxSparseTensor {
  let name = '';
  reader.walk(raw, (field) => {
    if (field.number === SPARSE_TENSOR.values) name = readTensor(reader, reader.range(field)).name;
    return true;
  });
  return { name, raw };
}

function readFunction(reader: WireReader, raw: Range): OnnxFunction {
  const result: OnnxFunction = {
    name: '',
    domain: '',
    overload: '',
    inputs: [],
    outputs: [],
    attributes: [],
    defaults: new Map(),
    opsets: new Map(),
    nodes: [],
    raw,
  };
  reader.walk(raw, (field) => {
    switch (field.number) {
      case FUNCTION.name:
        result.name = reader.text(field);
        break;
      case FUNCTION.domain:
        result.domain = reader.text(field);
        break;
      case FUNCTION.overload:
        result.overload = reader.text(field);
        break;
      case FUNCTION.input:
        result.inputs.push(reader.text(field));
        break;
      case FUNCTION.output:
        result.outputs.push(reader.text(field));
        break;
      case FUNCTION.attribute:
        result.attributes.push(reader.text(field));
        break;
      case FUNCTION.defaults:
        addAttribute(reader, field, result.defaults);
        break;
      case FUNCTION.opsetImport:
        readOperatorSet(reader, field, result.opsets);
        break;
      case FUNCTION.node:
        result.nodes.push(readNode(reader, reader.range(field)));
        break;
    }
    return true;
  });
  return result;
}

function readOperatorSet(reader: WireReader, operatorSet: Field, opsets: Map<string, number>): void {
  let domain = '';
  let version = 0;
  reader.walk(reader.range(operatorSet), (field) => {
    if (field.number === OPERATOR_SET.domain) domain = reader.text(field);
    if (field.number === OPERATOR_SET.version) version = reader.smallInteger(field);
    return true;
  });
  opsets.set(standardDomain(domain), version);
}

/** The standard domain has two names; the shorter one is kept. */
function standardDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}

function readEntry(reader: WireReader, entry: Field): [key: string, value: string] {
  const texts: [string, string] = ['', ''];
  reader.walk(reader.range(entry), (field) => {
    if (field.number === ENTRY.key) texts[0] = reader.text(field);
    if (field.number === ENTRY.value) texts[1] = reader.text(field);
    return true;
  });
  return texts;
}
