import { createHash } from 'node:crypto';
import { type AttributeValue, type Graph, type Node, OPAQUE } from './graph.js';
import { Tensor } from './tensor.js';
import { isFloat, isInteger, type ValueType } from './types.js';

/** Constants of up to this many elements are printed in full; larger ones as a digest of their bytes. */
const PRINTED_IN_FULL = 8;

/**
 * The text form of a graph, for golden tests and `--dump`:
 *
 *     graph tiny(%x: f32[n,1,h,w]) {
 *       %w = const f32[4,1,3,3] sha256:0b5e…
 *       %c = Conv(%x, %w) {pads=[1,1,1,1]} : f32[n,4,h,w]
 *       return %c
 *     }
 */
export function printGraph(graph: Graph): string {
  const inputs = graph.inputs.map((name) => `${value(name)}: ${printType(graph.type(name))}`);
  const lines = [`graph ${identifier(graph.name)}(${inputs.join(', ')}) {`];
  for (const [name, tensor] of graph.constants) lines.push(`  ${value(name)} = const ${printTensor(tensor)}`);
  for (const node of graph.nodes) lines.push(`  ${printNode(graph, node)}`);
  lines.push(`  return ${graph.outputs.map(value).join(', ')}`, '}');
  return `${lines.join('\n')}\n`;
}

function printNode(graph: Graph, node: Node): string {
  const meant = node.foreign ?? node.origin;
  const op = meant && node.op === OPAQUE ? `${OPAQUE}.${meant.op}` : node.op;
  const attributes = Object.entries(node.attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, held]) => `${name}=${printAttribute(held)}`);
  const types = node.outputs.map((output) => (output === '' ? '_' : printType(graph.type(output))));
  return [
    `${node.outputs.map(value).join(', ')} =`,
    `${op}(${node.inputs.map(value).join(', ')})`,
    ...(node.captures?.length ? [`reads(${node.captures.map(value).join(', ')})`] : []),
    ...(attributes.length ? [`{${attributes.join(', ')}}`] : []),
    `: ${types.join(', ')}`,
  ].join(' ');
}

function printAttribute(held: AttributeValue): string {
  if (held instanceof Tensor) return printTensor(held);
  return Array.isArray(held) ? `[${held.map(printScalar).join()}]` : printScalar(held as number | string);
}

function printScalar(held: number | string): string {
  return typeof held === 'number' ? printNumber(held) : JSON.stringify(held);
}

function printTensor(tensor: Tensor): string {
  const type = printType({ dtype: tensor.dtype, shape: tensor.shape });
  if (tensor.size <= PRINTED_IN_FULL && hasNumbers(tensor)) return `${type} {${printElements(tensor).join(', ')}}`;
  const hash = createHash('sha256');
  for (const chunk of tensor.chunks()) hash.update(chunk);
  return `${type} sha256:${hash.digest('hex').slice(0, 16)}`;
}

function hasNumbers({ dtype }: Tensor): boolean {
  return isFloat(dtype) || isInteger(dtype) || dtype === 'bool';
}

/** 64-bit integers to their last digit, others so that they read back as they are. */
function printElements(tensor: Tensor): string[] {
  const { dtype } = tensor;
  if (dtype === 'i64') return Array.from(new BigInt64Array(tensor.toBytes().slice().buffer), String);
  if (dtype === 'u64') return Array.from(new BigUint64Array(tensor.toBytes().slice().buffer), String);
  return Array.from(tensor.toNumbers() as ArrayLike<number>, dtype === 'f64' ? printNumber : printSingle);
}

function printNumber(number: number): string {
  return Object.is(number, -0) ? '-0' : String(number);
}

/** The shortest text that rounds to the same single-precision number. */
function printSingle(number: number): string {
  if (Number.isInteger(number) || !Number.isFinite(number)) return printNumber(number);
  const digits = [1, 2, 3, 4, 5, 6, 7, 8, 9].find((count) => Math.fround(Number(number.toPrecision(count))) === number);
  return printNumber(Number(number.toPrecision(digits)));
}

export function printType({ dtype, shape }: ValueType): string {
  return `${dtype ?? '?'}${shape === null ? '[?]' : `[${shape.map((dim) => (typeof dim === 'number' ? dim : identifier(dim))).join(',')}]`}`;
}

function value(name: string): string {
  return name === '' ? '_' : `%${identifier(name)}`;
}

/** Plain names stand as they are, all others in quotes. */
function identifier(name: string): string {
  return /^[A-Za-z_][\w.]*$/.test(name) ? name : JSON.stringify(name);
}
