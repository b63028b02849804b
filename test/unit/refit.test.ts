import { describe, expect, test } from 'vitest';
import { layersOf } from '../../src/analysis/layers.js';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import type { Attributes, Graph } from '../../src/ir/graph.js';
import { withConstants } from '../../src/ir/rewrite.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { observe } from '../../src/passes/observe.js';
import type { Pass } from '../../src/passes/pass.js';
import { refit } from '../../src/passes/refit.js';
import { step } from '../../src/passes/run.js';
import { separable } from '../../src/passes/separable.js';
import { thin } from '../../src/passes/thin.js';
import { runCalibrated } from '../support/calibrated-passes.js';
import { Net } from '../support/patterns-net.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { runPass } from '../support/run-pass.js';

/** Keeps half of the named layers' classes, all of the others. */
const halving = (...layers: string[]) => ({
  keep: 1,
  round: 1,
  shape: 'proportional' as const,
  layerKeep: (layer: string) => (layers.includes(layer) ? 0.5 : undefined),
});

const everywhere = (keep: number) => ({ keep, round: 1, shape: 'proportional' as const });

/** How far a graph's outputs are from those of another, relative to the largest. */
const distance = async (from: Graph, to: Graph) => largestDifference(await runGraph(from), await runGraph(to));

function replaceConstant(graph: Graph, name: string, change: (values: Float64Array) => void): Graph {
  const tensor = graph.constants.get(name);
  if (!tensor) return graph;
  const values = tensor.toFloat64();
  change(values);
  return withConstants(graph, semantics, new Map([[name, Tensor.encode(tensor.dtype, tensor.shape, values)]]));
}

/** Makes the second half of a layer's filters a combination of the first half: a·(the same one) + b·(the next one). */
function makeRedundant(graph: Graph, layer: string, a: number, b = 0): Graph {
  const filters = Number(graph.type(layer).shape?.[1]);
  const combine = (values: Float64Array) => {
    const size = values.length / filters;
    const kept = filters / 2;
    for (let o = kept; o < filters; o++)
      for (let i = 0; i < size; i++)
        values[o * size + i] = a * values[(o - kept) * size + i] + b * values[((o + 1) % kept) * size + i];
  };
  return replaceConstant(replaceConstant(graph, `${layer}.weight`, combine), `${layer}.bias`, combine);
}

function unet(): Graph {
  const net = new Net('unet', 7);
  const skip = net.relu(net.conv(net.relu(net.conv(net.input([1, 1, 16, 16]), 8)), 8, { bias: true }));
  const deep = net.relu(net.conv(net.relu(net.conv(net.maxPool(skip), 16)), 16));
  const merged = net.relu(net.conv(net.concat(skip, net.up(deep, 8)), 8));
  return net.build(net.conv(net.relu(net.conv(merged, 8)), 1, { kernel: 1, bias: true }));
}

