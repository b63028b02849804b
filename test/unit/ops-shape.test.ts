import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { analyseChannels } from '../../src/analysis/channels.js';
import { parseGraph } from '../../src/ir/parse.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { Dim } from '../../src/ir/types.js';
import { resolveAttributes } from '../../src/ops/attributes.js';
import { operators, semantics } from '../../src/ops/index.js';
import type { ElementSource, Tie } from '../../src/ops/op.js';
import { applyThinning, KeptCoordinates } from '../../src/passes/thinning/apply.js';
import { expectAgreement, expectRefusal, expectThinningLaw } from '../support/op-laws.js';
import { computed, constant, counting, inferNode, integers, type NodeCase, unknown } from '../support/run-node.js';

const x = counting([2, 6, 1, 4], 'i64');
const image = counting([1, 8, 2, 3]);
const scalar = (value: number) => Tensor.integers([value], []);
const reshape = (shape: number[], to: number[], allowzero = 0): NodeCase => ({
  op: 'Reshape',
  inputs: [counting(shape, 'i64'), integers(...to)],
  attributes: { allowzero },
});

const agreeing: Record<string, NodeCase> = {
  'Reshape to a vector': reshape([2, 6, 1, 4], [-1]),
  'Reshape that copies': reshape([2, 6, 1, 4], [0, 0, -1]),
  'Reshape that copies behind': reshape([2, 6, 4], [3, -1, 0]),
  'Reshape without an open size': reshape([2, 6, 4], [4, 12]),
  'Reshape to a scalar': reshape([1, 1], []),
  'Reshape of nothing': reshape([0, 3], [3, 0], 1),
  'Transpose by an order': { op: 'Transpose', inputs: [x], attributes: { perm: [0, 2, 3, 1] } },
  'Transpose to the reverse': { op: 'Transpose', inputs: [x] },
  'Squeeze of named axes': { op: 'Squeeze', inputs: [counting([1, 3, 1], 'i64'), integers(-1)] },
  'Squeeze of all': { op: 'Squeeze', inputs: [counting([1, 3, 1], 'i64')] },
  Unsqueeze: { op: 'Unsqueeze', inputs: [x, integers(-1, 0, 3)] },
  'Flatten at the channels': { op: 'Flatten', inputs: [x] },
  'Flatten before all': { op: 'Flatten', inputs: [x], attributes: { axis: 0 } },
  'Flatten behind all': { op: 'Flatten', inputs: [x], attributes: { axis: 4 } },
  'Flatten from behind': { op: 'Flatten', inputs: [x], attributes: { axis: -1 } },
  Shape: { op: 'Shape', inputs: [x] },
  'Shape in part': { op: 'Shape', inputs: [x], attributes: { start: 1, end: -1 } },
  'Shape beyond the rank': { op: 'Shape', inputs: [x], attributes: { start: -9, end: 9 } },
  'Shape of nothing': { op: 'Shape', inputs: [x], attributes: { start: 3, end: 1 } },
  Size: { op: 'Size', inputs: [x] },
  'ConstantOfShape by default': { op: 'ConstantOfShape', inputs: [integers(2, 3)] },
  'ConstantOfShape of a value': {
    op: 'ConstantOfShape',
    inputs: [integers(2)],
    attributes: { value: Tensor.integers([7]) },
  },
  'ConstantOfShape of a scalar': { op: 'ConstantOfShape', inputs: [integers()] },
  'Range upwards': { op: 'Range', inputs: [scalar(2), scalar(11), scalar(3)] },
  'Range downwards': { op: 'Range', inputs: [scalar(5), scalar(-2), scalar(-2)] },
  'Range of nothing': { op: 'Range', inputs: [scalar(5), scalar(5), scalar(1)] },
};

