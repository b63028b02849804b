import { badNode } from '../errors.js';
import { differ, formatShape } from '../ir/dims.js';
import type { Call, Operand } from '../ir/semantics.js';
import type { Dim, Shape, ValueType } from '../ir/types.js';
import type { AttributeTable } from './attributes.js';
import { sameAxes, type Typed } from './axes.js';
import { alignedTies, broadcastShapes, commonType, requireBroadcastTo } from './broadcast.js';
import { defineOp, operand, shapeOf, type Tie } from './op.js';

/** numpy.matmul: the last axis of A against the last but one of B, batched over the axes before. */
const matMul = defineOp({
  name: 'MatMul',
  inputs: [{ name: 'A' }, { name: 'B' }],
  outputs: ['Y'],
  attributes: {},
  infer(call) {
    const dtype = commonType([operand(call, 0), operand(call, 1)]);
    const [a, b] = [shapeOf(call, 0), shapeOf(call, 1)];
    if (!a || !b) return [{ dtype, shape: null }];
    if (a.length === 0 || b.length === 0) throw badNode('a scalar cannot be multiplied as a matrix');
    const [inner, other] = [a[a.length - 1], b[Math.max(0, b.length - 2)]];
    if (differ(inner, other))
      throw badNode(
        `shapes ${formatShape(a)} and ${formatShape(b)} do not fit: ${inner} columns against ${other} rows`,
      );
    const batch = broadcastShapes([a.slice(0, -2), b.slice(0, -2)]) as Shape;
    return [{ dtype, shape: [...batch, ...a.slice(-2, -1), ...(b.length > 1 ? b.slice(-1) : [])] }];
  },
  ties(call) {
    const [a, b] = [operand(call, 0), operand(call, 1)];
    const [output] = call.outputs;
    const [rankA, rankB, rank] = [a, b, output].map(({ type }) => type.shape?.length ?? 0);
    const rows = rankA > 1 ? sameAxes(a, rankA - 2, output, rank - (rankB > 1 ? 2 : 1)) : [];
    const columns = rankB > 1 ? sameAxes(b, rankB - 1, output, rank - 1) : [];
    const batchRank = rank - (rankA > 1 && rankB > 1 ? 2 : 1);
    return [
      ...contractedTies(a, rankA - 1, b, Math.max(0, rankB - 2)),
      ...rows,
      ...columns,
      ...batchTies(a, output, batchRank),
      ...batchTies(b, output, batchRank),
    ];
  },
  macs(call, [output]) {
    const { shape } = operand(call, 0).type;
    return count(output) * Number(shape?.[shape.length - 1]);
  },
});

/**
 * A contracted axis is tied as the channels of a 1x1 convolution are. Between two activations its extent has a meaning
 * (attention divides by its root), so there it is fixed.
 */
function contractedTies(a: Operand, axisA: number, b: Operand, axisB: number): Tie[] {
  return a.constant || b.constant ? sameAxes(a, axisA, b, axisB) : [];
}

/** The batch axes of one operand, which end before its last two, against those of the output. */
function batchTies(value: Typed, output: Typed, batchRank: number): Tie[] {
  const batchOf = ({ name, type }: Typed, rank: number): Typed => ({
    name,
    type: { ...type, shape: type.shape?.slice(0, Math.max(0, rank)) ?? null },
  });
  return alignedTies(batchOf(value, (value.type.shape?.length ?? 0) - 2), batchOf(output, batchRank));
}

const GEMM_ATTRIBUTES = {
  alpha: { kind: 'float', default: 1 },
  beta: { kind: 'float', default: 1 },
  transA: { kind: 'int', default: 0 },
  transB: { kind: 'int', default: 0 },
} as const satisfies AttributeTable;

/** alpha·A·B + beta·C, with A and B transposed on demand and C broadcast to the result. */
const gemm = defineOp({
  name: 'Gemm',
  inputs: [{ name: 'A' }, { name: 'B' }, { name: 'C', optional: true }],
  outputs: ['Y'],
  attributes: GEMM_ATTRIBUTES,
  infer(call, attributes) {
    const dtype = commonType(call.inputs.filter((input) => input !== undefined));
    const { rows, inner, columns, other } = gemmSizes(call, attributes);
    if (inner !== undefined && other !== undefined && differ(inner, other))
      throw badNode(`A has ${inner} columns, B ${other} rows; they must be equal`);
    if (rows === undefined || columns === undefined) return [{ dtype, shape: null }];
    const bias = call.inputs[2]?.type.shape;
    if (bias) requireBroadcastTo(bias, [rows, columns], 'the bias');
    return [{ dtype, shape: [rows, columns] }];
  },
  ties(call, { transA, transB }) {
    const [a, b] = [operand(call, 0), operand(call, 1)];
    const [output] = call.outputs;
    const [rowsOfA, rowsOfB] = [transA ? 1 : 0, transB ? 1 : 0];
    return [
      ...contractedTies(a, 1 - rowsOfA, b, rowsOfB),
      ...sameAxes(a, rowsOfA, output, 0),
      ...sameAxes(b, 1 - rowsOfB, output, 1),
      ...(call.inputs[2] ? alignedTies(call.inputs[2], output) : []),
    ];
  },
  macs(call, [output], attributes) {
    return count(output) * Number(gemmSizes(call, attributes).inner);
  },
});

type Sizes = Record<'rows' | 'inner' | 'other' | 'columns', Dim | undefined>;

function gemmSizes(call: Call, { transA, transB }: { transA: number; transB: number }): Sizes {
  const [a, b] = [shapeOf(call, 0, 2) ?? [], shapeOf(call, 1, 2) ?? []];
  const [rows, inner] = transA ? [a[1], a[0]] : a;
  const [other, columns] = transB ? [b[1], b[0]] : b;
  return { rows, inner, other, columns };
}

function count(type: ValueType): number {
  return (type.shape ?? []).reduce<number>((product, dim) => product * Number(dim), 1);
}

export const denseOps = [matMul, gemm];