describe('channels that are linear combinations of others can go without a trace', () => {
  const image = [1, 3, 16, 16] as const;
  const cases: Record<string, { make: (net: Net) => string; redundant: Record<string, [number, number?]> }> = {
    'behind a ReLU': {
      make: (net) => net.conv(net.relu(net.conv(net.input(image), 8, { bias: true })), 4),
      redundant: { conv1: [1.5] },
    },
    'sums of two, without an activation': {
      make: (net) => net.conv(net.conv(net.input(image), 8), 4, { padding: 0 }),
      redundant: { conv1: [0.7, -0.4] },
    },
    'skip connection, read by a pool and a concat': {
      make: (net) => {
        const skip = net.relu(net.conv(net.input(image), 8));
        return net.conv(net.concat(skip, net.up(net.conv(net.maxPool(skip), 6), 6)), 2);
      },
      redundant: { conv1: [1.5] },
    },
    'residual sum': {
      make: (net) => {
        const x = net.input(image);
        return net.conv(net.relu(net.add(net.conv(x, 8), net.conv(x, 8))), 4);
      },
      redundant: { conv1: [1.5], conv2: [1.5] },
    },
    'concat of a value with itself': {
      make: (net) => {
        const x = net.relu(net.conv(net.input(image), 8));
        return net.conv(net.concat(x, x), 4);
      },
      redundant: { conv1: [1.5] },
    },
    'depthwise in between': {
      make: (net) => net.conv(net.conv(net.relu(net.conv(net.input(image), 8)), 8, { group: 8 }), 4, { kernel: 1 }),
      redundant: { conv1: [1.5], conv2: [1] },
    },
    'transposed convolution': {
      make: (net) => net.up(net.relu(net.conv(net.input(image), 8)), 4),
      redundant: { conv1: [1.5] },
    },
    'overlapping transposed convolution': {
      make: (net) => net.up(net.relu(net.conv(net.input(image), 8)), 4, { kernel: 3, padding: 1, outputPadding: 1 }),
      redundant: { conv1: [1.5] },
    },
    'matrix product of pooled channels': {
      make: (net) => {
        const pooled = net.op('GlobalAveragePool', [net.relu(net.conv(net.input(image), 8))]);
        return net.linear(net.op('Flatten', [pooled]), 3);
      },
      redundant: { conv1: [1.5] },
    },
  };
  for (const [name, { make, redundant }] of Object.entries(cases))
    test(name, async () => {
      const net = new Net('redundant', 11);
      let graph = net.build(make(net));
      for (const [layer, [a, b]] of Object.entries(redundant)) graph = makeRedundant(graph, layer, a, b);
      const thinning = step(thin, halving(...Object.keys(redundant)));
      const { graph: thinned } = await runCalibrated(graph, [step(observe, {}), thinning, step(refit, {})]);
      expect(thinned.type('conv1').shape?.[1]).toBe(4);
      expect(await distance(graph, thinned)).toBeLessThan(1e-3);
    });
});

test('a constant channel goes first and its constant into the bias', async () => {
  const net = new Net('constant', 5);
  const x = net.relu(net.conv(net.input([1, 2, 12, 12]), 6, { bias: true }));
  let graph = net.build(net.conv(x, 3, { padding: 0 }));
  const silence = (first: number) => (values: Float64Array) => values.fill(first, 0, values.length / 2);
  graph = replaceConstant(graph, 'conv1.weight', silence(0));
  graph = replaceConstant(graph, 'conv1.bias', silence(0.5));
  const { graph: thinned } = await runCalibrated(graph, [step(observe, {}), step(thin, everywhere(0.5))]);
  expect(thinned.type('conv1').shape?.[1]).toBe(3);
  expect(await distance(graph, thinned)).toBeLessThan(1e-4);
});

test('where everything is kept, nothing changes', async () => {
  const graph = unet();
  const steps = [step(observe, {}), step(thin, everywhere(1)), step(refit, {})];
  const { graph: same } = await runCalibrated(graph, steps);
  expect(await distance(graph, same)).toBeLessThan(1e-6);
});

test('the same seed gives the same bytes, whatever the number of threads', async () => {
  const steps = () => [step(observe, {}), step(thin, everywhere(0.5)), step(refit, {})];
  const [one, two] = [await runCalibrated(unet(), steps()), await runCalibrated(unet(), steps(), { threads: 2 })];
  expect(Buffer.compare(encodeOnnxGraph(one.graph), encodeOnnxGraph(two.graph))).toBe(0);
});

test('choice and refit by data come nearer to the original than either choice alone', async () => {
  const graph = unet();
  const byWeights = (await runPass(thin, graph, everywhere(0.5))).graph;
  const chosen = (await runCalibrated(graph, [step(observe, {}), step(thin, everywhere(0.5))])).graph;
  const fitted = (await runCalibrated(graph, [step(observe, {}), step(thin, everywhere(0.5)), step(refit, {})])).graph;
  const [first, second, third] = await Promise.all([byWeights, chosen, fitted].map((small) => distance(graph, small)));
  expect(third).toBeLessThan(0.7 * Math.min(first, second));
});

