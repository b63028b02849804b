import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Tensor } from '../../src/ir/tensor.js';
import { expectAgreement, expectRefusal, expectThinningLaw } from '../support/op-laws.js';
import { computed, counting, inferNode, integers, type NodeCase, unknown } from '../support/run-node.js';

const x = counting([2, 6, 3, 4], 'i64');
const vector = counting([7], 'i64');
const image = counting([1, 8, 4, 4]);
const FARTHEST = Number.MAX_SAFE_INTEGER;

const named = (cases: Record<string, NodeCase>) => Object.entries(cases);

const agreeing: Record<string, NodeCase> = {
  'Concat of channels': { op: 'Concat', inputs: [x, x, counting([2, 1, 3, 4], 'i64')], attributes: { axis: 1 } },
  'Concat from behind': { op: 'Concat', inputs: [x, x], attributes: { axis: -1 } },
  'Concat of vectors': { op: 'Concat', inputs: [vector, integers(5), integers(), vector], attributes: { axis: 0 } },
  'Split by sizes': { op: 'Split', inputs: [x, integers(1, 3, 2)], attributes: { axis: 1 }, outputCount: 3 },
  'Split with an empty piece': { op: 'Split', inputs: [x, integers(0, 6)], attributes: { axis: 1 }, outputCount: 2 },
  'Split evenly': { op: 'Split', inputs: [x], attributes: { axis: 1, num_outputs: 3 }, outputCount: 3 },
  'Split with a smaller rest': { op: 'Split', inputs: [vector], attributes: { num_outputs: 3 }, outputCount: 3 },
  'Split from behind': { op: 'Split', inputs: [x, integers(1, 3)], attributes: { axis: -1 }, outputCount: 2 },
  'Gather of channels': { op: 'Gather', inputs: [x, integers(5, 0, -1, 2)], attributes: { axis: 1 } },
  'Gather of one': { op: 'Gather', inputs: [x, Tensor.integers([3], [])], attributes: { axis: -1 } },
  'Gather by a matrix': { op: 'Gather', inputs: [x, Tensor.integers([0, 1, 1, -2], [2, 2])], attributes: { axis: 2 } },
  'Gather of a size': { op: 'Gather', inputs: [vector, Tensor.integers([-2], [])] },
  'Pad of an image': { op: 'Pad', inputs: [x, integers(0, 1, 2, 3, 0, 0, 1, 0)] },
  'Pad that crops': { op: 'Pad', inputs: [image, integers(0, -1, -1, 2, 0, 2, -1, 0)] },
  'Pad of two axes': { op: 'Pad', inputs: [image, integers(1, 2, 3, 4), undefined, integers(-1, 1)] },
  'Pad by reflection': {
    op: 'Pad',
    inputs: [image, integers(0, 0, 1, 2, 0, 0, 3, 1)],
    attributes: { mode: 'reflect' },
  },
  'Pad by wrapping': { op: 'Pad', inputs: [image, integers(0, 0, 1, 2, 0, 0, 3, 1)], attributes: { mode: 'wrap' } },
  Tile: { op: 'Tile', inputs: [x, integers(1, 2, 1, 3)] },
  'Tile to nothing': { op: 'Tile', inputs: [x, integers(1, 0, 1, 1)] },
  'Expand to more axes': { op: 'Expand', inputs: [counting([3, 1], 'i64'), integers(2, 1, 4)] },
  'Expand to fewer axes': { op: 'Expand', inputs: [x, integers(4)] },
  'DepthToSpace DCR': { op: 'DepthToSpace', inputs: [image], attributes: { blocksize: 2 } },
  'DepthToSpace CRD': { op: 'DepthToSpace', inputs: [image], attributes: { blocksize: 2, mode: 'CRD' } },
  SpaceToDepth: { op: 'SpaceToDepth', inputs: [image], attributes: { blocksize: 2 } },
};

