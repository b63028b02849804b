import { describe, expect, it } from 'vitest';
import { operators } from '../../src/ops/index.js';
import { expectThinningLaw } from '../support/op-laws.js';
import { shapesInOnnxRuntime } from '../support/ort-shapes.js';
import { counting, inferCase, inferNode, type NodeCase, unknown } from '../support/run-node.js';

const SIZES = [1, 2, 3, 4, 5, 7, 8, 9];
const images = SIZES.map((size) => counting([1, 2, size]));
const KERNELS = [1, 2, 3, 4];
const kernels = new Map(KERNELS.map((kernel) => [kernel, counting([2, 2, kernel])]));
const PADS = [[0, 0], [1, 0], [0, 1], [1, 1], [1, 2], 'VALID', 'SAME_UPPER', 'SAME_LOWER'] as const;

interface GridPoint extends NodeCase {
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly pads: (typeof PADS)[number];
}

/** One spatial axis is enough: the axes of a window are independent. */
function grid(op: string, extra: Readonly<Record<string, number | readonly number[]>> = {}): GridPoint[] {
  return images.flatMap((image) =>
    KERNELS.flatMap((kernel) =>
      [1, 2, 3].flatMap((stride) =>
        (kernel === 1 ? [1] : [1, 2, 3]).flatMap((dilation) =>
          PADS.map((pads) => {
            const window = { kernel_shape: [kernel], strides: [stride], dilations: [dilation], ...extra };
            const weight = op.startsWith('Conv') ? [kernels.get(kernel)] : [];
            return {
              op,
              inputs: [image, ...weight],
              attributes: typeof pads === 'string' ? { ...window, auto_pad: pads } : { ...window, pads },
              ...{ size: image.shape[2], kernel, stride, dilation, pads },
            };
          }),
        ),
      ),
    ),
  );
}

/** Where ONNX Runtime departs from ONNX or refuses what ONNX allows, so that it is no judge. */
function isJudged({ op, size, kernel, stride, dilation, pads }: GridPoint): boolean {
  const same = typeof pads === 'string' && pads.startsWith('SAME');
  // Convolutions refuse SAME with a dilation, pools forget the dilation.
  if (same && dilation > 1 && op !== 'ConvTranspose') return false;
  // SAME would cut the input (MaxPool refuses), or add more than the window reaches.
  if (same && op === 'MaxPool' && (Math.ceil(size / stride) - 1) * stride + kernel < size) return false;
  if (same && op === 'ConvTranspose' && (kernel - 1) * dilation + 1 < stride) return false;
  // Pools refuse pads as large as the window.
  return typeof pads === 'string' || !op.endsWith('Pool') || Math.max(...pads) < kernel;
}

function inferred(point: NodeCase): readonly unknown[] | null {
  try {
    return inferCase(point)[0].type.shape;
  } catch {
    return null;
  }
}

