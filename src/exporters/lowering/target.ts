import type { Activation, OperationKind, UnaryFunction } from './operations.js';

/** What a format can say, as far as lowering depends on it. */
export interface Target {
  /** Its name in messages. */
  readonly title: string;
  /** Whether convolutions take explicit padding; otherwise the padding is an operation before them. */
  readonly explicitPadding: boolean;
  /** Whether `conv2d` may have groups; otherwise groups become slices, convolutions and a concatenation. */
  readonly groupedConvolution: boolean;
  /** Whether a convolution may have strides and dilations above 1; otherwise dilation becomes zeros in the kernel. */
  readonly dilatedStrides: boolean;
  /** Whether repeating the nearest element is quicker than a transposed convolution with a kernel of zeros. */
  readonly repeatsFast: boolean;
  /** Kinds of operations that the format does not have. */
  readonly missing: ReadonlySet<OperationKind>;
  /** Element-wise functions that the format, or the runtime's fast kernels, do not have; they are decomposed. */
  readonly decomposed: ReadonlySet<UnaryFunction>;
  /** Activations that can be computed within the operation that makes their input. */
  fuses(kind: OperationKind, activation: Activation['function']): boolean;
  /** Most axes of any value. */
  readonly mostAxes: number;
}
