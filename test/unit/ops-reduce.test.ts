import { describe, expect, it } from 'vitest';
import { expectAgreement, expectRefusal, expectThinningLaw } from '../support/op-laws.js';
import { computed, counting, inferNode, integers, type NodeCase, unknown } from '../support/run-node.js';

const x = counting([2, 3, 4, 5]);
const vector = integers(4, -2, 7);
const NAMES = ['ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceSum', 'ReduceProd', 'ReduceL2'];

const forms: Record<string, Omit<NodeCase, 'op'>> = {
  'the spatial axes': { inputs: [x, integers(2, 3)] },
  'an axis from behind, dropped': { inputs: [x, integers(-3)], attributes: { keepdims: 0 } },
  'all axes': { inputs: [x], attributes: { keepdims: 0 } },
  'all axes, kept': { inputs: [x, integers()] },
  'no axis': { inputs: [x, integers()], attributes: { noop_with_empty_axes: 1 } },
};

describe('reductions', () => {
  it.each(NAMES.flatMap((op) => Object.entries(forms).map(([form, node]) => [op, form, node] as const)))(
    '%s over %s: infers what ONNX Runtime computes',
    (op, _, node) => expectAgreement({ op, ...node }),
  );

  it.each(NAMES)('%s of a vector of sizes', async (op) => {
    if (op === 'ReduceL2') return;
    await expectAgreement({ op, inputs: [vector] });
    await expectAgreement({ op, inputs: [vector, integers(0)], attributes: { keepdims: 0 } });
  });

  it.each(['ArgMax', 'ArgMin'])('%s: infers what ONNX Runtime computes', async (op) => {
    await expectAgreement({ op, inputs: [x], attributes: { axis: 1 } });
    await expectAgreement({ op, inputs: [x], attributes: { axis: -1, keepdims: 0, select_last_index: 1 } });
    await expectAgreement({ op, inputs: [x] });
  });

  it('refuses axes outside the rank as ONNX Runtime does', async () => {
    await expectRefusal({ op: 'ReduceMean', inputs: [x, integers(4)] }, /axis 4 is outside rank 4/);
    await expectRefusal({ op: 'ArgMax', inputs: [x], attributes: { axis: -5 } }, /axis -5 is outside rank 4/);
  });

  it('follows symbolic sizes', () => {
    const sizes = computed('sizes', ['h', 2, 'w']);
    const elements = (op: string) => inferNode(op, [sizes], { keepdims: 0 })[0].known?.elements;
    expect(elements('ReduceSum')).toEqual(['h+2+w'].map(() => expect.stringMatching(/h.*2.*w|h.*w.*2/)));
    expect(elements('ReduceProd')?.[0]).toBeTypeOf('string');
    expect(elements('ReduceMean')).toBeUndefined();
  });

  it('knows nothing of the shape where the axes are computed', () => {
    expect(inferNode('ReduceMean', [unknown('x', ['n', 3]), unknown('axes', [1], 'i64')])[0].type).toEqual({
      dtype: 'f32',
      shape: null,
    });
    expect(inferNode('ArgMax', [unknown('x', ['n', 3, 'h'])], { axis: 1 })[0].type.shape).toEqual(['n', 1, 'h']);
  });
});

describe('ties of reductions', () => {
  const cases: Record<string, [NodeCase, string[]]> = {
    'kept axes': [{ op: 'ReduceMean', inputs: [x, integers(2, 3)] }, ['in_0 0', 'in_0 1', 'out_0 0', 'out_0 1']],
    'dropped axes': [
      { op: 'ReduceMax', inputs: [x, integers(0, 2)], attributes: { keepdims: 0 } },
      ['in_0 1', 'in_0 3', 'out_0 0', 'out_0 1'],
    ],
    'all axes': [{ op: 'ReduceSum', inputs: [x] }, []],
    'the channels of a segmentation': [
      { op: 'ArgMax', inputs: [x], attributes: { axis: 1, keepdims: 0 } },
      ['in_0 0', 'in_0 2', 'in_0 3', 'out_0 0', 'out_0 1', 'out_0 2'],
    ],
  };

  it.each(Object.entries(cases))('%s: reduced axes are fixed, the others carried', async (_, [node, free]) => {
    const thinned = new Set<string>();
    for (let seed = 0; seed < 12; seed++) for (const axis of await expectThinningLaw(node, { seed })) thinned.add(axis);
    expect([...thinned].sort()).toEqual(free);
  });
});
