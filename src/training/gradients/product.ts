import type { Kernels, Value } from '../kernels.js';
import { sizeOf } from '../kernels.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, type RuleTable, type Summed } from './rule.js';

/** dA = dY·Bᵀ, dB = Aᵀ·dY, summed over the batch axes that an operand does not have. */
const matMul: GradientRule = (call) => {
  const { kernels } = call;
  const [a, b] = [inputOf(call, 0), inputOf(call, 1)];
  // A vector stands for a row before the product, for a column behind it.
  const left = a.shape.length === 1 ? kernels.reshape(a, [1, ...a.shape]) : a;
  const right = b.shape.length === 1 ? kernels.reshape(b, [...b.shape, 1]) : b;
  const [rows, columns] = [left.shape.at(-2) ?? 1, right.shape.at(-1) ?? 1];
  const batch = gradientOf(call).shape.slice(0, batchRank(a, b));
  const dy = kernels.reshape(gradientOf(call), [...batch, rows, columns]);
  return right.shape.length === 2 ? matrixGradients(call, left, right, dy) : batchGradients(call, left, right, dy);
};

function batchRank(a: Value, b: Value): number {
  return Math.max(0, a.shape.length - 2, b.shape.length - 2);
}

/** One matrix behind all rows: the batch is more rows. */
function matrixGradients(call: GradientCall, a: Value, b: Value, dy: Value): (Value | undefined)[] {
  const { kernels, wanted } = call;
  const asRows = (value: Value) => {
    const columns = value.shape.at(-1) ?? 1;
    return kernels.reshape(value, [sizeOf(value) / columns, columns]);
  };
  const rows = asRows(dy);
  const da = () => kernels.operator('Gemm', [rows, b], { transB: 1 });
  const db = () => kernels.operator('Gemm', [asRows(a), rows], { transA: 1 });
  return [wanted[0] ? shaped(call, da(), 0) : undefined, wanted[1] ? shaped(call, db(), 1) : undefined];
}

function batchGradients(call: GradientCall, a: Value, b: Value, dy: Value): (Value | undefined)[] {
  const { kernels, wanted } = call;
  const da = () => kernels.sumTo(kernels.matmul(dy, transposed(kernels, b)), a.shape);
  const db = () => kernels.sumTo(kernels.matmul(transposed(kernels, a), dy), b.shape);
  return [wanted[0] ? shaped(call, da(), 0) : undefined, wanted[1] ? shaped(call, db(), 1) : undefined];
}

function shaped(call: GradientCall, gradient: Value, index: number): Value {
  return call.kernels.reshape(gradient, inputOf(call, index).shape);
}

function transposed(kernels: Kernels, a: Value): Value {
  const rank = a.shape.length;
  const batch = Array.from({ length: rank - 2 }, (_, axis) => axis);
  return kernels.transpose(a, [...batch, rank - 1, rank - 2]);
}

/** Y = α·A′·B′ + β·C, A′ and B′ transposed on demand: dA′ = α·dY·B′ᵀ, dB′ = α·A′ᵀ·dY, dC = β·dY, summed to C. */
const gemm: GradientRule = (call) => {
  const { kernels, inputs, attributes, wanted } = call;
  const [a, b, dy] = [inputOf(call, 0), inputOf(call, 1), gradientOf(call)];
  const [alpha, beta] = [Number(attributes.alpha), Number(attributes.beta)];
  const [transA, transB] = [attributes.transA ? 1 : 0, attributes.transB ? 1 : 0];
  /** α·p·q plus what other readers have given operand `index`. */
  const product = (index: number, p: Value, q: Value, transP: number, transQ: number): Summed => ({
    summed: kernels.operator('Gemm', [p, q, call.collected[index]], { alpha, transA: transP, transB: transQ }),
  });
  const da = () => (transA ? product(0, b, dy, transB, 1) : product(0, dy, b, 0, 1 - transB));
  const db = () => (transB ? product(1, dy, a, 1, transA) : product(1, a, dy, 1 - transA, 0));
  const dc = (c: Value) => {
    const summed = kernels.sumTo(dy, c.shape);
    return beta === 1 ? summed : kernels.scale(summed, beta);
  };
  return [
    wanted[0] ? da() : undefined,
    wanted[1] ? db() : undefined,
    inputs[2] && wanted[2] ? dc(inputs[2]) : undefined,
  ];
};

export const productRules: RuleTable = { MatMul: matMul, Gemm: gemm };
