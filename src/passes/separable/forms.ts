import { type Kernel, type Unfolding, unfoldedShape } from '../../analysis/unfolding.js';

export type ConvolutionOp = 'Conv' | 'ConvTranspose';

type FormName = 'depthwise-pointwise' | 'pointwise-depthwise' | 'spatial' | 'channel';

/** One way to write a convolution as two cheaper ones; cost is proportional to the rank. */
export interface Form {
  readonly name: FormName;
  readonly unfolding: Unfolding;
  readonly parametersPerRank: number;
  /** Multiply–accumulates for one output position (of ConvTranspose: for one input position). */
  readonly macsPerRank: number;
  /** No higher rank exists. */
  readonly fullRank: number;
}

/** The forms that a kernel can take; one with a single long axis has nothing to separate spatially. */
export function formsOf(op: ConvolutionOp, kernel: Kernel, strides: readonly number[]): Form[] {
  const { spatial, positions } = kernel;
  const split = spatial[0] > 1 && positions > spatial[0];
  const unfoldings: Unfolding[] = [
    ...(positions > 1 ? (['inner', 'outer'] as const) : []),
    'channel',
    ...(split ? (['spatial'] as const) : []),
  ];
  return unfoldings.map((unfolding) => ({
    name: nameOf(op, unfolding),
    unfolding,
    ...costPerRank(kernel, unfolding, strides),
  }));
}

function nameOf(op: ConvolutionOp, unfolding: Unfolding): FormName {
  if (unfolding === 'spatial' || unfolding === 'channel') return unfolding;
  return (op === 'Conv') === (unfolding === 'inner') ? 'depthwise-pointwise' : 'pointwise-depthwise';
}

/**
 * Both factors run at the coarser resolution except two: the pointwise factor of `outer`, which stands on the other
 * side of the stride, and the factor along the first spatial axis, which sees the other axes unstrided.
 */
function costPerRank(kernel: Kernel, unfolding: Unfolding, strides: readonly number[]) {
  const { count, rows, columns } = unfoldedShape(kernel, unfolding);
  const product = (numbers: readonly number[]) => numbers.reduce((a, b) => a * b, 1);
  const rowVisits = unfolding === 'outer' ? product(strides) : 1;
  const columnVisits = unfolding === 'spatial' ? product(strides.slice(1)) : 1;
  return {
    parametersPerRank: count * (rows + columns),
    macsPerRank: count * (rows * rowVisits + columns * columnVisits),
    fullRank: Math.min(rows, columns),
  };
}
