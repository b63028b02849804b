import type { Dim } from '../ir/types.js';
import { broadcastTies, commonType, evaluateElements } from './broadcast.js';
import {
  add,
  type BinaryRule,
  ceil,
  divide,
  type Element,
  floor,
  forNumber,
  forNumbers,
  maximum,
  minimum,
  modulo,
  multiply,
  negate,
  round,
  stored,
  subtract,
} from './elements.js';
import { defineOp, type OpDefinition, operand } from './op.js';
import { binary, broadcastOperands, evaluateBinary, givenOperands, unary } from './pointwise.js';

/** The remainder of C, which has the sign of the dividend. */
const remainder = forNumbers((a, b) => a % b);

const mod = defineOp({
  name: 'Mod',
  inputs: [{ name: 'A' }, { name: 'B' }],
  outputs: ['C'],
  attributes: { fmod: { kind: 'int', default: 0 } },
  facts: ['elementwise'],
  infer: (call) => [{ dtype: commonType(givenOperands(call)), shape: broadcastOperands(call) }],
  evaluate: (call, { fmod }) => [evaluateBinary(call, fmod ? remainder : modulo)],
  ties: broadcastTies,
});

/** The exponent may have another element type; the result has the base's. */
const pow = defineOp({
  name: 'Pow',
  inputs: [{ name: 'X' }, { name: 'Y' }],
  outputs: ['Z'],
  attributes: {},
  facts: ['elementwise'],
  infer: (call) => [{ dtype: operand(call, 0).type.dtype, shape: broadcastOperands(call) }],
  evaluate: (call) => [
    evaluateBinary(
      call,
      forNumbers((a, b) => a ** b),
    ),
  ],
  ties: broadcastTies,
});

/** Any number of operands, broadcast together. */
function variadic(name: string, rule?: BinaryRule): OpDefinition {
  return defineOp({
    name,
    inputs: [{ name: 'data_0', variadic: true }],
    outputs: [name.toLowerCase()],
    attributes: {},
    facts: ['elementwise'],
    infer: (call) => [{ dtype: commonType(givenOperands(call)), shape: broadcastOperands(call) }],
    evaluate:
      rule &&
      ((call) => {
        const { dtype } = operand(call, 0).type;
        const fold = (a: Element, b: Dim) => (a === undefined ? a : stored(rule(a, b, dtype), dtype));
        return [evaluateElements(givenOperands(call), ([first, ...rest]) => rest.reduce<Element>(fold, first))];
      }),
    ties: broadcastTies,
  });
}

const linear = ['zero-preserving', 'positively-homogeneous'] as const;
const steps = ['monotone', 'zero-preserving'] as const;

export const arithmeticOps = [
  binary('Add', { rule: add }),
  binary('Sub', { rule: subtract }),
  binary('Mul', { rule: multiply }),
  binary('Div', { rule: divide }),
  mod,
  pow,
  variadic('Sum', add),
  variadic('Mean'),
  variadic('Max', maximum),
  variadic('Min', minimum),
  unary('Neg', { facts: linear, rule: negate }),
  unary('Abs', { facts: linear, rule: forNumber(Math.abs) }),
  unary('Sign', { facts: steps, rule: forNumber(Math.sign) }),
  unary('Floor', { facts: steps, rule: floor }),
  unary('Ceil', { facts: steps, rule: ceil }),
  unary('Round', { facts: steps, rule: round }),
  unary('Sqrt', { facts: steps, rule: forNumber(Math.sqrt) }),
  unary('Reciprocal', { rule: forNumber((a) => 1 / a) }),
  unary('Exp', { facts: ['monotone'] }),
  unary('Log', { facts: ['monotone'] }),
  unary('Sin', { facts: ['zero-preserving'] }),
  unary('Cos'),
];
