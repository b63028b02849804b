import type { Call } from '../ir/semantics.js';
import type { DataType, ValueType } from '../ir/types.js';
import type { AttributeTable } from './attributes.js';
import { alignedTies, broadcastShapes, broadcastTies, commonType, evaluateElements } from './broadcast.js';
import { type BinaryRule, stored, type UnaryRule } from './elements.js';
import { defineOp, type OpDefinition, type OpFact, operand, type Tie, type TieCall } from './op.js';

/** The operands that the node gives. */
export function givenOperands(call: Call) {
  return call.inputs.filter((input) => input !== undefined);
}

/** The type of the first operand, for an output that has it too. */
export function sameType(call: Call): ValueType {
  return operand(call, 0).type;
}

/** Ties of an output that has exactly the first operand's shape. */
export function unaryTies(call: TieCall): Tie[] {
  return alignedTies(operand(call, 0), call.outputs[0]);
}

/** Ties of an output that shares batch and channel axis with the first operand; its spatial axes are fixed. */
export function imageTies(call: TieCall): Tie[] {
  return unaryTies(call).filter((tie) => tie.kind === 'same' && tie.a.axis < 2);
}

interface UnaryParts {
  readonly attributes?: AttributeTable;
  readonly facts?: readonly OpFact[];
  readonly rule?: UnaryRule;
}

/** y = f(x), element by element, in the type of x. */
export function unary(name: string, { attributes = {}, facts = [], rule }: UnaryParts = {}): OpDefinition {
  return defineOp({
    name,
    inputs: [{ name: 'X' }],
    outputs: ['Y'],
    attributes,
    facts: ['elementwise', ...facts],
    infer: (call) => [sameType(call)],
    evaluate: rule && ((call) => [evaluateUnary(call, rule)]),
    ties: unaryTies,
  });
}

function evaluateUnary(call: Call, rule: UnaryRule) {
  const { dtype } = operand(call, 0).type;
  return evaluateElements([operand(call, 0)], ([a]) => stored(rule(a, dtype), dtype));
}

interface BinaryParts {
  /** Element type of the result where it is not that of the operands. */
  readonly result?: DataType;
  readonly rule?: BinaryRule;
}

/** c = f(a, b) with numpy's broadcasting; both operands have the same element type. */
export function binary(name: string, { result, rule }: BinaryParts = {}): OpDefinition {
  return defineOp({
    name,
    inputs: [{ name: 'A' }, { name: 'B' }],
    outputs: ['C'],
    attributes: {},
    facts: ['elementwise'],
    infer(call) {
      const dtype = commonType(givenOperands(call));
      return [{ dtype: result ?? dtype, shape: broadcastOperands(call) }];
    },
    evaluate: rule && ((call) => [evaluateBinary(call, rule, result)]),
    ties: broadcastTies,
  });
}

export function evaluateBinary(call: Call, rule: BinaryRule, result?: DataType) {
  const { dtype } = operand(call, 0).type;
  return evaluateElements([operand(call, 0), operand(call, 1)], ([a, b]) => stored(rule(a, b, dtype), result ?? dtype));
}

export function broadcastOperands(call: Call) {
  return broadcastShapes(givenOperands(call).map(({ type }) => type.shape));
}
