import { badNode } from '../errors.js';
import type { Call, Operand } from '../ir/semantics.js';
import { alignedTies, broadcastTies, commonType, evaluateElements } from './broadcast.js';
import { dataTypeOfCode } from './data-type.js';
import { cast, equal, forNumbers } from './elements.js';
import { axisOf, defineOp, type OpDefinition, operand, type Tie } from './op.js';
import { binary, broadcastOperands, evaluateBinary, givenOperands, sameType, unaryTies } from './pointwise.js';

function comparison(name: string, rule: Parameters<typeof forNumbers>[0]): OpDefinition {
  return binary(name, { result: 'bool', rule: forNumbers(rule) });
}

function requireBool({ name, type }: Operand): void {
  if (type.dtype !== null && type.dtype !== 'bool') throw badNode(`input '${name}' must be bool, not ${type.dtype}`);
}

function connective(name: string, rule: Parameters<typeof forNumbers>[0]): OpDefinition {
  return defineOp({
    name,
    inputs: [{ name: 'A' }, { name: 'B' }],
    outputs: ['C'],
    attributes: {},
    facts: ['elementwise'],
    infer(call) {
      givenOperands(call).forEach(requireBool);
      return [{ dtype: 'bool', shape: broadcastOperands(call) }];
    },
    evaluate: (call) => [evaluateBinary(call, forNumbers(rule))],
    ties: broadcastTies,
  });
}

const not = defineOp({
  name: 'Not',
  inputs: [{ name: 'X' }],
  outputs: ['Y'],
  attributes: {},
  facts: ['elementwise'],
  infer(call) {
    requireBool(operand(call, 0));
    return [{ dtype: 'bool', shape: operand(call, 0).type.shape }];
  },
  evaluate: (call) => [evaluateElements([operand(call, 0)], ([a]) => (typeof a === 'number' ? 1 - a : undefined))],
  ties: unaryTies,
});

const where = defineOp({
  name: 'Where',
  inputs: [{ name: 'condition' }, { name: 'X' }, { name: 'Y' }],
  outputs: ['output'],
  attributes: {},
  facts: ['elementwise'],
  infer(call) {
    requireBool(operand(call, 0));
    return [{ dtype: commonType([operand(call, 1), operand(call, 2)]), shape: broadcastOperands(call) }];
  },
  evaluate: (call) => [evaluateElements(givenOperands(call), ([condition, x, y]) => (condition === 0 ? y : x))],
  ties: broadcastTies,
});

const castOp = defineOp({
  name: 'Cast',
  inputs: [{ name: 'input' }],
  outputs: ['output'],
  attributes: { to: { kind: 'int' }, saturate: { kind: 'int', default: 1 } },
  facts: ['elementwise', 'zero-preserving'],
  infer(call, { to }) {
    if (to === undefined) throw badNode("attribute 'to' is missing");
    return [{ dtype: dataTypeOfCode('to', to), shape: operand(call, 0).type.shape }];
  },
  evaluate(call, { to = 0 }) {
    const { dtype } = operand(call, 0).type;
    return [evaluateElements([operand(call, 0)], ([a]) => cast(a, dtype, dataTypeOfCode('to', to)))];
  },
  ties: unaryTies,
});

const castLike = defineOp({
  name: 'CastLike',
  inputs: [{ name: 'input' }, { name: 'target_type' }],
  outputs: ['output'],
  attributes: { saturate: { kind: 'int', default: 1 } },
  facts: ['elementwise', 'zero-preserving'],
  infer: (call) => [{ dtype: operand(call, 1).type.dtype, shape: operand(call, 0).type.shape }],
  evaluate(call) {
    const to = operand(call, 1).type.dtype;
    const { dtype } = operand(call, 0).type;
    return [to === null ? undefined : evaluateElements([operand(call, 0)], ([a]) => cast(a, dtype, to))];
  },
  ties(call) {
    // Only the element type of the target matters; tying its axes to themselves leaves them free.
    const target = operand(call, 1);
    const free = (target.type.shape ?? []).map((_, axis): Tie => {
      return { kind: 'same', a: axisOf(target, axis), b: axisOf(target, axis) };
    });
    return [...unaryTies(call), ...free];
  },
});

const identity = defineOp({
  name: 'Identity',
  inputs: [{ name: 'input' }],
  outputs: ['output'],
  attributes: {},
  facts: ['elementwise', 'monotone', 'zero-preserving', 'positively-homogeneous'],
  infer: (call) => [sameType(call)],
  evaluate: (call) => [operand(call, 0).known()],
  ties: unaryTies,
});

/** At inference the identity; the mask is all true. */
const dropout = defineOp({
  name: 'Dropout',
  inputs: [{ name: 'data' }, { name: 'ratio', optional: true }, { name: 'training_mode', optional: true }],
  outputs: ['output', 'mask'],
  attributes: { seed: { kind: 'int' } },
  facts: ['elementwise', 'monotone', 'zero-preserving', 'positively-homogeneous'],
  infer(call) {
    if (isTraining(call)) throw badNode('is in training mode; export the model for inference');
    const type = sameType(call);
    return [type, { dtype: 'bool', shape: type.shape } as const].slice(0, call.outputCount);
  },
  ties: (call) => call.outputs.flatMap((output) => alignedTies(operand(call, 0), output)),
});

function isTraining(call: Call): boolean {
  return call.inputs[2]?.known()?.elements[0] === 1;
}

export const logicOps = [
  binary('Equal', { result: 'bool', rule: equal }),
  comparison('Less', (a, b) => a < b),
  comparison('LessOrEqual', (a, b) => a <= b),
  comparison('Greater', (a, b) => a > b),
  comparison('GreaterOrEqual', (a, b) => a >= b),
  connective('And', (a, b) => a !== 0 && b !== 0),
  connective('Or', (a, b) => a !== 0 || b !== 0),
  connective('Xor', (a, b) => a !== b),
  not,
  where,
  castOp,
  castLike,
  identity,
  dropout,
];
