import { describe, expect, it } from 'vitest';
import type { Dim } from '../../src/ir/types.js';
import { resolveAttributes } from '../../src/ops/attributes.js';
import { operators } from '../../src/ops/index.js';
import { expectAgreement, expectRefusal, expectThinningLaw } from '../support/op-laws.js';
import { counting, inferCase, inferNode, type NodeCase, unknown } from '../support/run-node.js';

const matMul = (a: number[], b: number[]): NodeCase => ({ op: 'MatMul', inputs: [counting(a), counting(b)] });
const gemm = (shapes: number[][], attributes: Record<string, number> = {}): NodeCase => ({
  op: 'Gemm',
  inputs: shapes.map((shape) => counting(shape)),
  attributes,
  floats: ['alpha', 'beta'],
});
const einsum = (equation: string, ...shapes: number[][]): NodeCase => ({
  op: 'Einsum',
  inputs: shapes.map((shape) => counting(shape)),
  attributes: { equation },
});

const agreeing: Record<string, NodeCase> = {
  'MatMul of matrices': matMul([3, 4], [4, 5]),
  'MatMul in batches': matMul([2, 1, 3, 4], [7, 4, 5]),
  'MatMul by a vector': matMul([2, 3, 4], [4]),
  'MatMul of a vector': matMul([4], [2, 4, 5]),
  'MatMul of vectors': matMul([4], [4]),
  Gemm: gemm([
    [3, 4],
    [4, 5],
  ]),
  'Gemm transposed': gemm([[4, 3], [5, 4], [5]], { transA: 1, transB: 1, alpha: 2 }),
  'Gemm with a column': gemm([
    [3, 4],
    [4, 5],
    [3, 1],
  ]),
  'Gemm with a number': gemm([[3, 4], [4, 5], []], { beta: 2 }),
  'Einsum as a product': einsum('ij,jk->ik', [3, 4], [4, 5]),
  'Einsum as a transposition': einsum('b i j -> b j i', [2, 3, 4]),
  'Einsum in implicit order': einsum('ca,cb', [3, 4], [3, 2]),
  'Einsum of attention': einsum('bhid,bhjd->bhij', [2, 3, 4, 5], [2, 3, 6, 5]),
  'Einsum with an ellipsis': einsum('...ij,...jk->...ik', [2, 3, 4], [2, 4, 5]),
  'Einsum to a sum': einsum('ij->', [3, 4]),
  'Einsum of a diagonal': einsum('ii->i', [3, 3]),
  'Einsum of three': einsum('i,ij,j->ij', [3], [3, 4], [4]),
};

const refused: Record<string, [NodeCase, RegExp]> = {
  'MatMul of unlike matrices': [matMul([3, 4], [5, 4]), /4 columns against 5 rows/],
  'MatMul of unlike batches': [matMul([2, 3, 4], [3, 4, 5]), /cannot be broadcast/],
  'MatMul of a number': [matMul([], [4, 5]), /a scalar/],
  'Gemm of unlike matrices': [
    gemm(
      [
        [3, 4],
        [4, 5],
      ],
      { transB: 1 },
    ),
    /A has 4 columns, B 5 rows/,
  ],
  'Gemm with a bias that does not fit': [gemm([[3, 4], [4, 5], [4]]), /the bias/],
  'Gemm of a batch': [
    gemm([
      [2, 3, 4],
      [4, 5],
    ]),
    /rank 2/,
  ],
  'Einsum of another rank': [einsum('ij,jk->ik', [3, 4, 1], [4, 5]), /does not fit/],
  'Einsum of too many terms': [einsum('ij,jk->ik', [3, 4]), /2 terms for 1 inputs/],
  'Einsum of unlike extents': [einsum('ij,jk->ik', [3, 4], [5, 6]), /extents 4 and 5/],
  'Einsum of an unknown index': [einsum('ij->ik', [3, 4]), /names 'k'/],
  'Einsum of no equation': [einsum('i1->i', [3, 4]), /no equation/],
};

