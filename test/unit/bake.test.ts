import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { type BakedInput, type BakedOutput, bake } from '../../src/passes/bake.js';
import { toClassMap } from '../../src/validate/decision.js';

const random = createRandom(9);
const normal = (...shape: number[]) =>
  Tensor.floats(
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    shape,
  );

/** A convolution to so many channels; with `last` the model's own input and output have their channels last. */
function network(
  channels: number,
  classes: number,
  { last = false, activation }: { last?: boolean; activation?: string } = {},
): Graph {
  const builder = new GraphBuilder(semantics);
  const shape = last ? [1, 8, 6, channels] : [1, channels, 8, 6];
  builder.input('image', { dtype: 'f32', shape });
  const x = last ? builder.apply('Transpose', ['image'], { perm: [0, 3, 1, 2] }) : 'image';
  builder.constant('w', normal(classes, channels, 3, 3));
  const scores = builder.apply('Conv', [x, 'w'], { pads: [1, 1, 1, 1] });
  const active = activation ? builder.apply(activation, [scores]) : scores;
  const y = last ? builder.apply('Transpose', [active], { perm: [0, 2, 3, 1] }) : active;
  builder.add({ op: 'Identity', name: 'out', inputs: [y], outputs: ['mask'], attributes: {} });
  return builder.build(['mask']);
}

async function run(graph: Graph, feeds: Record<string, ort.Tensor>): Promise<ort.Tensor> {
  const session = await ort.InferenceSession.create(encodeOnnxGraph(graph), { logSeverityLevel: 4 });
  try {
    return (await session.run(feeds)).mask;
  } finally {
    await session.release();
  }
}

/** Bytes, and what is to become of them, channel by channel. */
async function compare(graph: Graph, input: BakedInput, output: BakedOutput, last: boolean): Promise<void> {
  const dims = (graph.type('image').shape ?? []).map(Number);
  const channels = last ? dims[3] : dims[1];
  const bytes = Uint8Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.integer(256));
  const at = (list: readonly number[], channel: number, fallback: number) =>
    list[list.length === 1 ? 0 : channel] ?? fallback;
  const prepared = Float32Array.from(bytes, (byte, i) => {
    const channel = last ? i % channels : Math.floor(i / 48);
    return (byte * input.scale - at(input.mean, channel, 0)) / at(input.std, channel, 1);
  });
  const scores = await run(graph, { image: new ort.Tensor('float32', prepared, dims) });
  const outside = toClassMap({ data: scores.data as Float32Array, shape: scores.dims }, output, [8, 6]);
  const baked = bake(graph, semantics, { input, output });
  expect([baked.inputs, baked.outputs]).toEqual([graph.inputs, graph.outputs]);
  const inside = await run(baked, { image: new ort.Tensor('uint8', bytes, dims) });
  expect(inside.type).toBe('uint8');
  expect(inside.dims).toEqual(last ? [1, 8, 6, 1] : [1, 1, 8, 6]);
  expect(Array.from(inside.data as Uint8Array)).toEqual(Array.from(outside.data));
}

const GRAY: BakedInput = { scale: 1 / 255, mean: [], std: [] };
const RGB: BakedInput = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const logits: BakedOutput = { name: 'mask', kind: 'logit', threshold: null, channel: null };

describe('baked into a model', () => {
  it.each([
    ['gray, logits', network(1, 1), GRAY, logits, false],
    ['gray with one mean for all', network(1, 1), { scale: 1 / 127.5, mean: [1], std: [1] }, logits, false],
    ['colour, classes', network(3, 4), RGB, logits, false],
    ['colour, one channel of several', network(3, 4), RGB, { ...logits, channel: 2, threshold: 0.25 }, false],
    ['probabilities', network(3, 1, { activation: 'Sigmoid' }), RGB, { ...logits, kind: 'prob' as const }, false],
    [
      'probabilities above 0.8',
      network(1, 1, { activation: 'Sigmoid' }),
      GRAY,
      { ...logits, kind: 'prob' as const, threshold: 0.8 },
      false,
    ],
    ['channels last in the model itself', network(3, 3, { last: true }), RGB, logits, true],
  ])('%s: the same masks as preparing and deciding outside', async (_, graph, input, output, last) => {
    await compare(graph, input, output, last);
  });

  it('one part alone leaves the other side as it was', () => {
    const graph = network(1, 1);
    const pre = bake(graph, semantics, { input: GRAY });
    expect([pre.type('image').dtype, pre.type('mask').dtype]).toEqual(['u8', 'f32']);
    const post = bake(graph, semantics, { output: logits });
    expect([post.type('image').dtype, post.type('mask').dtype]).toEqual(['f32', 'u8']);
  });

  it('refuses what is no image, and what is no map of scores, in a sentence', () => {
    const builder = new GraphBuilder(semantics);
    builder.input('a', { dtype: 'f32', shape: [1, 1, 8, 8] });
    builder.input('b', { dtype: 'f32', shape: [1, 1, 8, 8] });
    const graph = builder.build([builder.apply('Add', ['a', 'b'], {}, 'mask')]);
    expect(() => bake(graph, semantics, { input: GRAY })).toThrow(/^--bake pre: input 'a' must be the only one/);
    expect(() => bake(network(1, 1), semantics, { output: { ...logits, name: 'other' } })).toThrow(
      /^--bake post: output 'other'/,
    );
  });
});
