import { noGradient } from '../../errors.js';
import type { AttributeValue } from '../../ir/graph.js';
import type { Kernels, Value } from '../kernels.js';

/** What a gradient rule may look at: one node of the forward pass, and what is known of its outputs' gradients. */
export interface GradientCall {
  readonly kernels: Kernels;
  /** Name of the node, for messages. */
  readonly name: string;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  /** The node's attributes with the defaults filled in. */
  readonly attributes: Readonly<Record<string, AttributeValue | undefined>>;
  /** Gradient of the loss by output; undefined where an output does not reach the loss. */
  readonly gradients: readonly (Value | undefined)[];
  /** Which inputs' gradients are asked for. */
  readonly wanted: readonly boolean[];
  /** What other readers of an input have added to its gradient so far. */
  readonly collected: readonly (Value | undefined)[];
  /** What `forward` of the same rule left. */
  readonly saved: unknown;
  /** The elements of an input that is the same at every step (shapes, pads, scales, …); undefined for others. */
  known(index: number): readonly number[] | undefined;
}

/** A gradient to which what was collected before has been added already. */
export interface Summed {
  readonly summed: Value;
}

/** Gradients by input; undefined for inputs that are not asked for, or have none (indices, shapes). */
export type GradientRule = (call: GradientCall) => readonly (Value | Summed | undefined)[];

/**
 * Why an operator has no gradient: `flat` ones are constant almost everywhere, or make no real numbers, so that nothing
 * flows back through them and what lies before them alone does not learn; `unsupported` ones must not stand between a
 * parameter and the loss.
 */
export type NoGradient = 'flat' | 'unsupported';

/** Rules by operator. */
export type RuleTable = Readonly<Record<string, GradientRule | NoGradient>>;

/** The only gradient that is asked for of an operator with one differentiable output. */
export function gradientOf(call: GradientCall): Value {
  const [gradient] = call.gradients;
  if (!gradient) throw new Error('a rule was asked although no gradient reaches its output');
  return gradient;
}

/** The input that inference has made sure of. */
export function inputOf(call: GradientCall, index: number): Value {
  const input = call.inputs[index];
  if (!input) throw new Error(`input ${index} is missing`);
  return input;
}

/** The elements of an input that says how the node works. */
export function knownOf(call: GradientCall, index: number, op: string): readonly number[] {
  const elements = call.known(index);
  if (!elements) throw noGradient(`${op} (with an input ${index} that depends on the image)`, call.name);
  return elements;
}