describe('matrix products', () => {
  it.each(Object.entries(agreeing))('%s: infers what ONNX Runtime computes', (_, node) => expectAgreement(node));

  it.each(Object.entries(refused))('%s: refuses as ONNX Runtime does', (_, [node, reason]) =>
    expectRefusal(node, reason),
  );

  it('carries symbolic sizes', () => {
    const shapeOf = (op: string, shapes: (Dim[] | null)[], attributes = {}) =>
      inferNode(
        op,
        shapes.map((shape, i) => unknown(`${i}`, shape)),
        attributes,
      )[0].type.shape;
    expect(
      shapeOf('MatMul', [
        ['n', 'h', 8],
        [8, 'k'],
      ]),
    ).toEqual(['n', 'h', 'k']);
    expect(shapeOf('MatMul', [null, [8, 4]])).toBeNull();
    expect(
      shapeOf(
        'Gemm',
        [
          ['n', 8],
          [4, 8],
        ],
        { transB: 1 },
      ),
    ).toEqual(['n', 4]);
    expect(
      shapeOf(
        'Einsum',
        [
          ['n', 8],
          [4, 8],
        ],
        { equation: 'nc,oc->no' },
      ),
    ).toEqual(['n', 4]);
    expect(shapeOf('Einsum', [null, [4, 8]], { equation: 'nc,oc->no' })).toBeNull();
  });

  it('counts multiply–accumulates', () => {
    const macs = (node: NodeCase) => {
      const definition = operators.get(node.op)!;
      const inputs = node.inputs.map((tensor, i) => tensor && unknown(`${i}`, tensor.shape));
      const types = inferCase(node).map(({ type }) => type);
      const call = { inputs, attributes: node.attributes ?? {}, outputCount: 1 };
      return definition.macs?.(call, types, resolveAttributes(definition.attributes, call.attributes));
    };
    expect(macs(agreeing['MatMul in batches'])).toBe(2 * 7 * 3 * 4 * 5);
    expect(macs(agreeing['MatMul by a vector'])).toBe(2 * 3 * 4);
    expect(macs(agreeing['Gemm transposed'])).toBe(3 * 4 * 5);
    expect(macs(agreeing['Einsum of attention'])).toBe(2 * 3 * 4 * 6 * 5);
    expect(macs(agreeing['Einsum with an ellipsis'])).toBe(2 * 3 * 4 * 5);
  });
});

/** Which axes were thinned with some seed. */
async function thinnedAxes(node: NodeCase, computed: number[], pinned: string[] = []): Promise<Set<string>> {
  const thinned = new Set<string>();
  for (let seed = 0; seed < 12; seed++)
    for (const axis of await expectThinningLaw(node, { seed, computed, pinned })) thinned.add(axis);
  return thinned;
}

describe('ties of matrix products', () => {
  const layers: Record<string, NodeCase> = {
    'MatMul of a batch by a weight': matMul([2, 3, 4], [4, 5]),
    'MatMul of a vector by a weight': matMul([4], [4, 5]),
    'MatMul by a vector': matMul([2, 4], [4]),
    Gemm: gemm([[3, 4], [4, 5], [5]]),
    'Gemm transposed': gemm(
      [
        [4, 3],
        [5, 4],
        [1, 5],
      ],
      { transA: 1, transB: 1 },
    ),
    'Gemm with a full bias': gemm([
      [3, 4],
      [4, 5],
      [3, 5],
    ]),
    Einsum: einsum('nchw,oc->nohw', [1, 4, 2, 2], [5, 4]),
    'Einsum with an ellipsis': einsum('...c,co->...o', [2, 3, 4], [4, 5]),
  };

  it.each(Object.entries(layers))('%s: channels in and out follow the weight', async (_, node) => {
    const thinned = await thinnedAxes(node, [0]);
    const weightAxes = (node.inputs[1]?.shape ?? []).map((_, axis) => `in_1 ${axis}`);
    for (const axis of weightAxes) expect(thinned).toContain(axis);
  });

  it('fixes the contracted axis of two activations, and lets the others go', async () => {
    const thinned = await thinnedAxes(matMul([2, 3, 4], [2, 4, 5]), [0, 1]);
    expect([...thinned].sort()).toEqual(['in_0 0', 'in_0 1', 'in_1 0', 'in_1 2', 'out_0 0', 'out_0 1', 'out_0 2']);
    const attention = await thinnedAxes(agreeing['Einsum of attention'], [0, 1]);
    expect(attention).not.toContain('in_0 3');
    expect(attention).toContain('in_0 1');
  });

  it('does not tie an axis that is broadcast', async () => {
    const thinned = await thinnedAxes(matMul([1, 3, 4], [2, 4, 5]), [0, 1]);
    expect([...thinned].sort()).toEqual(['in_0 1', 'in_1 0', 'in_1 2', 'out_0 0', 'out_0 1', 'out_0 2']);
    expect(
      await thinnedAxes(
        gemm([
          [3, 4],
          [4, 5],
          [3, 1],
        ]),
        [0],
      ),
    ).toContain('out_0 1');
  });

  it('fixes a diagonal and a sum', async () => {
    expect(await thinnedAxes(einsum('ii->i', [3, 3]), [0])).toEqual(new Set());
    expect([...(await thinnedAxes(einsum('ij->i', [3, 4]), [0]))].sort()).toEqual(['in_0 0', 'out_0 0']);
  });
});
