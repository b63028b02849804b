import { badNode } from '../errors.js';
import { alignedTies, broadcastTies, requireBroadcastTo } from './broadcast.js';
import { defineOp, normalizeAxis, type OpDefinition, operand } from './op.js';
import { sameType, unary, unaryTies } from './pointwise.js';

/**
 * Facts hold for every value of an operator's attributes; where a negative slope is possible, `monotone` is not claimed.
 */
const alpha = (value: number) => ({ kind: 'float', default: value }) as const;

/** Slope by broadcasting, in one direction: [C,1,1], [1], … */
const pRelu = defineOp({
  name: 'PRelu',
  inputs: [{ name: 'X' }, { name: 'slope' }],
  outputs: ['Y'],
  attributes: {},
  facts: ['elementwise', 'zero-preserving', 'positively-homogeneous'],
  infer(call) {
    const type = sameType(call);
    const slope = operand(call, 1).type.shape;
    if (type.shape && slope) requireBroadcastTo(slope, type.shape, 'the slope');
    return [type];
  },
  ties: broadcastTies,
});

const clip = defineOp({
  name: 'Clip',
  inputs: [{ name: 'input' }, { name: 'min', optional: true }, { name: 'max', optional: true }],
  outputs: ['output'],
  attributes: {},
  facts: ['elementwise', 'monotone'],
  infer(call) {
    // Runtimes take a single element of shape [1] for a scalar, and exporters write it.
    for (const bound of call.inputs.slice(1))
      if (bound?.type.shape?.some((dim) => dim !== 1))
        throw badNode(`the bound '${bound.name}' must be a scalar, not of shape [${bound.type.shape}]`);
    return [sameType(call)];
  },
  ties: unaryTies,
});

const gelu = defineOp({
  name: 'Gelu',
  inputs: [{ name: 'X' }],
  outputs: ['Y'],
  attributes: { approximate: { kind: 'string', default: 'none' } },
  facts: ['elementwise', 'zero-preserving'],
  infer(call, { approximate }) {
    if (approximate !== 'none' && approximate !== 'tanh')
      throw badNode(`attribute 'approximate' is '${approximate}'; none or tanh is possible`);
    return [sameType(call)];
  },
  ties: unaryTies,
});

/** Sums to one over one axis (semantics of opset 13), whose size therefore has meaning. */
function softmax(name: string): OpDefinition {
  return defineOp({
    name,
    inputs: [{ name: 'input' }],
    outputs: ['output'],
    attributes: { axis: { kind: 'int', default: -1 } },
    infer(call, { axis }) {
      const type = sameType(call);
      if (type.shape) normalizeAxis(axis, type.shape.length);
      return [type];
    },
    ties(call, { axis }) {
      const input = operand(call, 0);
      if (!input.type.shape) return [];
      const fixed = normalizeAxis(axis, input.type.shape.length);
      return alignedTies(input, call.outputs[0]).filter((tie) => tie.kind === 'same' && tie.a.axis !== fixed);
    },
  });
}

export const activationOps = [
  unary('Relu', { facts: ['monotone', 'zero-preserving', 'positively-homogeneous'] }),
  unary('LeakyRelu', { attributes: { alpha: alpha(0.01) }, facts: ['zero-preserving', 'positively-homogeneous'] }),
  pRelu,
  unary('Elu', { attributes: { alpha: alpha(1) }, facts: ['zero-preserving'] }),
  unary('Selu', {
    attributes: { alpha: alpha(1.6732631921768188), gamma: alpha(1.0507010221481323) },
    facts: ['zero-preserving'],
  }),
  unary('Celu', { attributes: { alpha: alpha(1) }, facts: ['monotone', 'zero-preserving'] }),
  unary('ThresholdedRelu', { attributes: { alpha: alpha(1) }, facts: ['zero-preserving'] }),
  unary('Sigmoid', { facts: ['monotone'] }),
  unary('HardSigmoid', { attributes: { alpha: alpha(0.2), beta: alpha(0.5) } }),
  unary('HardSwish', { facts: ['zero-preserving'] }),
  gelu,
  unary('Erf', { facts: ['monotone', 'zero-preserving'] }),
  unary('Tanh', { facts: ['monotone', 'zero-preserving'] }),
  softmax('Softmax'),
  softmax('LogSoftmax'),
  unary('Softplus', { facts: ['monotone'] }),
  unary('Softsign', { facts: ['monotone', 'zero-preserving'] }),
  unary('Mish', { facts: ['zero-preserving'] }),
  clip,
];