const slices: Record<string, [number[], number[], number[]?, number[]?]> = {
  'all axes': [
    [0, 1, 0, 1],
    [2, 4, 3, 4],
  ],
  'to the end': [[2], [FARTHEST], [1]],
  'from behind': [
    [-3, -2],
    [-1, FARTHEST],
    [1, -1],
  ],
  'beyond both ends': [[-100], [100], [1]],
  empty: [[4], [2], [1]],
  'every other': [[1], [6], [1], [2]],
  backwards: [[-1], [-FARTHEST], [1], [-1]],
  'backwards in part': [[4], [1], [1], [-1]],
  'backwards by two from beyond': [[100], [0], [1], [-2]],
};

const refused: Record<string, [NodeCase, RegExp]> = {
  'Concat of unlike shapes': [
    { op: 'Concat', inputs: [image, counting([1, 8, 4, 5])], attributes: { axis: 1 } },
    /cannot be joined along axis 1/,
  ],
  'Concat without an axis': [{ op: 'Concat', inputs: [image] }, /attribute 'axis' is missing/],
  'Split by sizes of another sum': [
    { op: 'Split', inputs: [image, integers(3, 4)], attributes: { axis: 1 }, outputCount: 2 },
    /do not add up to the extent 8/,
  ],
  'Split by too few sizes': [
    { op: 'Split', inputs: [image, integers(8)], attributes: { axis: 1 }, outputCount: 2 },
    /has 1 sizes for 2 outputs/,
  ],
  'Split told twice': [
    { op: 'Split', inputs: [image, integers(4, 4)], attributes: { axis: 1, num_outputs: 2 }, outputCount: 2 },
    /either by input/,
  ],
  'Split told nothing': [{ op: 'Split', inputs: [image], outputCount: 2 }, /either by input/],
  'Split into too many pieces': [
    { op: 'Split', inputs: [counting([6])], attributes: { num_outputs: 4 }, outputCount: 4 },
    /cannot be cut into 4 pieces of 2/,
  ],
  'Gather beyond the end': [{ op: 'Gather', inputs: [image, integers(8)], attributes: { axis: 1 } }, /index 8/],
  'Slice by a step of 0': [{ op: 'Slice', inputs: [image, integers(0), integers(1), integers(1), integers(0)] }, /a 0/],
  'Slice of an axis twice': [
    { op: 'Slice', inputs: [image, integers(0, 0), integers(1, 1), integers(1, -3)] },
    /axis 1 is named twice/,
  ],
  'Slice by lists of unlike length': [
    { op: 'Slice', inputs: [image, integers(0, 1), integers(1)] },
    /differ in length/,
  ],
  'Pad by too few numbers': [{ op: 'Pad', inputs: [image, integers(0, 1)] }, /4 axes need 8/],
  'Pad that cuts too much': [{ op: 'Pad', inputs: [image, integers(0, -5, 0, 0, 0, -4, 0, 0)] }, /cut more than/],
  'Tile by too few numbers': [{ op: 'Tile', inputs: [image, integers(2)] }, /has 1 numbers/],
  'Expand to another extent': [{ op: 'Expand', inputs: [image, integers(7, 4, 4)] }, /cannot be broadcast/],
  'DepthToSpace of odd channels': [
    { op: 'DepthToSpace', inputs: [counting([1, 6, 2, 2])], attributes: { blocksize: 2 } },
    /6 channels cannot be divided by 4/,
  ],
};

describe('joining and cutting', () => {
  it.each(named(agreeing))('%s: infers what ONNX Runtime computes', (_, node) => expectAgreement(node));

  it.each(Object.entries(slices))('Slice %s: infers what ONNX Runtime computes', (_, lists) =>
    expectAgreement({ op: 'Slice', inputs: [x, ...lists.map((list) => list && integers(...list))] }),
  );

  it.each(Object.entries(refused))('%s: refuses as ONNX Runtime does', (_, [node, reason]) =>
    expectRefusal(node, reason),
  );

  it('infers any slice of a vector as ONNX Runtime does', async () => {
    const bound = fc.integer({ min: -9, max: 9 });
    const step = fc.integer({ min: -3, max: 3 }).filter((n) => n !== 0);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 7 }), bound, bound, step, (length, start, end, by) =>
        expectAgreement({
          op: 'Slice',
          inputs: [counting([length], 'i64'), integers(start), integers(end), integers(0), integers(by)],
        }),
      ),
      { seed: 1, numRuns: 150 },
    );
  });
});