const refused: Record<string, [NodeCase, RegExp]> = {
  'Reshape to another size': [reshape([2, 6], [5, 2]), /shape \[2,6\] cannot be reshaped to \[5,2\]/],
  'Reshape to an uneven size': [reshape([2, 6], [5, -1]), /cannot be reshaped/],
  'Reshape with two open sizes': [reshape([2, 6], [-1, -1]), /−1 more than once/],
  'Reshape that copies beyond the rank': [reshape([2, 6], [2, 6, 0]), /copies axis 2/],
  'Reshape of nothing to an open size': [reshape([0, 3], [0, -1]), /leaves −1 open/],
  'Transpose by no order': [{ op: 'Transpose', inputs: [x], attributes: { perm: [0, 1, 1, 2] } }, /no order/],
  'Squeeze of a wide axis': [{ op: 'Squeeze', inputs: [x, integers(1)] }, /has extent 6/],
  'Unsqueeze twice': [{ op: 'Unsqueeze', inputs: [x, integers(1, 1)] }, /named twice/],
  'Flatten outside': [{ op: 'Flatten', inputs: [x], attributes: { axis: 5 } }, /axis 5 is outside rank 4/],
  'Range without a step': [{ op: 'Range', inputs: [scalar(0), scalar(4), scalar(0)] }, /'delta' is 0/],
};

describe('shapes', () => {
  it.each(Object.entries(agreeing))('%s: infers what ONNX Runtime computes', (_, node) => expectAgreement(node));

  it.each(Object.entries(refused))('%s: refuses as ONNX Runtime does', (_, [node, reason]) =>
    expectRefusal(node, reason),
  );
});

describe('symbolic shapes', () => {
  const photo = unknown('photo', ['n', 64, 'h', 'w']);
  const shapeAfter = (shape: Dim[] | null, stated: Dim[]) =>
    inferNode('Reshape', [unknown('x', shape), computed('s', stated)])[0].type.shape;

  it('divides products of symbols', () => {
    expect(shapeAfter(['n', 64, 'h', 'w'], [0, 8, -1])).toEqual(['n', 8, '8*(h*w)']);
    expect(shapeAfter(['n', 8, '8*(h*w)'], ['n', 64, 'h', 'w'])).toEqual(['n', 64, 'h', 'w']);
    expect(shapeAfter(['n', 8, '8*(h*w)'], ['n', -1, 'w', 'h'])).toEqual(['n', 64, 'w', 'h']);
    expect(shapeAfter(['n', 64, 'h', 'w'], [-1, 64])).toEqual(['(h*n)*w', 64]);
    expect(shapeAfter(['n', 3, 'h'], ['m', -1])?.[1]).toBe('floor((3*(h*n))/m)');
    expect(() => shapeAfter(['n', 64, 'h'], ['n', 32, 'h'])).toThrow(/cannot be reshaped/);
    expect(() => shapeAfter(['n', 64, 'h'], ['n', 48, 'h', -1])).toThrow(/cannot be reshaped/);
  });

  it('does not take a sum for a product', () => {
    expect(shapeAfter(['h+2', 'w'], ['h', -1])?.[1]).not.toBe('w');
    expect(shapeAfter(['h+2*w', 3], ['w', -1])?.[1]).toBe('floor((3*(h+2*w))/w)');
    expect(shapeAfter(['2*(h+2)', 'w'], ['h+2', -1])).toEqual(['h+2', '2*w']);
  });

  it('knows the rank where the shape is computed from data', () => {
    const [{ type }] = inferNode('Reshape', [photo, unknown('s', [2], 'i64')]);
    expect(type.shape).toHaveLength(2);
    expect(inferNode('Reshape', [photo, unknown('s', null, 'i64')])[0].type.shape).toBeNull();
    expect(shapeAfter(null, [1, 64, -1])?.slice(0, 2)).toEqual([1, 64]);
    expect(inferNode('Squeeze', [photo])[0].type.shape).toBeNull();
  });

  it('follows shape arithmetic', () => {
    expect(inferNode('Shape', [photo])[0].known).toEqual({ shape: [4], elements: ['n', 64, 'h', 'w'] });
    expect(inferNode('Size', [unknown('x', [2, 'h', 3])])[0].known).toEqual({ shape: [], elements: ['6*h'] });
    expect(inferNode('ConstantOfShape', [computed('s', ['n', 4])])[0].type.shape).toEqual(['n', 4]);
    const bounds = [constant('start', scalar(0)), { ...computed('limit', ['h']) }, constant('delta', scalar(1))];
    expect(inferNode('Range', bounds)[0].type.shape).toEqual(['h']);
  });

  it('does not follow large tensors', () => {
    expect(inferNode('ConstantOfShape', [computed('s', [1 << 20, 1 << 20])])[0].known).toBeUndefined();
    expect(
      inferNode(
        'Range',
        [scalar(0), scalar(1e9), scalar(1)].map((t, i) => constant(`${i}`, t)),
      )[0],
    ).toEqual({
      type: { dtype: 'i64', shape: [1e9] },
      known: undefined,
    });
  });
});

