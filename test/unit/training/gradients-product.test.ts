import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { semantics } from '../../../src/ops/index.js';
import { gradientErrors } from '../../support/check-gradient.js';
import { expectGradients } from '../../support/gradient-cases.js';

// Linear in each operand, so that only float32 rounding is left.
const LINEAR = { step: 0.5 };

const PRODUCTS: Record<string, readonly [a: readonly number[], b: readonly number[]]> = {
  'two matrices': [
    [3, 4],
    [4, 5],
  ],
  'rows of many images by one matrix': [
    [2, 3, 4, 5],
    [5, 6],
  ],
  'batches of equal shape': [
    [2, 3, 4, 5],
    [2, 3, 5, 2],
  ],
  'one matrix before a batch': [
    [3, 4],
    [2, 4, 5],
  ],
  'both batches stretched': [
    [2, 1, 3, 4],
    [3, 4, 2],
  ],
  'a batch of one': [
    [1, 3, 4],
    [2, 4, 2],
  ],
  'vector by matrix': [[4], [4, 5]],
  'matrix by vector': [[3, 4], [4]],
  'batch by vector': [[2, 3, 4], [4]],
  'vector by batch': [[4], [2, 3, 4, 5]],
  'two vectors': [[4], [4]],
};

describe('gradients of MatMul', () => {
  it.each(Object.entries(PRODUCTS))('%s', async (_, inputs) => {
    await expectGradients({ op: 'MatMul', inputs }, 1e-4, LINEAR);
  });

  it('of a matrix by itself', async () => {
    const builder = new GraphBuilder(semantics);
    const x = builder.input('x', { dtype: 'f32', shape: [3, 3] });
    const graph = builder.build([builder.apply('MatMul', [x, x])]);
    for (const error of (await gradientErrors(graph)).values()) expect(error).toBeLessThan(1e-3);
  });
});

const TRANSPOSED = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const;
const BIASES: Record<string, readonly number[] | undefined> = {
  'no bias': undefined,
  'one number': [],
  'a row': [5],
  'a row with two axes': [1, 5],
  'a column': [3, 1],
  'a matrix': [3, 5],
};

describe.each(TRANSPOSED)('gradients of Gemm, transA %i, transB %i', (transA, transB) => {
  const a = transA ? [4, 3] : [3, 4];
  const b = transB ? [5, 4] : [4, 5];

  it.each(Object.entries(BIASES))('%s', async (_, bias) => {
    await expectGradients({ op: 'Gemm', inputs: [a, b, bias], attributes: { transA, transB } }, 1e-4, LINEAR);
  });

  it('with factors', async () => {
    const attributes = { transA, transB, alpha: 0.5, beta: -2 };
    await expectGradients({ op: 'Gemm', inputs: [a, b, [5]], attributes }, 1e-4, LINEAR);
  });
});

describe('gradients of Gemm', () => {
  it('add to what other readers give, and to those of the same operand', async () => {
    const builder = new GraphBuilder(semantics);
    const x = builder.input('x', { dtype: 'f32', shape: [4, 4] });
    const product = builder.apply('Gemm', [x, x, x], { transB: 1, alpha: 0.5 });
    const graph = builder.build([builder.apply('Mul', [builder.apply('Add', [product, x]), x])]);
    for (const error of (await gradientErrors(graph)).values()) expect(error).toBeLessThan(1e-3);
  });
});

const EQUATIONS: Record<string, readonly (readonly number[])[]> = {
  'ij,jk->ik': [
    [3, 4],
    [4, 5],
  ],
  'ij,jk': [
    [3, 4],
    [4, 5],
  ],
  'bhqd,bhkd->bhqk': [
    [2, 2, 3, 4],
    [2, 2, 5, 4],
  ],
  '...ij,...jk->...ik': [
    [2, 1, 3, 4],
    [1, 3, 4, 2],
  ],
  'nchw,oc->nohw': [
    [2, 3, 4, 5],
    [6, 3],
  ],
  'ncdhw,nc->ndhw': [
    [2, 3, 2, 3, 2],
    [2, 3],
  ],
  'ij->ji': [[3, 4]],
  'ij->i': [[3, 4]],
  'ij->': [[3, 4]],
  'i,i->': [[4], [4]],
  'ij,k->i': [[3, 4], [2]],
  'ii->i': [[4, 4]],
  'ii->': [[4, 4]],
  'iji,j->i': [[3, 2, 3], [2]],
  'i,j,ij->': [[3], [4], [3, 4]],
  'ia,ja,ka->ijk': [
    [2, 3],
    [4, 3],
    [2, 3],
  ],
  'ij,ij->ij': [
    [1, 4],
    [3, 4],
  ],
  'aB,Bc->ac': [
    [2, 3],
    [3, 4],
  ],
};

describe('gradients of Einsum', () => {
  it.each(Object.entries(EQUATIONS))('%s', async (equation, inputs) => {
    await expectGradients({ op: 'Einsum', inputs, attributes: { equation } }, 1e-4, LINEAR);
  });
});
