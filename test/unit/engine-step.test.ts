import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { foreignNode, type Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { type OpenEngine, openEngine } from '../../src/recipe/engine.js';
import { countingCarries, countingStep } from '../support/counting-step.js';

let engine: OpenEngine;

beforeEach(async () => {
  engine = await openEngine({ threads: 1 });
});

afterEach(() => engine.close());

const numbers = (tensor: Tensor | undefined): number[] => [...(tensor?.toFloat64() ?? [])];
const start = (...total: number[]) =>
  new Map([
    ['total', Tensor.floats(total)],
    ['steps', Tensor.integers([0])],
  ]);
const x = (...values: number[]) => new Map([['x', Tensor.floats(values)]]);

describe('a loaded step', () => {
  for (const optimization of ['disabled', 'extended', 'all'] as const)
    it(`goes on from its own results (${optimization})`, async () => {
      const step = await engine.loadStep(countingStep(2), countingCarries, { optimization });
      await step.setState(start(10, 20));
      for (let k = 1; k <= 5; k++) {
        const outputs = await step.run(x(k, 1));
        expect([...outputs.keys()]).toEqual(['loss']);
        const total = [10 + (k * (k + 1)) / 2, 20 + k];
        expect(numbers(outputs.get('loss'))).toEqual([(total[0] + total[1]) / 2]);
        const state = await step.state();
        expect([...state.keys()].sort()).toEqual(['steps', 'total']);
        expect(numbers(state.get('total'))).toEqual(total);
        expect(state.get('steps')?.dtype).toBe('i64');
        expect(numbers(state.get('steps'))).toEqual([k]);
      }
    });

  it('hands out copies of its state, and takes some of it back at any time', async () => {
    const step = await engine.loadStep(countingStep(2), countingCarries);
    await step.setState(start(0, 0));
    await step.run(x(1, 2));
    const early = await step.state();
    await step.run(x(1, 2));
    await step.run(x(1, 2));
    expect(numbers(early.get('total'))).toEqual([1, 2]);
    await step.setState(new Map([['total', early.get('total') as Tensor]]));
    await step.run(x(0.5, 0.25));
    const late = await step.state();
    expect(numbers(late.get('total'))).toEqual([1.5, 2.25]);
    expect(numbers(late.get('steps'))).toEqual([4]);
  });

  it('keeps calls that are made at once apart', async () => {
    const step = await engine.loadStep(countingStep(2), countingCarries);
    const [, first, second, state] = await Promise.all([
      step.setState(start(1, 1)),
      step.run(x(1, 1)),
      step.run(x(100, 100)),
      step.state(),
    ]);
    expect(numbers(first.get('loss'))).toEqual([2]);
    expect(numbers(second.get('loss'))).toEqual([102]);
    expect(numbers(state.get('total'))).toEqual([102, 102]);
  });

  it('reports its memory, which does not grow with the steps', async () => {
    const size = 1 << 20;
    const step = await engine.loadStep(countingStep(size), countingCarries);
    await step.setState(start(...[]).set('total', Tensor.floats(new Float32Array(size))));
    const input = new Map([['x', Tensor.floats(new Float32Array(size).fill(1))]]);
    for (let k = 0; k < 5; k++) await step.run(input);
    const before = await step.memory();
    for (let k = 0; k < 40; k++) await step.run(input);
    const after = await step.memory();
    expect(before.peakRssBytes).toBeGreaterThan(4 * size);
    // Forty steps that each kept one tensor of four would have added 160 MiB.
    expect(after.rssBytes - before.rssBytes).toBeLessThan(40 * 2 ** 20);
  });
});

/** One foreign node over inputs of the given shapes. */
function oneForeign(
  shapes: readonly (readonly number[])[],
  nodes: (inputs: readonly string[], builder: GraphBuilder) => string,
): Graph {
  const builder = new GraphBuilder(semantics, { name: 'foreign' });
  const inputs = shapes.map((shape, i) => builder.input(`in${i}`, { dtype: 'f32', shape }));
  return builder.build([nodes(inputs, builder)]);
}

const random = (seed: number, shape: readonly number[]) => {
  const source = createRandom(seed);
  return Tensor.floats(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => source.normal()),
    shape,
  );
};

async function valuesOf(graph: Graph, inputs: readonly Tensor[]): Promise<number[]> {
  const loaded = await engine.load(graph);
  const outputs = await loaded.run(new Map(inputs.map((tensor, i) => [`in${i}`, tensor])));
  return numbers([...outputs.values()][0]);
}

describe('operators of the runtime that the table does not define', () => {
  for (const channels of [16, 32])
    it(`reorders ${channels} channels to blocks and back without changing a value`, async () => {
      const shape = [2, channels, 5, 7];
      const type = { dtype: 'f32', shape } as const;
      const graph = oneForeign([shape], (inputs, builder) => {
        const nchwc = { domain: 'com.microsoft.nchwc', version: 1 };
        builder.add(foreignNode({ ...nchwc, op: 'ReorderInput', inputs, outputs: ['blocked'] }), [type]);
        const back = { inputs: ['blocked'], outputs: ['plain'], attributes: { channels } };
        return builder.add(foreignNode({ ...nchwc, op: 'ReorderOutput', ...back }), [type])[0];
      });
      const tensor = random(channels, shape);
      expect(await valuesOf(graph, [tensor])).toEqual(numbers(tensor));
    });

  it('writes floats and integers of FusedMatMul as what they are', async () => {
    const [a, b] = [random(1, [2, 4, 3]), random(2, [2, 4, 5])];
    const fused = oneForeign([a.shape, b.shape], (inputs, builder) => {
      const node = foreignNode({
        op: 'FusedMatMul',
        domain: 'com.microsoft',
        version: 1,
        inputs,
        outputs: ['product'],
        attributes: { transA: 1, alpha: 2 },
        floats: ['alpha'],
      });
      return builder.add(node, [{ dtype: 'f32', shape: [2, 3, 5] }])[0];
    });
    const plain = oneForeign([a.shape, b.shape], ([left, right], builder) => {
      const product = builder.apply('MatMul', [builder.apply('Transpose', [left], { perm: [0, 2, 1] }), right]);
      return builder.apply('Mul', [product, builder.constant('two', Tensor.floats([2], []))]);
    });
    const [found, wanted] = [await valuesOf(fused, [a, b]), await valuesOf(plain, [a, b])];
    expect(found).toHaveLength(30);
    for (const [i, value] of found.entries()) expect(value).toBeCloseTo(wanted[i], 4);
  });

  it('scatters with addition, for which the standard operators are written in a newer version', async () => {
    const graph = oneForeign([[2, 3]], ([data], builder) => {
      const indices = builder.constant('indices', Tensor.integers([0, 0, 2], [1, 3]));
      const updates = builder.constant('updates', Tensor.floats([1, 10, 100], [1, 3]));
      const node = foreignNode({
        op: 'ScatterElements',
        domain: '',
        version: 18,
        inputs: [data, indices, updates],
        outputs: ['scattered'],
        attributes: { axis: 1, reduction: 'add' },
      });
      const scattered = builder.add(node, [{ dtype: 'f32', shape: [2, 3] }])[0];
      // Its axes became an operand in version 18.
      const axes = builder.constant('axes', Tensor.integers([1]));
      return builder.apply('ReduceMax', [scattered, axes], { keepdims: 0 });
    });
    expect(await valuesOf(graph, [Tensor.floats([0, 1, 2, 3, 4, 5], [2, 3])])).toEqual([102, 5]);
  });
});