const reshapeTies = (
  from: Dim[],
  to: Dim[],
  { pinned = [], source }: { pinned?: string[]; source?: (position: number) => ElementSource | undefined } = {},
): Tie[] => {
  const definition = operators.get('Reshape')!;
  const operands = [unknown('in', from), computed('shape', to)];
  const [{ type }] = inferNode('Reshape', operands);
  return definition.ties(
    {
      inputs: operands,
      outputs: [{ name: 'out', type }],
      source: (_, position) => (source ? source(position) : { kind: 'constant' }),
      isPinned: ({ value, axis }) => pinned.includes(`${value} ${axis}`),
    },
    resolveAttributes(definition.attributes, {}),
  );
};

/** Ties in short: `in 1 = out 1`, or `out 2 -> in 1: 0 1 0 1` for a map. */
const short = (ties: readonly Tie[]) =>
  ties.map((tie) => {
    const axis = ({ value, axis }: { value: string; axis: number }) => `${value} ${axis}`;
    if (tie.kind === 'same') return `${axis(tie.a)} = ${axis(tie.b)}`;
    return tie.kind === 'map' ? `${axis(tie.from)} -> ${axis(tie.to)}: ${tie.indices.join(' ')}` : tie.kind;
  });

describe('ties of Reshape', () => {
  it('carries an axis that stays', () => {
    expect(short(reshapeTies(['n', 64, 'h', 'w'], [0, 64, -1]))).toEqual(['in 1 = out 1']);
    expect(short(reshapeTies(['n', 'h', 'w', 64], ['n', -1, 64]))).toEqual(['in 3 = out 2']);
    expect(short(reshapeTies([1, 64, 5, 5], [-1, 64, 25]))).toContain('in 1 = out 1');
    expect(short(reshapeTies(['n', 'h', 64], ['m', -1, 64]))).toEqual(['in 2 = out 2']);
  });

  it('leaves axes alone that have no factor in common', () => {
    expect(short(reshapeTies([6, 4], [4, 6]))).toEqual([]);
    expect(short(reshapeTies(['n', 6, 'h'], ['n', 4, -1]))).toEqual([]);
  });

  it('lets the largest axis of a split carry the channels, and of equal ones the innermost', () => {
    expect(short(reshapeTies(['n', 6, 'h', 'w'], ['n', 2, 3, 'h', 'w']))).toEqual(['out 2 -> in 1: 0 1 2 0 1 2']);
    expect(short(reshapeTies(['n', 6, 'h', 'w'], ['n', 3, 2, 'h', 'w']))).toEqual(['out 1 -> in 1: 0 0 1 1 2 2']);
    expect(short(reshapeTies(['n', 4, 'h'], ['n', 2, 2, 'h']))).toEqual(['out 2 -> in 1: 0 1 0 1']);
  });

  it('passes over fixed axes and sizes that cannot be stated anew', () => {
    const split = [['n', 6, 'h'] as Dim[], ['n', 2, 3, 'h'] as Dim[]] as const;
    expect(short(reshapeTies(...split, { pinned: ['out 2'] }))).toEqual(['out 1 -> in 1: 0 0 0 1 1 1']);
    expect(short(reshapeTies(...split, { pinned: ['out 1', 'out 2'] }))).toEqual([]);
    const source = (position: number) => (position === 2 ? undefined : ({ kind: 'constant' } as const));
    expect(short(reshapeTies(...split, { source }))).toEqual(['out 1 -> in 1: 0 0 0 1 1 1']);
    expect(short(reshapeTies(['n', 6, 'h'], ['n', 6, -1], { source: () => undefined }))).toEqual([]);
  });

  it('ties the axis whose size states the new one', () => {
    const source = (position: number): ElementSource | undefined =>
      position === 1 ? { kind: 'size', axis: { value: 'other', axis: 3 } } : undefined;
    expect(short(reshapeTies(['n', 6, 'h', 'w'], ['n', 6, -1], { source }))).toEqual([
      'in 1 = out 1',
      'other 3 = out 1',
    ]);
  });

  it('merges channels with the static axes behind them', () => {
    expect(short(reshapeTies(['n', 2, 1, 3], ['n', -1], { pinned: ['in 3'] }))).toEqual(['in 1 -> out 1: 0 0 0 1 1 1']);
    expect(short(reshapeTies(['n', 2, 'h', 3], ['n', -1]))).toEqual([]);
  });

  it('finds the groups of a normalization by groups', () => {
    const pinned = ['in 2', 'in 3'];
    expect(short(reshapeTies(['n', 6, 4, 4], ['n', 3, -1], { pinned }))).toEqual(['out 1 -> in 1: 0 0 1 1 2 2']);
    expect(short(reshapeTies(['n', 6, 'h', 'w'], ['n', 3, -1]))).toEqual(['out 1 -> in 1: 0 0 1 1 2 2']);
  });

  it('is not led astray by a copied size of another axis', () => {
    expect(short(reshapeTies([1, 4, 4], [-1, 0]))).toEqual(['in 1 = out 0', 'in 2 = out 1', 'in 1 = out 1']);
  });
});

