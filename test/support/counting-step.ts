import { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { Dim, ValueType } from '../../src/ir/types.js';
import { semantics } from '../../src/ops/index.js';

const float = (shape: readonly Dim[]): ValueType => ({ dtype: 'f32', shape });

/** A step that adds its input `x` to its state: total' = total + x, steps' = steps + 1 (int64), and mean(total') out. */
export function countingStep(size: number): Graph {
  const builder = new GraphBuilder(semantics, { name: 'counting' });
  builder.input('x', float([size]));
  builder.input('total', float([size]));
  builder.input('steps', { dtype: 'i64', shape: [1] });
  const one = builder.constant('one', Tensor.integers([1]));
  builder.add({ op: 'Add', name: 'sum', inputs: ['total', 'x'], outputs: ['total_next'], attributes: {} });
  builder.add({ op: 'Add', name: 'count', inputs: ['steps', one], outputs: ['steps_next'], attributes: {} });
  builder.add({
    op: 'ReduceMean',
    name: 'mean',
    inputs: ['total_next'],
    outputs: ['loss'],
    attributes: { keepdims: 0 },
  });
  return builder.build(['loss', 'total_next', 'steps_next']);
}

/** Which of its outputs become which of its inputs. */
export const countingCarries = new Map([
  ['total_next', 'total'],
  ['steps_next', 'steps'],
]);