test('factors that approximate a kernel come nearer to its output', async () => {
  const graph = unet();
  const factorize = step(separable, { mode: 'depthwise', rank: 1 });
  const { graph: plain } = await runCalibrated(graph, [factorize]);
  const { graph: fitted } = await runCalibrated(graph, [step(observe, {}), factorize, step(refit, {})]);
  expect(await distance(graph, fitted)).toBeLessThan(0.7 * (await distance(graph, plain)));
});

/** Disturbs all weights and biases of a graph's layers. */
const disturb: Pass<Record<string, never>> = {
  name: 'disturb',
  summary: '',
  keeps: 'approximate',
  run(graph) {
    const random = createRandom(2);
    const names = layersOf(graph).flatMap(({ node }) =>
      node.inputs.slice(1).filter((name) => graph.constants.has(name)),
    );
    return names.reduce(
      (result, name) =>
        replaceConstant(result, name, (values) => {
          for (let i = 0; i < values.length; i++) values[i] += 0.3 * random.normal();
        }),
      graph,
    );
  },
};

describe('weights that were disturbed are found again, so samples meet the right inputs', () => {
  const pads = [0, 1, 2, 1];
  const geometries: [op: string, attributes: Attributes, weight: number[]][] = [
    ['Conv', {}, [6, 4, 3, 3]],
    ['Conv', { strides: [2, 1], pads, dilations: [1, 2] }, [6, 4, 3, 2]],
    ['Conv', { auto_pad: 'SAME_UPPER', strides: [2, 2] }, [6, 4, 3, 3]],
    ['Conv', { auto_pad: 'SAME_LOWER' }, [6, 4, 2, 2]],
    ['Conv', { group: 2, pads: [1, 1, 1, 1] }, [6, 2, 3, 3]],
    ['Conv', { group: 4 }, [8, 1, 3, 3]],
    ['ConvTranspose', { strides: [2, 2] }, [4, 6, 2, 2]],
    ['ConvTranspose', { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] }, [4, 6, 3, 3]],
    ['ConvTranspose', { strides: [1, 3], pads, dilations: [2, 1], group: 2 }, [4, 3, 2, 4]],
    ['ConvTranspose', { strides: [3, 3] }, [4, 6, 2, 2]],
  ];
  for (const [op, attributes, weight] of geometries)
    test(`${op} ${JSON.stringify(attributes)}`, async () => {
      const net = new Net('geometry', 9);
      const x = net.input([1, 4, 13, 11]);
      const group = (attributes.group as number | undefined) ?? 1;
      const bias = net.normals('b', [op === 'Conv' ? weight[0] : weight[1] * group]);
      const graph = net.build(net.op(op, [x, net.normals('w', weight), bias], attributes));
      await expectFound(graph);
    });

  test('3-D, with open spatial sizes', async () => {
    const net = new Net('volume', 9);
    const graph = net.build(net.conv(net.input([1, 2, 'd', 'h', 'w']), 3, { stride: 2, bias: true }));
    await expectFound(graph, { d: 7, h: 9, w: 8 });
  });

  test('Gemm and MatMul', async () => {
    const net = new Net('dense', 9);
    const flat = net.op('Flatten', [net.input([1, 6, 2, 2])]);
    const gemm = net.op('Gemm', [flat, net.normals('g', [24, 5]), net.normals('b', [5])]);
    await expectFound(net.build(net.op('MatMul', [gemm, net.normals('m', [5, 3])])), {}, 200);
  });

  async function expectFound(graph: Graph, sizes: Record<string, number> = {}, images = 24) {
    const run = (...steps: Parameters<typeof runCalibrated>[1]) => runCalibrated(graph, steps, { images, sizes });
    const { graph: disturbed } = await run(step(disturb, {}));
    const { graph: found } = await run(step(observe, {}), step(disturb, {}), step(refit, {}));
    const outputs = async (which: Graph) => runGraph(which, { sizes });
    const before = largestDifference(await outputs(graph), await outputs(disturbed));
    expect(before).toBeGreaterThan(0.1);
    expect(largestDifference(await outputs(graph), await outputs(found))).toBeLessThan(0.02 * before);
  }
});
