import { describe, expect, it } from 'vitest';
import { bindShapes, costOf } from '../../src/analysis/cost.js';
import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { Dim } from '../../src/ir/types.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { foldBn } from '../../src/passes/fold-bn.js';
import { type StudentOptions, student } from '../../src/passes/student.js';
import { featurePoints } from '../../src/training/feature-points.js';
import { parametersOf } from '../../src/training/parameters.js';
import { Net } from '../support/patterns-net.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { countOf, runPass } from '../support/run-pass.js';

const OPEN: readonly Dim[] = ['n', 1, 'h', 'w'];
const SIZES = { n: 2, h: 64, w: 128 };

function original(shape = OPEN, end = (net: Net, scores: string) => net.sigmoid(scores)): Graph {
  const net = new Net('original', 3);
  const top = net.block(net.input(shape), 8);
  const low = net.block(net.maxPool(top), 12);
  return net.build(end(net, net.conv(net.concat(top, net.up(low, 8)), 1, { kernel: 1, bias: true })));
}

async function newNetwork(graph: Graph, preset: StudentOptions['preset'] = 'paper-flat32-separable'): Promise<Graph> {
  return (await runPass(student, graph, { preset })).graph;
}

describe('the shapes of the paper', () => {
  it.each([
    ['paper-flat32', 288_513, 27],
    ['paper-flat32-separable', 43_242, 53],
  ] as const)('%s has %i parameters in %i convolutions', async (preset, parameters, convolutions) => {
    const graph = await newNetwork(original(), preset);
    // Statistics of normalizations counted, as in Keras.
    const { size, channels } = parametersOf(graph);
    expect(size + 2 * channels).toBe(parameters);
    const count = (op: string) => countOf(graph, op);
    expect(['Conv', 'Relu', 'BatchNormalization', 'MaxPool', 'Resize', 'Concat'].map(count)).toEqual([
      convolutions,
      26,
      13,
      6,
      6,
      6,
    ]);
    const bound = bindShapes(graph, new Map([['x', [1, 1, 128, 256]]]));
    const sizes = featurePoints(bound).map((value) => bound.type(value).shape?.slice(1).join());
    const down = [0, 1, 2, 3, 4, 5].map((level) => `32,${128 >> level},${256 >> level}`);
    expect(sizes).toEqual([...down, '32,2,4', ...down.toReversed()]);
    // 1.72 and 0.246 billion at this size.
    expect((costOf(bound).macs ?? 0) / 1e9).toBeCloseTo(preset === 'paper-flat32' ? 1.72 : 0.246, 2);
  });

  it('normalizes behind the second activation, and repeats pixels on the way up', async () => {
    const graph = await newNetwork(original(), 'paper-flat32');
    for (const node of graph.nodes)
      if (node.op === 'BatchNormalization') expect(graph.producer(node.inputs[0])?.op).toBe('Relu');
    const [up] = graph.nodes.filter(({ op }) => op === 'Resize');
    expect(up.attributes).toMatchObject({ mode: 'nearest', nearest_mode: 'floor' });
  });

  it.each(['paper-flat32', 'paper-flat32-separable'] as const)('%s runs in ONNX Runtime', async (preset) => {
    const [output] = await runGraph(await newNetwork(original(), preset), { sizes: SIZES });
    expect(output.dims).toEqual([2, 1, 64, 128]);
    expect(output.values.every((value) => value >= 0 && value <= 1)).toBe(true);
    expect(Math.max(...output.values) - Math.min(...output.values)).toBeGreaterThan(1e-3);
  });

  it('are drawn by seed', async () => {
    const drawn = async (seed: number) => {
      const context = { semantics, seed, note() {}, warn() {}, progress() {}, resolve() {} };
      const graph = await student.run(original(), { preset: 'paper-flat32-separable' }, context);
      return [...graph.constants.values()].map((tensor) => Buffer.from(tensor.toBytes()).toString('base64')).join();
    };
    expect(await drawn(1)).toBe(await drawn(1));
    expect(await drawn(1)).not.toBe(await drawn(2));
  });
});

