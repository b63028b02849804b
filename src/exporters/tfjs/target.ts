import type { Activation, OperationKind } from '../lowering/operations.js';
import type { Target } from '../lowering/target.js';

/** Kinds that the converter knows no operator for. */
const MISSING = ['transposeConv3d'] as const satisfies readonly OperationKind[];

/** Kinds that there is a writer for. */
export type WrittenKind = Exclude<OperationKind, (typeof MISSING)[number]>;

const ALL: ReadonlySet<Activation['function']> = new Set(['relu', 'relu6', 'leakyRelu', 'elu', 'sigmoid']);

const FUSED: Readonly<Partial<Record<OperationKind, ReadonlySet<Activation['function']>>>> = {
  conv2d: ALL,
  // The converter drops the slope of leakyRelu here.
  depthwiseConv2d: new Set(['relu', 'relu6', 'elu', 'sigmoid']),
  fullyConnected: ALL,
};

/** What a graph model can say and the WebAssembly backend of TensorFlow.js 4.22 computes right. */
export const TFJS: Target = {
  title: 'TensorFlow.js',
  explicitPadding: true,
  groupedConvolution: false,
  dilatedStrides: false,
  repeatsFast: true,
  missing: new Set(MISSING),
  decomposed: new Set(),
  fuses: (kind, activation) => FUSED[kind]?.has(activation) ?? false,
  mostAxes: 6,
};
