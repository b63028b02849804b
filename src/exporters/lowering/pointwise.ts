import { ANY } from '../layout.js';
import { fromOperands, unaryRule } from './elementwise.js';
import type { NodeLowering } from './node-lowering.js';
import type { BinaryFunction } from './operations.js';
import type { LoweringRule, LoweringRules } from './rule.js';

export const pointwiseRules: LoweringRules = {
  Add: binaryRule('add'),
  Sub: binaryRule('subtract'),
  Mul: binaryRule('multiply'),
  Div: binaryRule('divide'),
  Max: binaryRule('maximum'),
  Min: binaryRule('minimum'),
  Sum: binaryRule('add'),
  Mean: { layout: ANY, lower: lowerMean },
  Mod: { layout: ANY, lower: lowerMod },
  Pow: { layout: ANY, lower: lowerPow },
  Neg: unaryRule('neg'),
  Abs: unaryRule('abs'),
  Sign: unaryRule('sign'),
  Floor: unaryRule('floor'),
  Ceil: unaryRule('ceil'),
  Round: unaryRule('round'),
  Sqrt: unaryRule('sqrt'),
  Exp: unaryRule('exp'),
  Log: unaryRule('log'),
  Sin: unaryRule('sin'),
  Cos: unaryRule('cos'),
  Erf: unaryRule('erf'),
  Reciprocal: {
    layout: ANY,
    lower: (node) => node.give(node.binary('divide', node.scalar(1), node.input())),
  },
};

/** The operands one after another. */
function binaryRule(name: BinaryFunction): LoweringRule {
  return {
    layout: ANY,
    lower: (node) => node.give(fromOperands(node).reduce((result, operand) => node.binary(name, result, operand))),
  };
}

function lowerMean(node: NodeLowering): void {
  const operands = fromOperands(node);
  const sum = operands.reduce((result, operand) => node.binary('add', result, operand));
  node.give(operands.length === 1 ? sum : node.binary('multiply', sum, node.scalar(1 / operands.length)));
}

/** With `fmod` the remainder of C, a − b·trunc(a/b), else that of Python. */
function lowerMod(node: NodeLowering): void {
  const [a, b] = fromOperands(node);
  if (node.number('fmod') !== 1) {
    node.give(node.binary('floorMod', a, b));
    return;
  }
  const quotient = node.binary('divide', a, b);
  const zero = node.scalar(0, quotient);
  const down = node.unary('floor', node.binary('maximum', quotient, zero));
  const up = node.unary('ceil', node.binary('minimum', quotient, zero));
  node.give(node.binary('subtract', a, node.binary('multiply', b, node.binary('add', down, up))));
}

function lowerPow(node: NodeLowering): void {
  const exponent = node.constant(1);
  const only = exponent?.size === 1 ? exponent.toNumbers()[0] : undefined;
  if (only === 2 || only === 0.5) {
    node.give(node.unary(only === 2 ? 'square' : 'sqrt', node.input()));
    return;
  }
  const [base, power] = fromOperands(node);
  node.give(node.binary('power', base, node.cast(power, node.typeOf(base))));
}
