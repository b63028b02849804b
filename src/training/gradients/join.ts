import { type GradientRule, gradientOf, type RuleTable } from './rule.js';

/** Each input gets its own stretch of dY. */
const concat: GradientRule = (call) => {
  const dy = gradientOf(call);
  const at = axisOf(call.attributes.axis, dy.shape.length);
  return call.kernels.split(
    dy,
    call.inputs.map((input) => input?.shape[at] ?? 0),
    at,
  );
};

/** The gradients of the pieces in a row; 0 for a piece that does not reach the loss. */
const split: GradientRule = ({ kernels, outputs, gradients, ...call }) => {
  const at = axisOf(call.attributes.axis, outputs[0].shape.length);
  const parts = outputs.map(({ shape }, i) => gradients[i] ?? kernels.expand(kernels.number(0), shape));
  return [kernels.concat(parts, at)];
};

function axisOf(axis: unknown, rank: number): number {
  return Number(axis) < 0 ? Number(axis) + rank : Number(axis);
}

export const joinRules: RuleTable = { Concat: concat, Split: split };
