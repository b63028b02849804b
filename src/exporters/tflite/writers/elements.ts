import type { BinaryFunction, UnaryFunction } from '../../lowering/operations.js';
import { activationCode, type GraphWriter, options, type Writer } from '../graph-writer.js';

const UNARY: Readonly<Partial<Record<UnaryFunction, string>>> = {
  relu: 'RELU',
  relu6: 'RELU6',
  leakyRelu: 'LEAKY_RELU',
  elu: 'ELU',
  sigmoid: 'LOGISTIC',
  tanh: 'TANH',
  hardSwish: 'HARD_SWISH',
  gelu: 'GELU',
  exp: 'EXP',
  log: 'LOG',
  sqrt: 'SQRT',
  rsqrt: 'RSQRT',
  square: 'SQUARE',
  abs: 'ABS',
  neg: 'NEG',
  floor: 'FLOOR',
  ceil: 'CEIL',
  round: 'ROUND',
  sin: 'SIN',
  cos: 'COS',
  not: 'LOGICAL_NOT',
};

const unary: Writer<'unary'> = ({ function: name, inputs, alpha = 0, approximate = false }, graph) => {
  const op = UNARY[name];
  if (op === undefined) throw new Error(`TFLite has no operator for ${name}`);
  const call = { op, inputs: [graph.read(inputs[0])] };
  if (name === 'leakyRelu') return { ...call, options: options('LeakyRelu', [[0, 'float', alpha]]) };
  if (name === 'gelu') return { ...call, options: options('Gelu', [[0, 'bool', approximate]]) };
  return call;
};

const BINARY: Readonly<Record<BinaryFunction, string>> = {
  add: 'ADD',
  subtract: 'SUB',
  multiply: 'MUL',
  divide: 'DIV',
  power: 'POW',
  maximum: 'MAXIMUM',
  minimum: 'MINIMUM',
  floorMod: 'FLOOR_MOD',
  less: 'LESS',
  lessEqual: 'LESS_EQUAL',
  greater: 'GREATER',
  greaterEqual: 'GREATER_EQUAL',
  equal: 'EQUAL',
  notEqual: 'NOT_EQUAL',
  and: 'LOGICAL_AND',
  or: 'LOGICAL_OR',
};

/** The kinds of options that hold an activation. */
const ARITHMETIC = { add: 'Add', subtract: 'Sub', multiply: 'Mul', divide: 'Div' } as const;

const binary: Writer<'binary'> = ({ function: name, inputs, activation }, graph) => {
  const kind = Object.hasOwn(ARITHMETIC, name) ? ARITHMETIC[name as keyof typeof ARITHMETIC] : undefined;
  const code = activationCode(activation);
  return {
    op: BINARY[name],
    inputs: readAll(inputs, graph),
    ...(kind && { options: options(kind, [[0, 'byte', code]]) }),
  };
};

const prelu: Writer<'prelu'> = ({ inputs }, graph) => ({ op: 'PRELU', inputs: readAll(inputs, graph) });

const softmax: Writer<'softmax'> = ({ inputs }, graph) => ({
  op: 'SOFTMAX',
  inputs: readAll(inputs, graph),
  options: options('Softmax', [[0, 'float', 1]]),
});

const select: Writer<'select'> = ({ inputs }, graph) => ({ op: 'SELECT_V2', inputs: readAll(inputs, graph) });

export function readAll(values: readonly string[], graph: GraphWriter): number[] {
  return values.map((value) => graph.read(value));
}

export const elementWriters = { unary, binary, prelu, softmax, select };