describe('ties of shapes', () => {
  const channels: Record<string, [NodeCase, string[]]> = {
    'Reshape that merges': [{ op: 'Reshape', inputs: [image, integers(1, -1)] }, ['in_0 2', 'in_0 3']],
    'Reshape that states the merged size': [{ op: 'Reshape', inputs: [image, integers(1, 48)] }, ['in_0 2', 'in_0 3']],
    'Reshape that splits': [{ op: 'Reshape', inputs: [image, integers(1, 2, 4, 2, 3)] }, []],
    'Reshape to groups': [{ op: 'Reshape', inputs: [image, integers(1, 4, -1)] }, []],
    'Reshape that keeps': [{ op: 'Reshape', inputs: [image, integers(0, 8, -1)] }, []],
    Flatten: [{ op: 'Flatten', inputs: [image] }, ['in_0 2', 'in_0 3']],
    Transpose: [{ op: 'Transpose', inputs: [image], attributes: { perm: [0, 2, 3, 1] } }, []],
    Squeeze: [{ op: 'Squeeze', inputs: [counting([1, 8, 1, 1])] }, []],
    'Squeeze of a named axis': [{ op: 'Squeeze', inputs: [counting([1, 8, 1, 3]), integers(2)] }, []],
    Unsqueeze: [{ op: 'Unsqueeze', inputs: [image, integers(0, 2)] }, []],
  };

  it.each(Object.entries(channels))('%s: the narrowed node computes what is left', async (_, [node, pinned]) => {
    const thinned = new Set<string>();
    for (let seed = 0; seed < 20; seed++)
      for (const axis of await expectThinningLaw(node, { seed, pinned })) thinned.add(axis);
    expect(thinned).toContain('in_0 1');
  });

  it('keeps an axis that is thinned to one channel from being squeezed', async () => {
    const node = { op: 'Squeeze', inputs: [counting([1, 2, 1, 3])] };
    const thinned = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((seed) => expectThinningLaw(node, { seed })));
    expect(thinned.flat()).toContain('out_0 0');
  });

  it('holds for any Reshape of static axes', async () => {
    const factors = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(factors, fc.array(fc.boolean()), fc.array(fc.boolean()), fc.nat(), (list, a, b, seed) => {
        const node = { op: 'Reshape', inputs: [counting(merged(list, a)), integers(...merged(list, b))] };
        return expectThinningLaw(node, { seed }).then(() => undefined);
      }),
      { seed: 2, numRuns: 150 },
    );
  });

  it('holds for any Reshape of twelve or thirty-six elements', async () => {
    const shapes = (size: number) =>
      fc.array(fc.constantFrom(1, 2, 3, 4, 6, 9), { maxLength: 4 }).map((list) => fitted(list, size));
    const pair = fc.constantFrom(12, 36).chain((size) => fc.tuple(shapes(size), shapes(size), fc.nat()));
    await fc.assert(
      fc.asyncProperty(pair, ([from, to, seed]) =>
        expectThinningLaw({ op: 'Reshape', inputs: [counting(from), integers(...to)] }, { seed }).then(() => undefined),
      ),
      { seed: 3, numRuns: 100 },
    );
  });

  it('reads a shape without fixing it', () => {
    const data = unknown('x', ['n', 8, 'h', 'w']);
    const definition = operators.get('Shape')!;
    const outputs = [{ name: 'shape', type: { dtype: 'i64', shape: [4] } as const }];
    const call = { inputs: [data], outputs, source: () => undefined, isPinned: () => false };
    expect(short(definition.ties(call, resolveAttributes(definition.attributes, {})))).toEqual(['x 1 = x 1']);
  });
});