describe('shapes of sliding windows on a grid of sizes, kernels, strides, dilations and pads', () => {
  it.each([
    ['MaxPool', {}],
    ['MaxPool', { ceil_mode: 1 }],
    ['AveragePool', {}],
    ['AveragePool', { ceil_mode: 1 }],
    ['LpPool', {}],
    ['LpPool', { ceil_mode: 1 }],
    ['Conv', {}],
    ['ConvTranspose', {}],
    ['ConvTranspose', { output_padding: [1] }],
  ] as const)('%s %o', async (op, extra) => {
    const points = grid(op, extra).filter(
      (point) => isJudged(point) && (!('output_padding' in extra) || point.stride > 1),
    );
    const fitting = points.filter((point) => inferred(point) !== null);
    const computed = await shapesInOnnxRuntime(fitting);
    expect(fitting.length).toBeGreaterThan(500);
    expect(fitting.map((point, i) => ({ ...point.attributes, size: point.size, shape: computed[i] }))).toEqual(
      fitting.map((point) => ({ ...point.attributes, size: point.size, shape: inferred(point) })),
    );
    // Nothing else is refused than windows larger than the padded input, or outputs that the pads eat up.
    for (const { size, kernel, dilation, stride, pads } of points.filter((point) => inferred(point) === null)) {
      const padding = typeof pads === 'string' ? 0 : pads[0] + pads[1];
      const reach = (kernel - 1) * dilation + 1;
      if (op === 'ConvTranspose') expect((size - 1) * stride + reach - padding).toBeLessThan(1);
      else expect(size + padding).toBeLessThan(reach);
    }
  });

  it('several spatial axes', async () => {
    const volume = counting([2, 3, 5, 6, 7]);
    const window = { kernel_shape: [2, 3, 1], strides: [1, 2, 3], pads: [1, 0, 0, 0, 1, 0] };
    const cases: NodeCase[] = [
      { op: 'MaxPool', inputs: [volume], attributes: { ...window, ceil_mode: 1 } },
      { op: 'AveragePool', inputs: [volume], attributes: window },
      { op: 'Conv', inputs: [volume, counting([4, 3, 2, 3, 1])], attributes: window },
      { op: 'ConvTranspose', inputs: [volume, counting([3, 4, 2, 3, 1])], attributes: window },
      { op: 'ConvTranspose', inputs: [volume, counting([3, 4, 2, 2, 2])], attributes: { output_shape: [6, 7, 8] } },
      { op: 'GlobalAveragePool', inputs: [volume] },
      { op: 'GlobalMaxPool', inputs: [volume] },
      { op: 'GlobalLpPool', inputs: [volume] },
    ];
    expect(cases.map(inferred)).toEqual(await shapesInOnnxRuntime(cases));
  });
});

describe('pools of symbolic shapes', () => {
  const x = unknown('x', ['N', 64, 'H', 'W']);
  const shape = (op: string, attributes = {}) => inferNode(op, [x], attributes)[0].type.shape;

  it('keep equal sizes equal', () => {
    const halving = { kernel_shape: [2, 2], strides: [2, 2] };
    expect(shape('MaxPool', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })).toEqual(['N', 64, 'H', 'W']);
    expect(shape('AveragePool', { ...halving, auto_pad: 'SAME_UPPER' })).toEqual(['N', 64, 'ceil(H/2)', 'ceil(W/2)']);
    expect(shape('MaxPool', halving)?.slice(0, 2)).toEqual(['N', 64]);
    expect(shape('MaxPool', halving)).toEqual(shape('AveragePool', halving));
    expect(shape('MaxPool', halving)).not.toEqual(shape('MaxPool', { ...halving, ceil_mode: 1 }));
    expect(shape('GlobalAveragePool')).toEqual(['N', 64, 1, 1]);
  });

  it('stay unknown behind an unknown shape', () => {
    const none = unknown('x', null, null);
    expect(inferNode('MaxPool', [none], { kernel_shape: [2, 2] }, 2)).toEqual([
      { type: { dtype: null, shape: null } },
      { type: { dtype: 'i64', shape: null } },
    ]);
    expect(inferNode('GlobalMaxPool', [none])[0].type).toEqual({ dtype: null, shape: null });
  });
});

describe('a pool that does not fit its input is refused', () => {
  it.each([
    [[1, 2, 8, 8], { strides: [2, 2] }, /'kernel_shape' is missing/],
    [[1, 2, 8, 8], { kernel_shape: [2] }, /'kernel_shape' has 1 numbers; 2-D needs 2/],
    [[1, 2, 8, 8], { kernel_shape: [2, 2], strides: [0, 1] }, /'strides' holds a number below 1/],
    [[1, 2, 8, 8], { kernel_shape: [2, 2], auto_pad: 'SAME' }, /'auto_pad' is 'SAME'/],
    [[1, 2, 2, 8], { kernel_shape: [3, 3] }, /window of 3 does not fit the padded size 2 of spatial axis 0/],
    [[8, 8], { kernel_shape: [2, 2] }, /must have a batch, a channel and spatial axes, not shape \[8,8\]/],
  ])('%o %o', (shape, attributes, reason) => {
    expect(() => inferNode('MaxPool', [unknown('x', shape)], attributes)).toThrow(reason);
  });
});

