import type { Node } from '../../../ir/graph.js';
import { gelu, gridSampleOfImages, hardSwish, mish } from './activations.js';
import { type ExportScope, Lowering } from './lowering.js';
import { groupNormalization, layerNormalization } from './norm.js';
import { resizeBefore19 } from './resize.js';
import { castToKnownType, padAllAxes, reduceWithAttribute, shapeThenSlice, splitWithoutCount } from './shape.js';

/** The oldest version of the standard operators that is written. */
export const OLDEST_WRITTEN = 13;

interface Row {
  /** The version from which the operator has its canonical signature. */
  readonly since: number;
  /** Versions from which attributes exist; before, only their defaults can be said. */
  readonly attributes?: Readonly<Record<string, number>>;
  /** How it is said before `since`; without, it cannot be. */
  readonly before?: (lowering: Lowering) => Lowering;
}

/** Written in its canonical form at every version. */
const always: Row = { since: OLDEST_WRITTEN };
const reduction: Row = { since: 18, before: reduceWithAttribute };

/** How each operator is written. A test holds it against the table of operators: none may be missing. */
export const ROWS: Readonly<Record<string, Row>> = {
  Abs: always,
  Add: always,
  And: always,
  ArgMax: always,
  ArgMin: always,
  AveragePool: { ...always, attributes: { dilations: 19 } },
  BatchNormalization: { ...always, attributes: { training_mode: 14 } },
  Cast: { ...always, attributes: { saturate: 19 } },
  CastLike: {
    since: 15,
    attributes: { saturate: 19 },
    before: castToKnownType,
  },
  Ceil: always,
  Celu: always,
  Clip: always,
  Concat: always,
  ConstantOfShape: always,
  Conv: always,
  ConvTranspose: always,
  Cos: always,
  DepthToSpace: always,
  DequantizeLinear: { ...always, attributes: { block_size: 21, output_dtype: 23 } },
  Div: always,
  Dropout: always,
  Einsum: always,
  Elu: always,
  Equal: always,
  Erf: always,
  Exp: always,
  Expand: always,
  Flatten: always,
  Floor: always,
  Gather: always,
  Gelu: { since: 20, before: gelu },
  Gemm: always,
  GlobalAveragePool: always,
  GlobalLpPool: always,
  GlobalMaxPool: always,
  Greater: always,
  GreaterOrEqual: always,
  GridSample: { since: 20, before: gridSampleOfImages },
  GroupNormalization: { since: 21, before: groupNormalization },
  HardSigmoid: always,
  HardSwish: { since: 14, before: hardSwish },
  Identity: always,
  InstanceNormalization: always,
  LayerNormalization: { since: 17, before: layerNormalization },
  LeakyRelu: always,
  Less: always,
  LessOrEqual: always,
  Log: always,
  LogSoftmax: always,
  LpPool: { ...always, attributes: { ceil_mode: 18, dilations: 18 } },
  MatMul: always,
  Max: always,
  MaxPool: always,
  Mean: always,
  Min: always,
  Mish: { since: 18, before: mish },
  Mod: always,
  Mul: always,
  Neg: always,
  Not: always,
  Or: always,
  Pad: { since: 19, before: padAllAxes },
  Pow: always,
  PRelu: always,
  QuantizeLinear: { ...always, attributes: { saturate: 19, block_size: 21, output_dtype: 21, precision: 23 } },
  Range: always,
  Reciprocal: always,
  ReduceL2: reduction,
  ReduceMax: reduction,
  ReduceMean: reduction,
  ReduceMin: reduction,
  ReduceProd: reduction,
  ReduceSum: always,
  Relu: always,
  Reshape: { ...always, attributes: { allowzero: 14 } },
  Resize: { since: 19, before: resizeBefore19 },
  Round: always,
  Selu: always,
  Shape: { since: 15, before: shapeThenSlice },
  Sigmoid: always,
  Sign: always,
  Sin: always,
  Size: always,
  Slice: always,
  Softmax: always,
  Softplus: always,
  Softsign: always,
  SpaceToDepth: always,
  Split: { since: 18, before: splitWithoutCount },
  Sqrt: always,
  Squeeze: always,
  Sub: always,
  Sum: always,
  Tanh: always,
  ThresholdedRelu: always,
  Tile: always,
  Transpose: always,
  Unsqueeze: always,
  Where: always,
  Xor: always,
};

/**
 * A node of the graph with the operators of the version that is written.
 *
 * @throws CompressError when that version cannot say what the node does
 */
export function lower(node: Node, scope: ExportScope): Lowering {
  const lowering = new Lowering(node, scope);
  const row = ROWS[node.op] ?? lowering.fail('this operator has no counterpart');
  const dropped = attributesToDrop(row, lowering);
  if (scope.opset >= row.since) return lowering.finish(node.op, node.inputs, lowering.given(dropped));
  return row.before?.(lowering) ?? lowering.fail(`this operator exists since operator set ${row.since}`);
}

/** Attributes that the version does not know; they say nothing there as long as they hold their defaults. */
function attributesToDrop({ attributes = {} }: Row, lowering: Lowering): string[] {
  const tooNew = Object.entries(attributes).filter(([, since]) => lowering.opset < since);
  for (const [name, since] of tooNew)
    if (!lowering.holdsDefault(name)) lowering.fail(`attribute '${name}' exists since operator set ${since}`);
  return tooNew.map(([name]) => name);
}
