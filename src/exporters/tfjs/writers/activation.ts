import { integer, type TfjsAttributes, texts } from '../../../formats/tfjs/model.js';
import type { Activation, UnaryFunction } from '../../lowering/operations.js';
import type { Call, GraphWriter } from '../graph-writer.js';

/** Names of the operators, which fused ones use as well. */
export const ACTIVATIONS = {
  relu: 'Relu',
  relu6: 'Relu6',
  leakyRelu: 'LeakyRelu',
  elu: 'Elu',
  sigmoid: 'Sigmoid',
} as const satisfies Record<Activation['function'], string>;

/** For an operator that adds a bias and applies the activation itself. */
export function fusedAttributes(activation: Activation | undefined): TfjsAttributes {
  return {
    num_args: integer(1),
    fused_ops: texts(['BiasAdd', ...(activation ? [ACTIVATIONS[activation.function]] : [])]),
    ...(activation?.function === 'leakyRelu' && { leakyrelu_alpha: { f: activation.alpha ?? 0 } }),
  };
}

/** A call, and after it the activation where there is one. */
export function activated(graph: GraphWriter, base: string, call: Call, activation: Activation | undefined): Call {
  return activation ? activationCall(activation, graph.add(`${base}/linear`, call)) : call;
}

function activationCall({ function: name, alpha }: Activation, x: string): Call {
  return { op: ACTIVATIONS[name], inputs: [x], attributes: slopeAttribute(name, alpha) };
}

/** The attribute of `LeakyRelu`; no other function has one. */
export function slopeAttribute(name: UnaryFunction, alpha = 0): TfjsAttributes {
  return name === 'leakyRelu' ? { alpha: { f: alpha } } : {};
}
