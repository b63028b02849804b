import type { BinaryFunction, OperationOf, UnaryFunction } from '../../lowering/operations.js';
import type { Call, GraphWriter, Writer } from '../graph-writer.js';
import { ACTIVATIONS, activated, slopeAttribute } from './activation.js';
import { converted } from './convert.js';

const UNARY = {
  ...ACTIVATIONS,
  tanh: 'Tanh',
  exp: 'Exp',
  log: 'Log',
  sqrt: 'Sqrt',
  rsqrt: 'Rsqrt',
  square: 'Square',
  abs: 'Abs',
  neg: 'Neg',
  floor: 'Floor',
  ceil: 'Ceil',
  round: 'Round',
  sign: 'Sign',
  sin: 'Sin',
  cos: 'Cos',
  erf: 'Erf',
  not: 'LogicalNot',
} as const satisfies Record<Exclude<UnaryFunction, 'hardSwish' | 'gelu'>, string>;

const BINARY = {
  add: 'AddV2',
  subtract: 'Sub',
  multiply: 'Mul',
  divide: 'RealDiv',
  power: 'Pow',
  maximum: 'Maximum',
  minimum: 'Minimum',
  floorMod: 'FloorMod',
  less: 'Less',
  lessEqual: 'LessEqual',
  greater: 'Greater',
  greaterEqual: 'GreaterEqual',
  equal: 'Equal',
  notEqual: 'NotEqual',
  and: 'LogicalAnd',
  or: 'LogicalOr',
} as const satisfies Record<BinaryFunction, string>;

const unary: Writer<'unary'> = (operation, graph) => {
  const { function: name, alpha, inputs } = operation;
  if (name === 'hardSwish') return hardSwish(operation, graph);
  if (name === 'gelu') return gelu(operation, graph);
  return { op: UNARY[name], inputs: graph.readAll(inputs), attributes: slopeAttribute(name, alpha) };
};

/** x · relu6(x + 3) / 6 (Howard et al. 2019). */
function hardSwish({ inputs, output }: OperationOf<'unary'>, graph: GraphWriter): Call {
  const x = graph.read(inputs[0]);
  const step = (op: string, a: string, b: string) => graph.add(`${output}/${op}`, { op, inputs: [a, b] });
  const shifted = step('AddV2', x, graph.floats(`${output}/three`, [3], []));
  const gate = graph.add(`${output}/gate`, { op: 'Relu6', inputs: [shifted] });
  return { op: 'Mul', inputs: [step('Mul', x, gate), graph.floats(`${output}/sixth`, [1 / 6], [])] };
}

/** x/2 · (1 + erf(x/√2)), or with tanh(√(2/π)·(x + 0.044715·x³)) for the error function (Hendrycks and Gimpel 2016). */
function gelu({ inputs, output, approximate }: OperationOf<'unary'>, graph: GraphWriter): Call {
  const x = graph.read(inputs[0]);
  const add = (op: string, ...operands: string[]) => graph.add(`${output}/${op}`, { op, inputs: operands });
  const number = (value: number) => graph.floats(`${output}/number`, [value], []);
  const inner = approximate
    ? add('Tanh', add('Mul', x, add('AddV2', add('Mul', add('Square', x), number(0.044715 * ROOT)), number(ROOT))))
    : add('Erf', add('Mul', x, number(Math.SQRT1_2)));
  return { op: 'Mul', inputs: [add('Mul', x, number(0.5)), add('AddV2', inner, number(1))] };
}

const ROOT = Math.sqrt(2 / Math.PI);

const binary: Writer<'binary'> = (operation, graph) => {
  const { function: name, inputs, output, activation } = operation;
  const isTruncated = name === 'divide' && graph.type(output) === 'int32';
  const call = isTruncated ? quotient(operation, graph) : { op: BINARY[name], inputs: graph.readAll(inputs) };
  return activated(graph, output, call, activation);
};

/** Whole numbers divided towards zero; the kernel divides them downwards. */
function quotient({ inputs, output }: OperationOf<'binary'>, graph: GraphWriter): Call {
  const add = (op: string, ...operands: string[]) => graph.add(`${output}/${op}`, { op, inputs: operands });
  const [a, b] = graph.readAll(inputs);
  const sign = add('Mul', add('Sign', a), add('Sign', b));
  return { op: 'Mul', inputs: [add('RealDiv', add('Abs', a), add('Abs', b)), sign] };
}

const prelu: Writer<'prelu'> = ({ inputs: [x, slope], output }, graph) => {
  if (isTrailing(graph.shape(slope), graph.shape(x))) return { op: 'Prelu', inputs: graph.readAll([x, slope]) };
  // The kernel repeats the slopes over all elements in row order; it does not broadcast.
  const zero = graph.floats(`${output}/zero`, [0], []);
  const step = (op: string, a: string, b: string) => graph.add(`${output}/${op}`, { op, inputs: [a, b] });
  const negative = step('Mul', step('Minimum', graph.read(x), zero), graph.read(slope));
  return { op: 'AddV2', inputs: [step('Maximum', graph.read(x), zero), negative] };
};

/** Whether a shape that broadcasts to another is its end, but for axes of extent 1 before. */
function isTrailing(shape: readonly number[], whole: readonly number[]): boolean {
  const own = shape.slice(shape.findIndex((size) => size !== 1));
  return own.every((size, i) => size === whole[whole.length - own.length + i]) || shape.every((size) => size === 1);
}

const softmax: Writer<'softmax'> = ({ inputs }, graph) => ({ op: 'Softmax', inputs: graph.readAll(inputs) });

const cast: Writer<'cast'> = ({ inputs: [x], output }, graph) =>
  converted(graph.read(x), { from: graph.type(x), to: graph.type(output), base: output }, graph);

const select: Writer<'select'> = ({ inputs, output }, graph) => {
  const [condition, then, otherwise] = graph.readAll(inputs);
  if (graph.value(output).dtype !== 'bool') return { op: 'SelectV2', inputs: [condition, then, otherwise] };
  // The kernel is not told the type: it copies four bytes an element, and truth values have one.
  const add = (op: string, ...operands: string[]) => graph.add(`${output}/${op}`, { op, inputs: operands });
  const first = add('LogicalAnd', condition, then);
  const second = add('LogicalAnd', add('LogicalNot', condition), otherwise);
  return { op: 'LogicalOr', inputs: [first, second] };
};

export const elementWriters = { unary, binary, prelu, softmax, cast, select };
