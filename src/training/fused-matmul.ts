import { foreignNode } from '../ir/graph.js';
import type { Kernels, Value } from './kernels.js';

/**
 * A matrix product whose second factor is read transposed, without a copy of it: FusedMatMul of the runtime's contributed
 * operators.
 */
export function timesTransposed(k: Kernels, a: Value, b: Value): Value {
  const columns = b.shape.at(-2) as number;
  const output = k.builder.fresh(`${k.scope}fusedmatmul`);
  const node = foreignNode({
    op: 'FusedMatMul',
    domain: 'com.microsoft',
    version: 1,
    inputs: [k.nameOf(a), k.nameOf(b)],
    outputs: [output],
    attributes: { transB: 1 },
  });
  k.builder.add(node, [{ dtype: a.dtype, shape: [...a.shape.slice(0, -1), columns] }]);
  return k.wrap(output);
}
