import { ANY } from '../layout.js';
import { fromOperands, unaryRule } from './elementwise.js';
import type { NodeLowering } from './node-lowering.js';
import type { LoweringRule, LoweringRules } from './rule.js';

/** Just below the largest single. */
const LARGEST = 3.4e38;

export const activationRules: LoweringRules = {
  Relu: unaryRule('relu'),
  Sigmoid: unaryRule('sigmoid'),
  Tanh: unaryRule('tanh'),
  HardSwish: unaryRule('hardSwish'),
  LeakyRelu: {
    layout: ANY,
    lower: (node) => node.give(node.unary('leakyRelu', node.input(), { alpha: node.number('alpha') })),
  },
  PRelu: {
    layout: ANY,
    lower: (node) => node.give(node.apply('prelu', fromOperands(node), {}, node.shapeOf(node.input()))),
  },
  Elu: composed((node, x) => {
    const alpha = node.number('alpha');
    return alpha === 1 ? node.unary('elu', x) : exponentialBelow(node, x, alpha, 1);
  }),
  Selu: composed((node, x) =>
    node.binary('multiply', exponentialBelow(node, x, node.number('alpha'), 1), node.scalar(node.number('gamma'))),
  ),
  Celu: composed((node, x) => exponentialBelow(node, x, node.number('alpha'), node.number('alpha'))),
  ThresholdedRelu: composed((node, x) => {
    const isAbove = node.binary('greater', x, node.scalar(node.number('alpha')));
    return node.binary('multiply', x, node.cast(isAbove, 'f32'));
  }),
  HardSigmoid: composed((node, x) => {
    const scaled = node.binary('multiply', x, node.scalar(node.number('alpha')));
    const line = node.binary('add', scaled, node.scalar(node.number('beta')));
    return node.binary('minimum', node.unary('relu', line), node.scalar(1));
  }),
  Gelu: composed((node, x) => node.unary('gelu', x, { approximate: node.text('approximate') === 'tanh' })),
  Softplus: composed(softplus),
  Softsign: composed((node, x) => node.binary('divide', x, node.binary('add', node.unary('abs', x), node.scalar(1)))),
  Mish: composed((node, x) => node.binary('multiply', x, node.unary('tanh', softplus(node, x)))),
  Clip: { layout: ANY, lower: lowerClip, limits: 'bounds must be constants' },
  Softmax: { layout: ANY, lower: lowerSoftmax },
  LogSoftmax: { layout: ANY, lower: lowerLogSoftmax },
};

function composed(compose: (node: NodeLowering, x: string) => string): LoweringRule {
  return { layout: ANY, lower: (node) => node.give(compose(node, node.input())) };
}

/** max(x, 0) + α·(exp(min(x, 0)/β) − 1). */
function exponentialBelow(node: NodeLowering, x: string, alpha: number, beta: number): string {
  const below = node.binary('minimum', x, node.scalar(0));
  const power = node.unary('exp', beta === 1 ? below : node.binary('multiply', below, node.scalar(1 / beta)));
  const curve = node.binary('multiply', node.binary('subtract', power, node.scalar(1)), node.scalar(alpha));
  return node.binary('add', node.unary('relu', x), curve);
}

/** log(1 + exp(x)) as max(x, 0) + log(1 + exp(−|x|)), which does not overflow. */
function softplus(node: NodeLowering, x: string): string {
  const small = node.unary('exp', node.unary('neg', node.unary('abs', x)));
  return node.binary('add', node.unary('relu', x), node.unary('log', node.binary('add', small, node.scalar(1))));
}

function lowerClip(node: NodeLowering): void {
  const x = node.input();
  const isFloat = node.typeOf(x) === 'f32';
  // Bounds at the ends of the type, as exporters write them for "none".
  const [least, most] = isFloat ? [-LARGEST, LARGEST] : [-(2 ** 31), 2 ** 31 - 1];
  const bound = (input: number) => node.numbers(input)?.find((number) => number > least && number < most);
  const [low, high] = [bound(1), bound(2)];
  if (isFloat && low === 0 && (high === undefined || high === 6)) {
    node.give(node.unary(high === undefined ? 'relu' : 'relu6', x));
    return;
  }
  const raised = low === undefined ? x : node.binary('maximum', x, node.scalar(low, x));
  node.give(high === undefined ? raised : node.binary('minimum', raised, node.scalar(high, x)));
}

function lowerSoftmax(node: NodeLowering): void {
  const x = node.input();
  const axis = node.axis(node.number('axis'));
  const shape = node.shapeOf(x);
  if (axis === shape.length - 1) {
    node.give(node.apply('softmax', [x], {}, shape));
    return;
  }
  const powers = node.unary('exp', centred(node, x, axis));
  node.give(node.binary('divide', powers, node.reduce('sum', powers, [axis])));
}

function lowerLogSoftmax(node: NodeLowering): void {
  const axis = node.axis(node.number('axis'));
  const below = centred(node, node.input(), axis);
  const sum = node.reduce('sum', node.unary('exp', below), [axis]);
  node.give(node.binary('subtract', below, node.unary('log', sum)));
}

/** Without the largest, so that no power overflows. */
function centred(node: NodeLowering, x: string, axis: number): string {
  return node.binary('subtract', x, node.reduce('max', x, [axis]));
}
