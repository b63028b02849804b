import proto from 'onnx-proto';
import ort from 'onnxruntime-node';
import type { Graph, Node } from '../../src/ir/graph.js';
import { createRandom } from '../../src/math/random.js';

const { onnx } = proto;
const { AttributeType } = onnx.AttributeProto;

/** An attribute in short: a number or a list of them is integer unless wrapped in `f` or `floats`. */
type ShortAttribute =
  | number
  | string
  | readonly number[]
  | { readonly f: number }
  | { readonly floats: readonly number[] }
  | { readonly t: proto.onnx.ITensorProto }
  | { readonly g: proto.onnx.IGraphProto }
  | { readonly reference: string; readonly type: number };

export type ShortNode = readonly [
  op: string,
  inputs: string,
  outputs: string,
  attributes?: Readonly<Record<string, ShortAttribute>>,
  domain?: string,
];

export interface ShortModel {
  readonly opset: number;
  readonly irVersion?: number;
  /** Shapes by name; inputs are float32. */
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  /** Names, blanks between them. */
  readonly outputs: string;
  readonly nodes: readonly ShortNode[];
  readonly constants?: Readonly<Record<string, proto.onnx.ITensorProto>>;
  /** Fields of the model that are not said otherwise. */
  readonly more?: proto.onnx.IModelProto;
  readonly moreGraph?: proto.onnx.IGraphProto;
}

/** The bytes of an ONNX file, as onnx-proto writes it. */
export function modelBytes(model: ShortModel): Uint8Array {
  const { opset, irVersion = 8, inputs, outputs, nodes, constants = {}, more = {}, moreGraph = {} } = model;
  return onnx.ModelProto.encode({
    irVersion,
    opsetImport: [{ version: opset }],
    ...more,
    graph: {
      name: 'short',
      node: nodes.map(nodeProto),
      initializer: Object.entries(constants).map(([name, tensor]) => ({ ...tensor, name })),
      input: Object.entries(inputs).map(([name, dims]) => valueInfo(name, dims)),
      output: outputs.split(' ').map((name) => ({ name })),
      ...moreGraph,
    },
  }).finish();
}

export function valueInfo(name: string, dims: readonly (number | string)[], elemType = 1) {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

/** Names with blanks between them; `-` is an absent operand. */
export function nodeProto(node: ShortNode, index = 0): proto.onnx.INodeProto {
  const [opType, inputs, outputs, attributes = {}, domain] = node;
  const names = (text: string) => text.split(' ').flatMap((name) => (name === '' ? [] : [name === '-' ? '' : name]));
  return {
    opType,
    name: `${opType}_${index}`,
    input: names(inputs),
    output: names(outputs),
    attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
    ...(domain ? { domain } : {}),
  };
}

function attributeProto(name: string, value: ShortAttribute): proto.onnx.IAttributeProto {
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: value };
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if ('f' in value) return { name, type: AttributeType.FLOAT, f: value.f };
  if ('floats' in value) return { name, type: AttributeType.FLOATS, floats: [...value.floats] };
  if ('t' in value) return { name, type: AttributeType.TENSOR, t: value.t };
  if ('g' in value) return { name, type: AttributeType.GRAPH, g: value.g };
  if ('reference' in value) return { name, type: value.type, refAttrName: value.reference };
  return { name, type: AttributeType.INTS, ints: [...value] };
}

export function floatTensor(values: readonly number[], dims: readonly number[] = [values.length]) {
  return { dims: [...dims], dataType: 1, rawData: new Uint8Array(Float32Array.from(values).buffer) };
}

export function int64Tensor(values: readonly number[], dims: readonly number[] = [values.length]) {
  return { dims: [...dims], dataType: 7, rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) };
}

/** A float tensor of seeded numbers with a normal distribution. */
export function randomTensor(dims: readonly number[], seed = 1) {
  return floatTensor(normals(count(dims), seed), dims);
}

export function positiveTensor(dims: readonly number[], seed = 1) {
  return floatTensor(
    normals(count(dims), seed).map((value) => Math.abs(value) + 0.1),
    dims,
  );
}

function normals(length: number, seed: number): number[] {
  const random = createRandom(seed);
  return Array.from({ length }, () => random.normal());
}

function count(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}

export interface Result {
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

/** Runs a model in ONNX Runtime on seeded inputs of the given shapes; an open dimension is 2. */
export async function runOnnx(
  model: Uint8Array | string,
  inputs: ShortModel['inputs'],
): Promise<Record<string, Result>> {
  const options: ort.InferenceSession.SessionOptions = { logSeverityLevel: 4, intraOpNumThreads: 1 };
  const session = await (typeof model === 'string'
    ? ort.InferenceSession.create(model, options)
    : ort.InferenceSession.create(model, options));
  const feeds = Object.entries(inputs).map(([name, shape], i) => {
    const dims = shape.map((size) => (typeof size === 'number' ? size : 2));
    return [name, new ort.Tensor('float32', Float32Array.from(normals(count(dims), i + 7)), dims)] as const;
  });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { dims, data }]) => [
      name,
      { dims, values: Array.from(data as Iterable<number | bigint>, Number) },
    ]),
  );
}

/** The largest difference between two results as a part of the range of the first; infinite where shapes differ. */
export function differenceOf(a: Readonly<Record<string, Result>>, b: Readonly<Record<string, Result>>): number {
  if (Object.keys(a).sort().join() !== Object.keys(b).sort().join()) return Number.POSITIVE_INFINITY;
  return Math.max(...Object.keys(a).map((name) => tensorDifference(a[name], b[name])));
}

function tensorDifference(a: Result, b: Result): number {
  if (a.dims.join() !== b.dims.join()) return Number.POSITIVE_INFINITY;
  let [low, high, worst] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  a.values.forEach((value, i) => {
    low = Math.min(low, value);
    high = Math.max(high, value);
    if (!Object.is(value, b.values[i])) worst = Math.max(worst, Math.abs(value - b.values[i]));
  });
  return worst / Math.max(high - low, 1e-6);
}

/** The graph as if a pass had made each of its nodes that has a meaning: nothing can be written back as it came. */
export function madeAnew(graph: Graph): Graph {
  return graph.with({ nodes: graph.nodes.map((node): Node => (node.op === 'Opaque' ? node : without(node))) });
}

function without({ origin: _, ...node }: Node): Node {
  return node;
}