describe('what stays of the original', () => {
  it('is its input, open sizes included, its output and its metadata', async () => {
    const graph = original().with({ metadata: new Map([['author', 'someone']]) });
    const { graph: replaced, warnings } = await runPass(student, graph, { preset: 'paper-flat32' });
    expect(replaced.inputs).toEqual(['x']);
    expect(replaced.outputs).toEqual(graph.outputs);
    expect(replaced.type('x')).toEqual({ dtype: 'f32', shape: ['n', 1, 'h', 'w'] });
    expect(replaced.type(replaced.outputs[0])).toEqual({ dtype: 'f32', shape: ['n', 1, 'h', 'w'] });
    expect(replaced.metadata).toEqual(graph.metadata);
    expect(warnings).toEqual([
      "the new network takes images whose sizes are multiples of 64; the original's input [n,1,h,w] left them open",
    ]);
  });

  it('is no inner name, not even where it would suit', async () => {
    const net = new Net('taken', 1);
    const x = net.op('Relu', [net.conv(net.input([1, 1, 64, 64]), 4)], {}, 'encoder1/conv1');
    const graph = net.build(net.conv(x, 1));
    const replaced = await newNetwork(graph);
    const shared = [...replaced.types.keys()].filter((name) => graph.types.has(name));
    expect(shared).toEqual(['x', ...graph.outputs]);
  });

  it('is the ending: none, a softmax, an argmax, or one for each of several outputs', async () => {
    const classes = (net: Net) => net.conv(net.block(net.input([1, 3, 64, 64]), 4), 5, { kernel: 1 });
    const build = (end: (net: Net) => string[]) => {
      const net = new Net('ending', 1);
      return net.build(...end(net));
    };
    const plain = await newNetwork(build((net) => [classes(net)]));
    expect(plain.producer(plain.outputs[0])?.op).toBe('Conv');
    const masks = await newNetwork(
      build((net) => [net.op('ArgMax', [net.op('Softmax', [classes(net)], { axis: 1 })], { axis: 1, keepdims: 0 })]),
    );
    expect(masks.type(masks.outputs[0])).toEqual({ dtype: 'i64', shape: [1, 64, 64] });
    expect(countOf(masks, 'Softmax')).toBe(1);
    const both = await newNetwork(
      build((net) => {
        const scores = classes(net);
        return [scores, net.op('Softmax', [scores], { axis: 1 }), net.sigmoid(net.conv('x', 2))];
      }),
    );
    expect(both.outputs.map((name) => both.type(name).shape?.[1])).toEqual([5, 5, 2]);
    expect(both.producer(both.producer(both.outputs[1])?.inputs[0] ?? '')?.outputs).toEqual([both.outputs[0]]);
  });

  it('is the scaling of the image', async () => {
    const net = new Net('scaled', 1);
    const centred = net.op('Sub', [net.input([1, 3, 64, 64]), net.perChannel('x', 'mean')]);
    const scaled = net.op('Div', [centred, net.perChannel('x', 'deviation')]);
    const graph = await newNetwork(net.build(net.conv(scaled, 1)));
    expect(graph.nodes.slice(0, 3).map(({ op }) => op)).toEqual(['Sub', 'Div', 'Conv']);
    expect(graph.nodes.slice(0, 2).map(({ inputs }) => inputs[1])).toEqual(['mean1', 'deviation1']);
    expect(graph.constants.get('mean1')).toBeDefined();
  });
});

describe('what has no preset network', () => {
  const refused = (graph: Graph) => expect(newNetwork(graph)).rejects;

  it('is an image whose sizes the levels do not divide', async () => {
    await refused(original([1, 1, 128, 96])).toThrow(/the image is 128 x 96, and 6 levels need multiples of 64/);
  });

  it('is a network with two inputs', async () => {
    const net = new Net('two', 1);
    const sum = net.add(net.input([1, 1, 64, 64]), net.input([1, 1, 64, 64], 'y'));
    await refused(net.build(net.conv(sum, 1))).toThrow(/the original has 2 inputs/);
  });

  it('is one with scores of another size, or outputs that another layer has a part in', async () => {
    const low = new Net('low', 1);
    const x = low.block(low.input([1, 1, 64, 64]), 4, { stride: 2 });
    await refused(low.build(low.sigmoid(low.conv(x, 1)))).toThrow(/scores 'conv2' are 32 x 32 for an image of 64 x 64/);
    const gated = new Net('gated', 1);
    gated.input([1, 1, 64, 64]);
    const scores = gated.conv('x', 1);
    const shape = gated.op('Shape', [gated.relu(gated.conv('x', 1))]);
    await refused(gated.build(gated.op('Reshape', [gated.sigmoid(scores), shape]))).toThrow(
      /made of the scores and of 'conv2', the result of another layer/,
    );
  });

  it('is one whose image is no float32 map', async () => {
    const net = new Net('half', 1);
    net.builder.input('x', { dtype: 'f16', shape: [1, 1, 64, 64] });
    const weight = net.constant('weight', Tensor.encode('f16', [1, 1, 1, 1], [1]));
    await refused(net.build(net.op('Conv', ['x', weight]))).toThrow(
      /input 'x' \(f16 \[1,1,64,64\]\) gives .* no float32/,
    );
  });
});

describe('fold-bn behind it', () => {
  /** As after training: statistics far from 0 and 1; every third scale is negative if asked for. */
  function trained(graph: Graph, sign: 1 | -1): Graph {
    const random = createRandom(4);
    const constants = new Map(graph.constants);
    for (const { op, inputs } of graph.nodes) {
      if (op !== 'BatchNormalization') continue;
      const draw = (value: (channel: number) => number) =>
        Tensor.floats(Array.from({ length: 32 }, (_, c) => value(c)));
      constants.set(
        inputs[1],
        draw((c) => (c % 3 ? 1 : sign) * (0.5 + random.next())),
      );
      constants.set(
        inputs[2],
        draw(() => random.normal()),
      );
      constants.set(
        inputs[3],
        draw(() => random.normal()),
      );
      constants.set(
        inputs[4],
        draw(() => 0.5 + random.next()),
      );
    }
    return graph.with({ constants });
  }

  it('folds the last one into the head, keeps shifts at zero padding, and names what it must leave', async () => {
    for (const preset of ['paper-flat32', 'paper-flat32-separable'] as const)
      for (const sign of [1, -1] as const) {
        const before = trained(
          await newNetwork(
            original([1, 1, 64, 64], (_, scores) => scores),
            preset,
          ),
          sign,
        );
        const { graph, changes } = await runPass(foldBn, before, {});
        expect(largestDifference(await runGraph(before), await runGraph(graph))).toBeLessThan(1e-5);
        expect([preset, sign, countOf(graph, 'BatchNormalization'), countOf(graph, 'Add')]).toEqual(
          sign > 0 ? [preset, sign, 0, 12] : [preset, sign, 6, 6],
        );
        const head = graph.producer(graph.outputs[0]);
        expect(graph.producer(head?.inputs[0] ?? '')?.op).toBe('Relu');
        const kept = changes.filter(({ action }) => action === 'kept');
        expect(kept).toHaveLength(countOf(graph, 'BatchNormalization'));
        for (const { reason } of kept) expect(reason).toMatch(/only positive scales|zero padding/);
      }
  });
});
