import { Tensor } from '../../../ir/tensor.js';
import { normalizeAxis } from '../../../ops/op.js';
import type { Lowering } from './lowering.js';

/**
 * GroupNormalization before 21: each group as one channel of an InstanceNormalization, then scale and bias for each
 * channel. Batch and spatial sizes stay open.
 */
export function groupNormalization(lowering: Lowering): Lowering {
  const groups = lowering.number('num_groups');
  const { dtype, node } = lowering;
  const rank = lowering.rank();
  const x = lowering.input(0);
  const rows = lowering.apply(
    'Reshape',
    [x, lowering.addConstant('rows', Tensor.integers([0, groups, -1]))],
    [],
    'grouped',
  );
  const fill = (value: number) => Tensor.encode(dtype, [groups], Array<number>(groups).fill(value));
  const unit = [lowering.addConstant('ones', fill(1)), lowering.addConstant('zeros', fill(0))];
  const epsilon = { name: 'epsilon', f: lowering.number('epsilon') };
  const normal = lowering.apply('InstanceNormalization', [rows, ...unit], [epsilon], 'normalized_groups');
  const shape = lowering.apply('Shape', [x], [], 'shape');
  const back = lowering.apply('Reshape', [normal, shape], [], 'normalized');
  const [scale, bias] = [1, 2].map((input) => perChannel(lowering, input, rank));
  const scaled = lowering.apply('Mul', [back, scale], [], 'scaled');
  return lowering.finish('Add', [scaled, bias], [], node.outputs);
}

/** The operand [C] as [C, 1, …], so that it meets the channels of a value of that rank. */
function perChannel(lowering: Lowering, input: number, rank: number): string {
  const suffix = input === 1 ? 'scale' : 'bias';
  const tensor = lowering.constant(input);
  if (tensor) return lowering.addConstant(suffix, tensor.reshape([tensor.size, ...Array<number>(rank - 2).fill(1)]));
  const shape = lowering.addConstant(`${suffix}_shape`, Tensor.integers([-1, ...Array<number>(rank - 2).fill(1)]));
  return lowering.apply('Reshape', [lowering.input(input), shape], [], suffix);
}

/** LayerNormalization before 17: (x − mean) / √(variance + ε) · scale + bias over the last axes. */
export function layerNormalization(lowering: Lowering): Lowering {
  const rank = lowering.rank();
  const first = normalizeAxis(lowering.number('axis'), rank);
  const axes = { name: 'axes', ints: Array.from({ length: rank - first }, (_, i) => first + i) };
  const [x, scale, bias] = [0, 1, 2].map((i) => lowering.input(i));
  const [output, meanOutput, deviationOutput] = lowering.node.outputs;
  const mean = lowering.apply('ReduceMean', [x], [axes], 'mean');
  const centred = lowering.apply('Sub', [x, mean], [], 'centred');
  const square = lowering.apply('Mul', [centred, centred], [], 'square');
  const variance = lowering.apply('ReduceMean', [square], [axes], 'variance');
  const shifted = lowering.apply(
    'Add',
    [variance, lowering.scalar('epsilon', lowering.number('epsilon'))],
    [],
    'shifted',
  );
  const deviation = lowering.apply('Sqrt', [shifted], [], 'deviation');
  const normal = lowering.apply('Div', [centred, deviation], [], 'normalized');
  if (meanOutput) lowering.finish('Identity', [mean], [], [meanOutput]);
  if (deviationOutput) lowering.finish('Reciprocal', [deviation], [], [deviationOutput]);
  if (!bias) return lowering.finish('Mul', [normal, scale], [], [output]);
  const scaled = lowering.apply('Mul', [normal, scale], [], 'scaled');
  return lowering.finish('Add', [scaled, bias], [], [output]);
}