describe('joining and cutting with symbolic sizes', () => {
  const photo = unknown('photo', ['n', 8, 'h', 'w']);
  const shapeOf = (op: string, inputs: Parameters<typeof inferNode>[1], attributes = {}, outputs = 1) =>
    inferNode(op, inputs, attributes, outputs).map(({ type }) => type.shape);

  it('follows them', () => {
    expect(shapeOf('Concat', [photo, photo], { axis: 1 })).toEqual([['n', 16, 'h', 'w']]);
    expect(shapeOf('Concat', [unknown('a', ['n', 8, 4, 'w']), photo], { axis: 1 })).toEqual([['n', 16, 4, 'w']]);
    expect(shapeOf('Slice', [photo, computed('s', [1]), computed('e', [-1]), computed('a', [2])])).toEqual([
      ['n', 8, 'h-2', 'w'],
    ]);
    expect(shapeOf('Slice', [photo, computed('s', [0]), computed('e', ['h']), computed('a', [2])])).toEqual([
      ['n', 8, 'h', 'w'],
    ]);
    expect(shapeOf('Pad', [photo, computed('p', [0, 0, 1, 'p', 0, 0, 1, 0])])).toEqual([['n', 8, 'h+2', 'w+p']]);
    expect(shapeOf('Tile', [photo, computed('r', [1, 1, 2, 1])])).toEqual([['n', 8, '2*h', 'w']]);
    expect(shapeOf('Expand', [unknown('a', [8, 1, 1]), computed('s', ['n', 1, 'h', 'w'])])).toEqual([
      ['n', 8, 'h', 'w'],
    ]);
    expect(shapeOf('DepthToSpace', [photo], { blocksize: 2 })).toEqual([['n', 2, '2*h', '2*w']]);
    expect(shapeOf('SpaceToDepth', [unknown('a', ['n', 2, '2*h', '2*w'])], { blocksize: 2 })).toEqual([
      photo.type.shape,
    ]);
  });

  it('keeps the elements of shape arithmetic symbolic', () => {
    const size = computed('size', ['n', 8, 'h', 'w']);
    const elements = (op: string, inputs: Parameters<typeof inferNode>[1], attributes = {}) =>
      inferNode(op, inputs, attributes)[0].known?.elements;
    expect(elements('Slice', [size, computed('s', [2]), computed('e', [FARTHEST])])).toEqual(['h', 'w']);
    expect(elements('Gather', [size, computed('i', [-1, 0])])).toEqual(['w', 'n']);
    expect(elements('Concat', [size, computed('i', [-1])], { axis: 0 })).toEqual(['n', 8, 'h', 'w', -1]);
  });

  it('gives a size that depends on data a symbol of its own, the same for the same operands', () => {
    const cut = (starts: string) =>
      shapeOf('Slice', [photo, unknown(starts, [1], 'i64'), unknown('e', [1], 'i64'), computed('a', [2])])[0];
    expect(cut('s')?.[2]).toBeTypeOf('string');
    expect(cut('s')).toEqual(cut('s'));
    expect(cut('s')?.[2]).not.toBe(cut('t')?.[2]);
    expect(cut('s')?.[2]).not.toBe('h');
    expect(shapeOf('Slice', [unknown('x', null), computed('s', [0]), computed('e', [1])])).toEqual([null]);
  });
});

