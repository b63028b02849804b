import type { Activation, OperationKind } from '../lowering/operations.js';
import type { Target } from '../lowering/target.js';

const FUSING: ReadonlySet<OperationKind> = new Set(['conv2d', 'depthwiseConv2d', 'conv3d', 'binary', 'fullyConnected']);
const FUSED: ReadonlySet<Activation['function']> = new Set(['relu', 'relu6']);

/** What a TFLite file can say, and interpreters from TensorFlow Lite 2.9 on run. */
export const TFLITE: Target = {
  title: 'TFLite',
  explicitPadding: false,
  groupedConvolution: true,
  dilatedStrides: true,
  repeatsFast: false,
  missing: new Set(),
  decomposed: new Set(['sign', 'erf']),
  fuses: (kind, activation) => FUSING.has(kind) && FUSED.has(activation),
  mostAxes: 6,
};