describe('thinning of pools and convolutions', () => {
  const x = counting([2, 6, 5, 4]);
  const halving = { kernel_shape: [2, 2], strides: [2, 2] };
  const weight = (...shape: number[]) => counting(shape);

  it.each<[string, NodeCase, string[]]>([
    ['MaxPool', { op: 'MaxPool', inputs: [x], attributes: halving }, ['in_0 1', 'out_0 1']],
    [
      'AveragePool',
      { op: 'AveragePool', inputs: [x], attributes: { ...halving, ceil_mode: 1 } },
      ['in_0 1', 'out_0 1'],
    ],
    ['LpPool', { op: 'LpPool', inputs: [x], attributes: halving }, ['in_0 1', 'out_0 1']],
    [
      'AveragePool of the same size',
      { op: 'AveragePool', inputs: [x], attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] } },
      ['in_0 1', 'out_0 1'],
    ],
    ['GlobalAveragePool', { op: 'GlobalAveragePool', inputs: [x] }, ['in_0 1', 'out_0 1']],
    ['GlobalMaxPool', { op: 'GlobalMaxPool', inputs: [x] }, ['in_0 1', 'out_0 1']],
    [
      'Conv',
      { op: 'Conv', inputs: [x, weight(8, 6, 3, 3), weight(8)] },
      ['in_0 1', 'in_1 0', 'in_1 1', 'in_2 0', 'out_0 1'],
    ],
    [
      'depthwise Conv with a multiplier',
      { op: 'Conv', inputs: [x, weight(12, 1, 3, 3), weight(12)], attributes: { group: 6 } },
      ['in_0 1', 'in_1 0', 'in_2 0', 'out_0 1'],
    ],
    [
      'grouped Conv',
      { op: 'Conv', inputs: [x, weight(8, 3, 3, 3)], attributes: { group: 2 } },
      ['in_0 1', 'in_1 0', 'in_1 1', 'out_0 1'],
    ],
    [
      'ConvTranspose',
      { op: 'ConvTranspose', inputs: [x, weight(6, 4, 2, 2), weight(4)], attributes: { strides: [2, 2] } },
      ['in_0 1', 'in_1 0', 'in_1 1', 'in_2 0', 'out_0 1'],
    ],
    [
      'depthwise ConvTranspose',
      { op: 'ConvTranspose', inputs: [x, weight(6, 1, 2, 2)], attributes: { group: 6 } },
      ['in_0 1', 'in_1 0', 'out_0 1'],
    ],
    [
      'grouped ConvTranspose',
      { op: 'ConvTranspose', inputs: [x, weight(6, 4, 2, 2)], attributes: { group: 2 } },
      ['in_0 1', 'in_1 0', 'in_1 1', 'out_0 1'],
    ],
    [
      'ConvTranspose of depthwise inputs and several outputs',
      { op: 'ConvTranspose', inputs: [x, weight(6, 2, 2, 2)], attributes: { group: 6 } },
      ['in_1 1', 'out_0 1'],
    ],
  ])('%s', async (_, node, thinned) => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 8; seed++)
      for (const axis of await expectThinningLaw(node, { seed, pinned: ['in_0 0'] })) seen.add(axis);
    expect([...seen].sort()).toEqual(expect.arrayContaining(thinned));
    expect([...seen]).not.toContain('in_0 2');
  });

  it('leaves channels alone where indices count through them', () => {
    const pool = operators.get('MaxPool')!;
    const type = { dtype: 'f32', shape: [1, 4, 2, 2] } as const;
    const outputs = [
      { name: 'y', type },
      { name: 'indices', type: { ...type, dtype: 'i64' } },
    ] as const;
    const call = { inputs: [unknown('x', [1, 4, 4, 4])], source: () => undefined, isPinned: () => false };
    expect(pool.ties({ ...call, outputs: [outputs[0]] }, {})).toHaveLength(2);
    expect(pool.ties({ ...call, outputs }, {})).toEqual([]);
  });
});