describe('ties of joining and cutting', () => {
  const channels: Record<string, NodeCase> = {
    'Concat of a value with itself and another': {
      op: 'Concat',
      inputs: [image, counting([1, 3, 4, 4])],
      attributes: { axis: 1 },
    },
    'Split by sizes': { op: 'Split', inputs: [image, integers(5, 3)], attributes: { axis: 1 }, outputCount: 2 },
    'Split evenly': { op: 'Split', inputs: [image], attributes: { axis: 1, num_outputs: 2 }, outputCount: 2 },
    'Slice in the middle': { op: 'Slice', inputs: [image, integers(2), integers(7), integers(1)] },
    'Slice from behind': { op: 'Slice', inputs: [image, integers(-4), integers(FARTHEST), integers(1)] },
    'Slice backwards': { op: 'Slice', inputs: [image, integers(-1), integers(-FARTHEST), integers(1), integers(-1)] },
    'Slice backwards in part': { op: 'Slice', inputs: [image, integers(6), integers(1), integers(1), integers(-1)] },
    'Slice backwards to the first': {
      op: 'Slice',
      inputs: [image, integers(5), integers(-9), integers(1), integers(-1)],
    },
    'Gather with repeats': { op: 'Gather', inputs: [image, integers(3, -1, 0, 3)], attributes: { axis: 1 } },
    'Pad of channels': { op: 'Pad', inputs: [image, integers(0, 2, 1, 1, 0, 1, 1, 1)] },
    'Tile of channels': { op: 'Tile', inputs: [image, integers(1, 2, 1, 1)] },
    'Expand with stated channels': { op: 'Expand', inputs: [counting([1, 8, 1, 1]), integers(2, 8, 4, 4)] },
    'Expand with a short shape': { op: 'Expand', inputs: [image, integers(8, 1, 4)] },
    'DepthToSpace DCR': { op: 'DepthToSpace', inputs: [image], attributes: { blocksize: 2 } },
    'DepthToSpace CRD': { op: 'DepthToSpace', inputs: [image], attributes: { blocksize: 2, mode: 'CRD' } },
    SpaceToDepth: { op: 'SpaceToDepth', inputs: [image], attributes: { blocksize: 2 } },
  };

  it.each(named(channels))('%s: the narrowed node computes what is left', async (_, node) => {
    const thinned = new Set<string>();
    for (let seed = 0; seed < 12; seed++)
      for (const axis of await expectThinningLaw(node, { seed, computed: node.op === 'Concat' ? [0, 1] : [0] }))
        thinned.add(axis);
    expect(thinned).toContain('in_0 1');
    expect(thinned).toContain('out_0 1');
  });

  const fixed: Record<string, NodeCase> = {
    'Slice of every other channel': {
      op: 'Slice',
      inputs: [image, integers(0), integers(8), integers(1), integers(2)],
    },
    'Pad of channels by their edge': {
      op: 'Pad',
      inputs: [image, integers(0, 1, 0, 0, 0, 0, 0, 0)],
      attributes: { mode: 'edge' },
    },
    'Pad that crops channels': { op: 'Pad', inputs: [image, integers(0, -1, 0, 0, 0, 0, 0, 0)] },
    'Gather of one channel': { op: 'Gather', inputs: [image, Tensor.integers([2], [])], attributes: { axis: 1 } },
    'Tile of one channel': { op: 'Tile', inputs: [counting([1, 1, 4, 4]), integers(1, 8, 1, 1)] },
  };

  it.each(named(fixed))('%s: the channels stay whole', async (_, node) => {
    for (let seed = 0; seed < 6; seed++) expect(await expectThinningLaw(node, { seed })).not.toContain('in_0 1');
  });

  it('fixes channels whose bounds or sizes are computed', async () => {
    const operands = [0, 1, 2];
    for (const node of [
      channels['Slice in the middle'],
      channels['Split by sizes'],
      channels['Expand with a short shape'],
    ])
      for (let seed = 0; seed < 6; seed++)
        expect(await expectThinningLaw(node, { seed, computed: operands })).not.toContain('out_0 1');
  });
});
