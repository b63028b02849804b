import type { Tensor } from '../../ir/tensor.js';

/**
 * The operations that TFLite and TensorFlow.js share, in their common meaning: channels last, static shapes. A graph is
 * lowered to them once; the two writers only spell them.
 */

/** Element types of values inside such a program; a constant of halves (`f16`) is read as singles. */
export type ProgramType = 'f32' | 'i32' | 'u8' | 'i8' | 'bool';

export interface ProgramValue {
  readonly dtype: ProgramType;
  readonly shape: readonly number[];
  /** For a constant; its own type is `dtype`, or `f16` where that is `f32`. */
  readonly tensor?: Tensor;
}

/** Elements beside the input, before and after it on each spatial axis; `same` is TensorFlow's rule. */
export type Padding = 'same' | 'valid' | { readonly before: readonly number[]; readonly after: readonly number[] };

/** An activation that a target computes together with what makes its input. */
export interface Activation {
  readonly function: 'relu' | 'relu6' | 'leakyRelu' | 'elu' | 'sigmoid';
  /** Slope of `leakyRelu`. */
  readonly alpha?: number;
}

export type UnaryFunction =
  | 'relu'
  | 'relu6'
  | 'leakyRelu'
  | 'elu'
  | 'sigmoid'
  | 'tanh'
  | 'hardSwish'
  | 'gelu'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'rsqrt'
  | 'square'
  | 'abs'
  | 'neg'
  | 'floor'
  | 'ceil'
  | 'round'
  | 'sign'
  | 'sin'
  | 'cos'
  | 'erf'
  | 'not';

export type BinaryFunction =
  | 'add'
  | 'subtract'
  | 'multiply'
  | 'divide'
  | 'power'
  | 'maximum'
  | 'minimum'
  | 'floorMod'
  | 'less'
  | 'lessEqual'
  | 'greater'
  | 'greaterEqual'
  | 'equal'
  | 'notEqual'
  | 'and'
  | 'or';

export type ReduceFunction = 'mean' | 'sum' | 'max' | 'min' | 'product';

/** Strides, dilations, windows and sizes have one number a spatial axis. Filters and biases are constants. */
interface Kinds {
  /** x [N,H,W,C], filter [O,h,w,C/groups], bias [O]?; groups follow from the shapes. */
  conv2d: {
    readonly strides: readonly number[];
    readonly dilations: readonly number[];
    readonly padding: Padding;
    readonly activation?: Activation;
  };
  /** x [N,H,W,C], filter [1,h,w,C·multiplier], bias [C·multiplier]?; output c·multiplier + j reads channel c. */
  depthwiseConv2d: Kinds['conv2d'] & { readonly multiplier: number };
  /** x [N,H,W,C], filter [O,h,w,C], bias [O]?; `valid` gives (size − 1)·stride + kernel, `same` size·stride. */
  transposeConv2d: { readonly strides: readonly number[]; readonly padding: 'same' | 'valid' };
  /** x [N,D,H,W,C], filter [d,h,w,C,O], bias [O]?. */
  conv3d: Kinds['conv2d'];
  /** x [N,D,H,W,C], filter [d,h,w,O,C], bias [O]?. */
  transposeConv3d: Kinds['transposeConv2d'];
  /** x [N,H,W,C]; the average of `same` counts only what lies inside. */
  pool2d: {
    readonly function: 'max' | 'average';
    readonly window: readonly number[];
    readonly strides: readonly number[];
    readonly padding: 'same' | 'valid';
  };
  /** x [N,H,W,C]. */
  resize2d: {
    readonly method: 'nearest' | 'bilinear';
    readonly size: readonly number[];
    readonly alignCorners: boolean;
    readonly halfPixelCenters: boolean;
  };
  unary: { readonly function: UnaryFunction; readonly alpha?: number; readonly approximate?: boolean };
  /** Two operands that broadcast as in NumPy. */
  binary: { readonly function: BinaryFunction; readonly activation?: Activation };
  /** x, slope; slope broadcasts to x. */
  prelu: Record<never, never>;
  /** Over the last axis. */
  softmax: Record<never, never>;
  concat: { readonly axis: number };
  slice: { readonly begin: readonly number[]; readonly size: readonly number[] };
  /** Begin and end as in Python, of every axis; strides may be negative, then end −1 is "before the first". */
  stridedSlice: {
    readonly begin: readonly number[];
    readonly end: readonly number[];
    readonly strides: readonly number[];
  };
  pad: { readonly before: readonly number[]; readonly after: readonly number[]; readonly value: number };
  mirrorPad: {
    readonly before: readonly number[];
    readonly after: readonly number[];
    readonly mode: 'reflect' | 'symmetric';
  };
  transpose: { readonly order: readonly number[] };
  /** To the shape of the output; also spells "the same value under another name". */
  reshape: Record<never, never>;
  /** To the element type of the output. */
  cast: Record<never, never>;
  /** x, indices (i32, none negative). */
  gather: { readonly axis: number };
  tile: { readonly repeats: readonly number[] };
  /** condition, then, otherwise; all of the output's shape. */
  select: Record<never, never>;
  reduce: { readonly function: ReduceFunction; readonly axes: readonly number[]; readonly keepDims: boolean };
  /** Index (i32) of the largest or smallest element; the axis goes. */
  argument: { readonly function: 'max' | 'min'; readonly axis: number };
  /** [..., m, k] · [..., k, n]; leading axes are equal. */
  matMul: Record<never, never>;
  /** x [..., I], weights [O, I] (constant), bias [O]? (constant). */
  fullyConnected: { readonly activation?: Activation };
  /** x [N,H,W,C]; the block's position is the slow part of the channel number (ONNX calls it DCR). */
  depthToSpace: { readonly blockSize: number };
  spaceToDepth: { readonly blockSize: number };
}

export type OperationKind = keyof Kinds;

/** The graph's node that an operation comes from. */
export interface SourceNode {
  readonly name: string;
  readonly op: string;
}

export type OperationOf<K extends OperationKind> = Kinds[K] & {
  readonly kind: K;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly node: SourceNode;
};

export type Operation = { [K in OperationKind]: OperationOf<K> }[OperationKind];

export type AttributesOf<K extends OperationKind> = Kinds[K];

/** An input or output of the model. */
export interface ProgramInterface {
  /** The model's own name for it. */
  readonly name: string;
  /** The program's value. */
  readonly value: string;
  /** Whether its axes were moved: the model has channels first, the artefact channels last. */
  readonly channelsMoved: boolean;
}

/** A lowered graph: operations in topological order over typed values. */
export interface Program {
  readonly name: string;
  readonly inputs: readonly ProgramInterface[];
  readonly outputs: readonly ProgramInterface[];
  readonly operations: readonly Operation[];
  readonly values: ReadonlyMap<string, ProgramValue>;
  readonly metadata: ReadonlyMap<string, string>;
}