describe('a channel shuffle', () => {
  const shuffle = parseGraph(
    `graph shuffle(%x: f32[n,3,h,6]) {
      %w = const f32[8,3,1,1] zero()
      %v = const f32[2,8,1,1] zero()
      %s = const i64[5] {0, 2, 4, -1, 6}
      %t = const i64[4] {0, 8, -1, 6}
      %a = Conv(%x, %w)
      %b = Reshape(%a, %s)
      %c = Transpose(%b) {perm=[0,2,1,3,4]}
      %d = Reshape(%c, %t)
      %e = Conv(%d, %v)
      return %e
    }`,
    semantics,
    (_, __, count) => new Float32Array(count),
  );

  it('frees equal places of all groups, in both orders', () => {
    const free = analyseChannels(shuffle).classes.filter(({ axes }) => axes.some(({ value }) => value === 'a'));
    expect(free).toHaveLength(1);
    const on = (value: string) => free[0].axes.findIndex((ref) => ref.value === value && ref.axis === 1);
    expect(free[0].units.map(({ coordinates }) => coordinates[on('a')])).toEqual([
      [0, 4],
      [1, 5],
      [2, 6],
      [3, 7],
    ]);
    expect(free[0].units.map(({ coordinates }) => coordinates[on('d')])).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
      [6, 7],
    ]);
  });

  it('is thinned with its stated sizes', () => {
    const kept = new KeptCoordinates();
    for (const [value, axis, coordinates] of [
      ['w', 0, [0, 2, 4, 6]],
      ['a', 1, [0, 2, 4, 6]],
      ['b', 2, [0, 2]],
      ['c', 1, [0, 2]],
      ['d', 1, [0, 1, 4, 5]],
      ['v', 1, [0, 1, 4, 5]],
    ] as const)
      kept.set({ value, axis }, coordinates);
    const thinned = applyThinning(shuffle, kept, semantics);
    expect(thinned.type('b').shape).toEqual(['n', 2, 2, 'h', 6]);
    expect(thinned.type('d').shape).toEqual(['n', 4, 'h', 6]);
  });
});

/** Runs of factors multiplied together, so that two such shapes are splits and merges of each other. */
function merged(factors: readonly number[], joins: readonly boolean[]): number[] {
  return factors.reduce<number[]>((shape, factor, i) => {
    if (i > 0 && joins[i]) shape[shape.length - 1] *= factor;
    else shape.push(factor);
    return shape;
  }, []);
}

/** The extents as far as they divide `size`, and what is left as the last one. */
function fitted(extents: readonly number[], size: number): number[] {
  let left = size;
  const fits = extents.filter((extent) => {
    const divides = left % extent === 0;
    if (divides) left /= extent;
    return divides;
  });
  return [...fits, left];
}
