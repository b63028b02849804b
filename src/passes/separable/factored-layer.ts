import type { Kernel } from '../../analysis/unfolding.js';
import type { Attributes } from '../../ir/graph.js';
import type { Factors } from './factors.js';
import type { ConvolutionOp } from './forms.js';

/** One of the two convolutions that replace a layer. */
export interface FactorLayer {
  readonly op: ConvolutionOp;
  /** What it is called after the layer and its weight. */
  readonly suffix: string;
  readonly group: number;
  readonly shape: readonly number[];
  /** The weight, row-major. */
  readonly values: Float64Array;
  /** Which spatial axes it slides over; on the others it is one position wide. */
  readonly axes: (axis: number) => boolean;
}

/**
 * The two convolutions in the order in which they run. Conv runs the right factor (kernel positions) first except in
 * `outer`; ConvTranspose, its adjoint, the other way round:
 *
 * | unfolding | right factor                       | left factor                                    |
 * |-----------|------------------------------------|------------------------------------------------|
 * | inner     | a group for each q, whole kernel   | pointwise: Conv mixes (q, t) to p; else p to (q, t) |
 * | outer     | a group for each p, whole kernel   | pointwise: Conv mixes q to (p, t); else (p, t) to q |
 * | channel   | q to t (or t to q), whole kernel   | pointwise: t to p (or p to t)                  |
 * | spatial   | q to t (or t to q), first axis     | t to p (or p to t), the other axes             |
 */
export function factorLayers(op: ConvolutionOp, kernel: Kernel, factors: Factors): [FactorLayer, FactorLayer] {
  const right = rightLayer(op, kernel, factors);
  const left = leftLayer(op, kernel, factors);
  return rightRunsFirst(op, factors) ? [right, left] : [left, right];
}

function rightRunsFirst(op: ConvolutionOp, { unfolding }: Factors): boolean {
  return (op === 'Conv') !== (unfolding === 'outer');
}

function rightLayer(op: ConvolutionOp, kernel: Kernel, factors: Factors): FactorLayer {
  const { unfolding, count, rank, right } = factors;
  const { groups, inner, spatial } = kernel;
  const ones = spatial.slice(1).map(() => 1);
  const whole = () => true;
  switch (unfolding) {
    case 'inner': {
      const shape = [count * rank, 1, ...spatial];
      return { op, suffix: 'depthwise', group: count, shape, values: right, axes: whole };
    }
    case 'outer': {
      const shape = [count, rank, ...spatial];
      return { op, suffix: 'depthwise', group: count, shape, values: right, axes: whole };
    }
    case 'channel': {
      const suffix = rightRunsFirst(op, factors) ? 'reduce' : 'expand';
      const shape = [groups * rank, inner, ...spatial];
      return { op, suffix, group: groups, shape, values: right, axes: whole };
    }
    case 'spatial': {
      const suffix = spatial.length === 2 ? 'vertical' : 'axial';
      const shape = [groups * rank, inner, spatial[0], ...ones];
      return { op, suffix, group: groups, shape, values: right, axes: (axis) => axis === 0 };
    }
  }
}

function leftLayer(op: ConvolutionOp, kernel: Kernel, factors: Factors): FactorLayer {
  const { unfolding, count, rank, rows, left } = factors;
  const { groups, spatial } = kernel;
  const ones = spatial.map(() => 1);
  if (unfolding === 'spatial') {
    const suffix = spatial.length === 2 ? 'horizontal' : 'planar';
    const { shape, values } = mixing(kernel, factors, [1, ...spatial.slice(1)]);
    return { op, suffix, group: groups, shape, values, axes: (axis) => axis > 0 };
  }
  const isLast = rightRunsFirst(op, factors);
  const suffix = unfolding === 'channel' ? (isLast ? 'expand' : 'reduce') : 'pointwise';
  const { shape, values } = isLast
    ? mixing(kernel, factors, ones)
    : { shape: [count * rank, rows, ...ones], values: left };
  return { op: 'Conv', suffix, group: groups, shape, values, axes: () => false };
}

/** left[(group, s), t, (p, x)] -> weight[(group, p), (s, t), x], with the kernel positions x of `spatial`. */
function mixing({ groups }: Kernel, { count, rank, rows, left }: Factors, spatial: readonly number[]) {
  const positions = spatial.reduce((product, size) => product * size, 1);
  const channels = rows / positions;
  const sources = count / groups;
  const values = new Float64Array(left.length);
  let from = 0;
  for (let group = 0; group < groups; group++)
    for (let source = 0; source < sources * rank; source++)
      for (let channel = 0; channel < channels; channel++)
        for (let x = 0; x < positions; x++)
          values[((group * channels + channel) * sources * rank + source) * positions + x] = left[from++];
  return { shape: [groups * channels, sources * rank, ...spatial], values };
}

/** The attributes of a factor: those of the layer on the axes it slides over, trivial ones on the others. */
export function factorAttributes(layer: Attributes, factor: Omit<FactorLayer, 'values'>): Attributes {
  const { shape, group, axes } = factor;
  const kernel = { kernel_shape: shape.slice(2), group };
  const rank = shape.length - 2;
  if (!Array.from({ length: rank }, (_, axis) => axes(axis)).some(Boolean)) return kernel;
  const only = (name: string, trivial: number) => {
    const list = layer[name] as readonly number[] | undefined;
    return list && { [name]: list.map((value, i) => (axes(i % rank) ? value : trivial)) };
  };
  return {
    ...kernel,
    ...(layer.auto_pad !== undefined && { auto_pad: layer.auto_pad }),
    ...only('strides', 1),
    ...only('dilations', 1),
    ...only('pads', 0),
    ...only('output_padding', 0),
    ...(layer.output_shape !== undefined && { output_shape: layer.output_shape }),
  };
}
