import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { movedInterface } from '../../src/exporters/interface-layout.js';
import { movesBytes, orderOf } from '../../src/exporters/layout.js';
import { lower } from '../../src/exporters/lowering/index.js';
import { TFJS } from '../../src/exporters/tfjs/target.js';
import { TFLITE } from '../../src/exporters/tflite/target.js';
import type { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { rewrite } from '../../src/ir/rewrite.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { drawNet, randomNets } from '../support/random-net.js';
import { runInFormat } from '../support/run-formats.js';
import { largestDifference, runGraph } from '../support/run-graph.js';

const FORMATS = ['tflite', 'tfjs'] as const;
const LAYOUTS = ['nhwc', 'nchw'] as const;
const TARGETS = { tflite: TFLITE, tfjs: TFJS };

/** Elements that transpositions move in a program. */
function movedElements(graph: Graph, format: (typeof FORMATS)[number], layout: (typeof LAYOUTS)[number]): number {
  const { operations, values } = lower(graph, TARGETS[format], { layout });
  return operations
    .filter(({ kind }) => kind === 'transpose')
    .reduce((sum, { output }) => sum + count(values.get(output)?.shape ?? []), 0);
}

/** Elements that the inputs and outputs have between channels first and last. */
function interfaceElements(graph: Graph): number {
  const shapes = movedInterface(graph, 'nhwc').map((name) => (graph.type(name).shape ?? []).map(Number));
  return shapes.filter(movesBytes).reduce((sum, shape) => sum + count(shape), 0);
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

async function expectSameNumbers(graph: Graph): Promise<void> {
  const expected = await runGraph(graph);
  for (const format of FORMATS)
    for (const layout of LAYOUTS) {
      const { outputs } = await runInFormat(graph, format, { layout });
      expect(largestDifference(expected, outputs)).toBeLessThan(1e-4);
    }
}

type Detour = (builder: GraphBuilder, x: string, shape: readonly number[]) => string;

/** What networks do with axes; each keeps the shape of an image. */
const DETOURS: readonly Detour[] = [
  function throughChannelsLast(builder, x) {
    const last = builder.apply('Transpose', [x], { perm: orderOf(4, 'last') });
    return builder.apply('Transpose', [builder.apply('Exp', [builder.apply('Neg', [last])])], { perm: [0, 3, 1, 2] });
  },
  function shuffledChannels(builder, x, [batch, channels, ...size]) {
    const groups = channels % 2 === 0 ? 2 : 1;
    const parts = integers(builder, [batch, groups, channels / groups, ...size]);
    const mixed = builder.apply('Transpose', [builder.apply('Reshape', [x, parts])], { perm: [0, 2, 1, 3, 4] });
    return builder.apply('Reshape', [mixed, integers(builder, [batch, channels, ...size])]);
  },
  function turned(builder, x) {
    const turned = builder.apply('Transpose', [x], { perm: [0, 1, 3, 2] });
    const soft = builder.apply('Softmax', [turned], { axis: 2 });
    return builder.apply('Transpose', [soft], { perm: [0, 1, 3, 2] });
  },
  function tokens(builder, x, [batch, channels, ...size]) {
    const flat = builder.apply('Reshape', [x, integers(builder, [batch, channels, -1])]);
    const soft = builder.apply('Softmax', [builder.apply('Transpose', [flat], { perm: [0, 2, 1] })], { axis: -1 });
    const back = builder.apply('Transpose', [soft], { perm: [0, 2, 1] });
    return builder.apply('Reshape', [back, integers(builder, [batch, channels, ...size])]);
  },
  function gatedByMeans(builder, x, [batch, channels]) {
    const mean = builder.apply('ReduceMean', [x, integers(builder, [2, 3])], { keepdims: 0 });
    const gates = builder.apply('Reshape', [mean, integers(builder, [batch, channels, 1, 1])]);
    return builder.apply('Mul', [x, builder.apply('Sigmoid', [gates])]);
  },
];

function integers(builder: GraphBuilder, values: readonly number[]): string {
  return builder.constant(builder.fresh('integers'), Tensor.integers(values));
}

/** The graph with detours behind about a third of its nodes. */
function withDetours(graph: Graph, seed: number): Graph {
  const random = createRandom(seed);
  return rewrite(graph, semantics, (node, builder) => {
    const [output] = node.outputs;
    const shape = (graph.type(output).shape ?? []).map(Number);
    if (random.next() > 1 / 3 || graph.outputs.includes(output)) return false;
    const detour = DETOURS[Math.floor(random.next() * DETOURS.length)];
    const before = builder.add({ ...node, outputs: [`${output}_before`] });
    const after = detour(builder, before[0], shape);
    builder.add({ op: 'Identity', name: `${output}_after`, inputs: [after], outputs: [output], attributes: {} });
    return true;
  });
}

describe('random nets', () => {
  it('give what ONNX Runtime gives, and move axes at most where they must', async () => {
    await fc.assert(
      fc.asyncProperty(randomNets, async (choice) => {
        const graph = drawNet(choice);
        for (const format of FORMATS) {
          expect(movedElements(graph, format, 'nhwc')).toBe(0);
          expect(movedElements(graph, format, 'nchw')).toBeLessThanOrEqual(interfaceElements(graph));
        }
        await expectSameNumbers(graph);
      }),
      { numRuns: 60, seed: 3 },
    );
  });

  it('that move axes themselves give what ONNX Runtime gives', async () => {
    await fc.assert(
      fc.asyncProperty(randomNets, async (choice) => expectSameNumbers(withDetours(drawNet(choice), choice.seed))),
      { numRuns: 60, seed: 4 },
    );
  });
});
