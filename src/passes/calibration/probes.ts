import type { Layer } from '../../analysis/layers.js';
import type { GraphBuilder } from '../../ir/builder.js';
import { Tensor } from '../../ir/tensor.js';

/** ONNX's numbers of element types. */
const FLOAT = 1;
const INT64 = 7;
const DOUBLE = 11;

/** Values [channels, samples] of one value, in single precision, at the positions that `fractions` stands for. */
export function sampleChannels(builder: GraphBuilder, value: string, axis: number, fractions: string): string {
  const { dtype, shape } = builder.type(value);
  const rank = shape?.length ?? 0;
  const apply = (op: string, inputs: readonly string[], attributes = {}) =>
    builder.apply(op, inputs, attributes, builder.fresh(`${value}/${op}`));
  const constant = (tensor: Tensor) => builder.constant(builder.fresh(`${value}/constant`), tensor);
  const others = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
  const front = apply('Transpose', [value], { perm: [axis, ...others] });
  const flat = apply('Reshape', [front, constant(Tensor.integers([shape?.[axis] as number, -1]))]);
  const available = apply('Gather', [apply('Shape', [flat]), constant(Tensor.integers([1]))]);
  const scaled = apply('Mul', [fractions, apply('Cast', [available], { to: DOUBLE })]);
  const positions = apply('Cast', [apply('Floor', [scaled])], { to: INT64 });
  const samples = apply('Gather', [flat, positions], { axis: 1 });
  return dtype === 'f32' ? samples : apply('Cast', [samples], { to: FLOAT });
}

/** Σ x xᵀ and Σ x of samples [channels, samples]. */
export function momentsOf(builder: GraphBuilder, samples: string): { gram: string; sums: string } {
  const transposed = builder.apply('Transpose', [samples], { perm: [1, 0] }, builder.fresh(`${samples}/transposed`));
  const axes = builder.constant(builder.fresh(`${samples}/axes`), Tensor.integers([1]));
  return {
    gram: builder.apply('MatMul', [samples, transposed], {}, builder.fresh(`${samples}/gram`)),
    sums: builder.apply('ReduceSum', [samples, axes], { keepdims: 0 }, builder.fresh(`${samples}/sums`)),
  };
}

/** The axis of a layer's input value that holds its channels. */
export function inputAxis({ isConvolution }: Layer, rank: number): number {
  return isConvolution ? 1 : rank - 1;
}
