import { ANY } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import type { UnaryFunction } from './operations.js';
import type { LoweringRule } from './rule.js';

/** All operands of a node, brought to the rank and layout of its result. */
export function fromOperands(node: NodeLowering): string[] {
  const rank = node.outputShape().length;
  return node.node.inputs.map((_, index) => node.broadcastable(index, rank));
}

/** A function of one operand. */
export function unaryRule(name: UnaryFunction): LoweringRule {
  return { layout: ANY, lower: (node) => node.give(applied(node, name, node.input())) };
}

/** A function by itself, or composed where the target lacks it. */
export function applied(node: NodeLowering, name: UnaryFunction, x: string): string {
  if (!node.target.decomposed.has(name)) return node.unary(name, x);
  const compose = COMPOSED[name] ?? node.fail(`the function '${name}' has no counterpart there`);
  return compose(node, x);
}

/** Functions that some format lacks, of functions that all have. */
const COMPOSED: Readonly<Partial<Record<UnaryFunction, (node: NodeLowering, x: string) => string>>> = {
  sign(node, x) {
    const zero = node.scalar(0, x);
    const [above, below] = (['greater', 'less'] as const).map((test) =>
      node.cast(node.binary(test, x, zero), node.typeOf(x)),
    );
    return node.binary('subtract', above, below);
  },
  /**
   * 1 − (a₁t + … + a₅t⁵)·exp(−x²) with t = 1/(1 + p·|x|), mirrored for negative x: off by at most 1.5e−7 (Abramowitz and
   * Stegun 1964, 7.1.26).
   */
  erf(node, x) {
    const size = node.unary('abs', x);
    const steps = node.binary('add', node.binary('multiply', size, node.scalar(0.3275911)), node.scalar(1));
    const t = node.binary('divide', node.scalar(1), steps);
    const [last, ...others] = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
    const polynomial = others.reduce(
      (sum, factor) => node.binary('multiply', node.binary('add', sum, node.scalar(factor)), t),
      node.binary('multiply', t, node.scalar(last)),
    );
    const tail = node.binary('multiply', polynomial, node.unary('exp', node.unary('neg', node.unary('square', x))));
    return node.binary('multiply', applied(node, 'sign', x), node.binary('subtract', node.scalar(1), tail));
  },
};
