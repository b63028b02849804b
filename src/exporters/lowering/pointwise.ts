import { ANY } from '../layout.js';
import { applied, fromOperands, unaryRule } from './elementwise.js';
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

/**
 * The remainder has the sign of the divisor, or with `fmod` that of the dividend. The latter is made of the former: from
 * the quotient it would be wrong where that is rounded up to a whole number.
 */
function lowerMod(node: NodeLowering): void {
  const [a, b] = fromOperands(node);
  if (node.number('fmod') !== 1) {
    node.give(node.binary('floorMod', a, b));
    return;
  }
  const remainder = node.binary('floorMod', node.unary('abs', a), node.unary('abs', b));
  node.give(node.binary('multiply', remainder, applied(node, 'sign', a)));
}

/** Squares and roots have operations of their own, where whole numbers and new axes do not come in. */
function lowerPow(node: NodeLowering): void {
  const exponent = node.constant(1);
  const only = exponent?.size === 1 ? exponent.toNumbers()[0] : undefined;
  const isPlain = node.outputType() === 'f32' && node.shape().length === node.outputShape().length;
  if (isPlain && (only === 2 || only === 0.5)) {
    node.give(node.unary(only === 2 ? 'square' : 'sqrt', node.input()));
    return;
  }
  const [base, power] = fromOperands(node);
  node.give(node.binary('power', base, node.cast(power, node.typeOf(base))));
}
