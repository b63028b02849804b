import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ort from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { compressFile } from '../../src/compress.js';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { load } from '../../src/importers/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { foreignNode, type Graph, OPAQUE } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { DataType } from '../../src/ir/types.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import type { Options } from '../../src/options.js';
import { type BakedInput, type BakedOutput, bake } from '../../src/passes/bake.js';
import { toClassMap } from '../../src/validate/decision.js';
import { runInFormat } from '../support/run-formats.js';

const SAMPLE = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));
const [HEIGHT, WIDTH] = [8, 6];
const PIXELS = HEIGHT * WIDTH;
/** ONNX's number of the type of halves. */
const FLOAT16 = 10;

const random = createRandom(9);
const normal = (...shape: number[]) =>
  Tensor.floats(
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    shape,
  );

interface Net {
  /** Channels of the image. */
  readonly channels?: number;
  /** Channels of the scores. */
  readonly scores?: number;
  /** Whether the model's own input and output have their channels last. */
  readonly last?: boolean;
  /** What becomes of the scores. */
  readonly after?: (builder: GraphBuilder, scores: string) => string;
}

/** A convolution, and what follows. */
function network({ channels = 1, scores = 1, last = false, after = (_, value) => value }: Net): Graph {
  const builder = new GraphBuilder(semantics);
  builder.input('image', { dtype: 'f32', shape: last ? [1, HEIGHT, WIDTH, channels] : [1, channels, HEIGHT, WIDTH] });
  const x = last ? builder.apply('Transpose', ['image'], { perm: [0, 3, 1, 2] }) : 'image';
  builder.constant('w', normal(scores, channels, 3, 3));
  const convolved = builder.apply('Conv', [x, 'w'], { pads: [1, 1, 1, 1] });
  const y = last ? builder.apply('Transpose', [convolved], { perm: [0, 2, 3, 1] }) : convolved;
  builder.add({ op: 'Identity', name: 'out', inputs: [after(builder, y)], outputs: ['mask'], attributes: {} });
  return builder.build(['mask']);
}

const applying =
  (op: string, attributes: Record<string, number> = {}) =>
  (builder: GraphBuilder, value: string) =>
    builder.apply(op, [value], attributes);

function squeezed(axis: number) {
  return (builder: GraphBuilder, value: string) =>
    builder.apply('Squeeze', [value, builder.constant('squeezed', Tensor.integers([axis]))]);
}

async function runInOrt(graph: Graph, image: ort.Tensor): Promise<ort.Tensor> {
  const session = await ort.InferenceSession.create(encodeOnnxGraph(graph), { logSeverityLevel: 4 });
  try {
    return (await session.run({ image })).mask;
  } finally {
    await session.release();
  }
}

function pixelsOf(graph: Graph): { bytes: Uint8Array<ArrayBuffer>; dims: number[] } {
  const dims = (graph.type('image').shape ?? []).map(Number);
  return { bytes: Uint8Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.integer(256)), dims };
}

/** Prepared as `validate` does it, value by value in double precision. */
function prepared(bytes: Uint8Array, { scale, mean, std }: BakedInput, channelOf: (i: number) => number): Float32Array {
  const at = (list: readonly number[], channel: number, fallback: number) =>
    list[list.length === 1 ? 0 : channel] ?? fallback;
  return Float32Array.from(bytes, (byte, i) => {
    const channel = channelOf(i);
    return (byte * scale - at(mean, channel, 0)) / at(std, channel, 1);
  });
}

const GRAY: BakedInput = { scale: 1 / 255, mean: [], std: [] };
const RGB: BakedInput = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const LOGITS: BakedOutput = { name: 'mask', kind: 'logit', threshold: null, channel: null };
const PROBABILITIES: BakedOutput = { ...LOGITS, kind: 'prob' };
const CLASSES: BakedOutput = { ...LOGITS, kind: 'index' };

describe('the same masks as preparing and deciding outside', () => {
  it.each<[string, Net, BakedInput, BakedOutput]>([
    ['gray, logits', {}, GRAY, LOGITS],
    ['gray with a mean and a deviation', {}, { scale: 1 / 255, mean: [0.3], std: [0.2] }, LOGITS],
    ['gray without a scale', {}, { scale: 1, mean: [127.5], std: [127.5] }, LOGITS],
    ['logits above a threshold', {}, GRAY, { ...LOGITS, threshold: -0.75 }],
    ['colour, classes', { channels: 3, scores: 4 }, RGB, LOGITS],
    ['colour with one mean for all', { channels: 3, scores: 4 }, { ...RGB, mean: [0.45] }, LOGITS],
    ['colour with one deviation for all', { channels: 3 }, { ...RGB, std: [0.25] }, LOGITS],
    ['one channel of several', { channels: 3, scores: 4 }, RGB, { ...LOGITS, channel: 2, threshold: 0.25 }],
    ['probabilities', { channels: 3, after: applying('Sigmoid') }, RGB, PROBABILITIES],
    ['probabilities above 0.8', { after: applying('Sigmoid') }, GRAY, { ...PROBABILITIES, threshold: 0.8 }],
    ['probabilities of classes', { scores: 3, after: applying('Softmax', { axis: 1 }) }, GRAY, PROBABILITIES],
    ['class numbers', { scores: 3, after: applying('ArgMax', { axis: 1 }) }, GRAY, CLASSES],
    [
      'class numbers without channels',
      { scores: 3, after: applying('ArgMax', { axis: 1, keepdims: 0 }) },
      GRAY,
      CLASSES,
    ],
    ['scores without channels', { after: squeezed(1) }, GRAY, LOGITS],
    ['channels last', { channels: 3, scores: 3, last: true }, RGB, LOGITS],
    ['channels last, one score', { channels: 3, last: true }, RGB, LOGITS],
    ['channels last, one of several', { channels: 3, scores: 3, last: true }, RGB, { ...LOGITS, channel: 1 }],
    ['channels last, more classes than images have channels', { channels: 3, scores: 7, last: true }, RGB, LOGITS],
    ['channels last, scores without channels', { channels: 3, last: true, after: squeezed(3) }, RGB, LOGITS],
  ])('%s', async (_, net, input, output) => {
    const graph = network(net);
    const { bytes, dims } = pixelsOf(graph);
    const channelOf = (i: number) => (net.last ? i % (net.channels ?? 1) : Math.floor(i / PIXELS));
    const scores = await runInOrt(graph, new ort.Tensor('float32', prepared(bytes, input, channelOf), dims));
    const outside = toClassMap({ data: scores.data as Float32Array, shape: scores.dims }, output, [HEIGHT, WIDTH]);
    const wanted = Array.from(outside.data);
    expect(new Set(wanted).size).toBeGreaterThan(1);

    const baked = bake(graph, semantics, { input, output });
    expect([baked.inputs, baked.outputs]).toEqual([['image'], ['mask']]);
    const inside = await runInOrt(baked, new ort.Tensor('uint8', bytes, dims));
    expect([inside.type, inside.dims]).toEqual(['uint8', net.last ? [1, HEIGHT, WIDTH, 1] : [1, 1, HEIGHT, WIDTH]]);
    expect(Array.from(inside.data as Uint8Array)).toEqual(wanted);
    for (const [format, given] of [
      ['tflite', { type: 'uint8' as const, dims, data: bytes }],
      ['tfjs', { type: 'int32' as const, dims, data: Int32Array.from(bytes) }],
    ] as const) {
      const [mask] = (await runInFormat(baked, format, { given: { image: given } })).outputs;
      expect([format, mask.values]).toEqual([format, wanted]);
    }
  });

  it('where scores are the single that a threshold is rounded to', async () => {
    // 0.1 as a single is a little more than 0.1, 0.7 a little less.
    for (const threshold of [0.1, 0.7, -0.1, -0.7]) {
      const graph = network({
        after: (builder, value) => {
          builder.constant('zero', Tensor.floats([0], []));
          builder.constant('level', Tensor.floats([threshold], []));
          return builder.apply('Add', [builder.apply('Mul', [value, 'zero']), 'level']);
        },
      });
      const { bytes, dims } = pixelsOf(graph);
      const output = { ...LOGITS, threshold };
      const mask = await runInOrt(
        bake(graph, semantics, { input: GRAY, output }),
        new ort.Tensor('uint8', bytes, dims),
      );
      const isAbove = Math.fround(threshold) > threshold;
      expect([threshold, Array.from(mask.data as Uint8Array)]).toEqual([
        threshold,
        Array(PIXELS).fill(Number(isAbove)),
      ]);
    }
  });

  it('of scores in half precision', async () => {
    for (const [scores, output] of [
      [1, LOGITS],
      [4, LOGITS],
      [3, { ...LOGITS, channel: 1 }],
    ] as const) {
      const after = (builder: GraphBuilder, value: string) => {
        const half = builder.apply('Cast', [value], { to: FLOAT16 });
        builder.add({ op: 'Identity', name: 'half', inputs: [half], outputs: ['halves'], attributes: {} });
        return builder.apply('Cast', ['halves'], { to: 1 });
      };
      const graph = network({ scores, after });
      const halves = graph.with({ outputs: ['halves'] });
      const { bytes, dims } = pixelsOf(graph);
      const image = new ort.Tensor('uint8', bytes, dims);
      const ofHalves = bake(halves, semantics, { input: GRAY, output: { ...output, name: 'halves' } });
      const session = await ort.InferenceSession.create(encodeOnnxGraph(ofHalves), { logSeverityLevel: 4 });
      const mask = (await session.run({ image })).halves;
      await session.release();
      const wanted = await runInOrt(bake(graph, semantics, { input: GRAY, output }), image);
      expect(Array.from(mask.data as Uint8Array)).toEqual(Array.from(wanted.data as Uint8Array));
    }
  });

  it('of class numbers as fractions, to the nearest', async () => {
    const graph = network({
      after: (builder, value) => {
        builder.constant('nearly', Tensor.floats([0.9999], []));
        const isAbove = builder.apply('Greater', [value, builder.constant('zero', Tensor.floats([0], []))]);
        return builder.apply('Mul', [builder.apply('Cast', [isAbove], { to: 1 }), 'nearly']);
      },
    });
    const { bytes, dims } = pixelsOf(graph);
    const mask = await runInOrt(
      bake(graph, semantics, { input: GRAY, output: CLASSES }),
      new ort.Tensor('uint8', bytes, dims),
    );
    expect(new Set(mask.data as Uint8Array)).toEqual(new Set([0, 1]));
  });
});

describe('what is left as it was', () => {
  it('the side that is not named', () => {
    const graph = network({});
    const pre = bake(graph, semantics, { input: GRAY });
    expect([pre.type('image').dtype, pre.type('mask').dtype]).toEqual(['u8', 'f32']);
    const post = bake(graph, semantics, { output: LOGITS });
    expect([post.type('image').dtype, post.type('mask').dtype]).toEqual(['f32', 'u8']);
  });

  it('other outputs, and nodes that read the scores', () => {
    const graph = network({});
    const builder = new GraphBuilder(semantics);
    builder.input('image', graph.type('image'));
    builder.constant('w', normal(1, 1, 3, 3));
    builder.add({
      op: 'Conv',
      name: 'c',
      inputs: ['image', 'w'],
      outputs: ['mask'],
      attributes: { pads: [1, 1, 1, 1] },
    });
    builder.add({ op: 'Sigmoid', name: 's', inputs: ['mask'], outputs: ['sure'], attributes: {} });
    const baked = bake(builder.build(['mask', 'sure']), semantics, { output: LOGITS });
    expect(baked.outputs.map((name) => baked.type(name).dtype)).toEqual(['u8', 'f32']);
  });

  it('sizes that are open', () => {
    const builder = new GraphBuilder(semantics);
    builder.input('image', { dtype: 'f32', shape: ['n', 3, 'h', 'w'] });
    builder.constant('w', normal(2, 3, 1, 1));
    builder.add({ op: 'Conv', name: 'c', inputs: ['image', 'w'], outputs: ['mask'], attributes: {} });
    const baked = bake(builder.build(['mask']), semantics, { input: RGB, output: LOGITS });
    expect(baked.type('mask')).toEqual({ dtype: 'u8', shape: ['n', 1, 'h', 'w'] });
  });

  it('operators without a definition, of which the file knows how they are written', () => {
    const builder = new GraphBuilder(semantics);
    const type = { dtype: 'f32' as const, shape: [1, 1, HEIGHT, WIDTH] };
    builder.input('image', type);
    const gelu = foreignNode({
      op: 'QuickGelu',
      domain: 'com.microsoft',
      version: 1,
      inputs: ['image'],
      outputs: ['mask'],
    });
    builder.add(gelu, [type]);
    const folder = mkdtempSync(join(tmpdir(), 'bake-'));
    try {
      const file = join(folder, 'foreign.onnx');
      writeFileSync(file, encodeOnnxGraph(builder.build(['mask'])));
      const graph = load(file);
      expect(graph.nodes.map(({ op }) => op)).toEqual([OPAQUE]);
      expect(() => encodeOnnxGraph(bake(graph, semantics, { input: GRAY, output: LOGITS }))).not.toThrow();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('refused in a sentence', () => {
  const twoInputs = () => {
    const builder = new GraphBuilder(semantics);
    for (const name of ['a', 'b']) builder.input(name, { dtype: 'f32', shape: [1, 1, HEIGHT, WIDTH] });
    return builder.build([builder.apply('Add', ['a', 'b'], {}, 'mask')]);
  };
  const typed = (dtype: DataType) => {
    const builder = new GraphBuilder(semantics);
    builder.input('image', { dtype, shape: [1, 1, HEIGHT, WIDTH] });
    return builder.build([builder.apply('Cast', ['image'], { to: 1 }, 'mask')]);
  };
  const flat = (builder: GraphBuilder, value: string) =>
    builder.apply('Reshape', [value, builder.constant('flat', Tensor.integers([1, 3, PIXELS]))]);
  it.each<[RegExp, Graph, { input?: BakedInput; output?: BakedOutput }]>([
    [/^--bake pre: the model has 2 inputs, and an image goes into one/, twoInputs(), { input: GRAY }],
    [
      /^--bake pre: input 'image' is of type u8, and numbers are prepared as 32-bit floats/,
      typed('u8'),
      { input: GRAY },
    ],
    [/^--bake pre: input 'image' is of type f16/, typed('f16'), { input: GRAY }],
    [/^--bake post: the model has no output 'other'/, network({}), { output: { ...LOGITS, name: 'other' } }],
    [/^--bake post: .* \[1, 3, 48\] is no map/, network({ scores: 3, after: flat }), { output: LOGITS }],
    [
      /^--bake post: output 'mask' has 3 channels, and channel 3, counted from 0, is named/,
      network({ scores: 3 }),
      { output: { ...LOGITS, channel: 3 } },
    ],
    [/^--bake post: output 'mask' has 1 channel, and channel 1/, network({}), { output: { ...LOGITS, channel: 1 } }],
    [
      /^--bake post: output 'mask' has 3 channels, and class numbers have one/,
      network({ scores: 3 }),
      { output: CLASSES },
    ],
    [
      /^--bake post: output 'mask' has 256 channels, and at most 255 classes/,
      network({ scores: 256 }),
      { output: LOGITS },
    ],
  ])('%s', (sentence, graph, parts) => {
    expect(() => bake(graph, semantics, parts)).toThrow(sentence);
  });

  it('a value that a nested graph reads', () => {
    const graph = network({});
    const [node, ...rest] = graph.nodes;
    const nested = { ...node, op: OPAQUE, name: 'loop', captures: ['image'] };
    const capturing = graph.with({ nodes: [nested, ...rest] });
    expect(() => bake(capturing, semantics, { input: GRAY })).toThrow(
      /^--bake pre: the graph within node 'loop' reads 'image'/,
    );
  });

  it.each<[RegExp, Graph, Options]>([
    [/^--bake post: output 'mask' holds plain values/, network({ after: applying('Relu') }), { bake: ['post'] }],
    [/^--bake pre: the model is not one for images/, twoInputs(), { bake: ['pre', 'post'] }],
    [/^--bake can be pre, post or both, not 'all'/, network({}), { bake: ['pre', 'all'] }],
  ])('of a file: %s', async (sentence, graph, options) => {
    const folder = mkdtempSync(join(tmpdir(), 'bake-'));
    try {
      const file = join(folder, 'net.onnx');
      writeFileSync(file, encodeOnnxGraph(graph));
      await expect(compressFile(file, { ...options, dryRun: true, out: folder })).rejects.toThrow(sentence);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('judged by masks', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bake-judged-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** So many of the sample's test images, with their masks. */
  function fewImages(count: number): string {
    for (const part of ['images', 'masks']) {
      mkdirSync(join(folder, 'data', part), { recursive: true });
      const from = join(SAMPLE, 'test', part);
      for (const name of readdirSync(from).sort().slice(0, count))
        copyFileSync(join(from, name), join(folder, 'data', part, name));
    }
    return join(folder, 'data');
  }

  it('a baked artefact scores as the same network does without', async () => {
    const options: Options = {
      thin: 0.9,
      format: ['onnx', 'tflite', 'tfjs'],
      testData: fewImages(6),
      latency: 'none',
      threads: 1,
    };
    const plain = await compressFile(join(SAMPLE, 'model.onnx'), { ...options, out: join(folder, 'plain') });
    const baked = await compressFile(join(SAMPLE, 'model.onnx'), {
      ...options,
      bake: ['pre', 'post'],
      out: join(folder, 'baked'),
    });
    // Thinned and not trained: masks that are not the original's, so that scores say something.
    for (const { accuracy } of plain.artifacts) {
      expect(accuracy?.agreement).toBeGreaterThan(0);
      expect(accuracy?.agreement).toBeLessThan(1);
    }
    expect(baked.artifacts.map(({ accuracy }) => accuracy)).toEqual(plain.artifacts.map(({ accuracy }) => accuracy));
    expect(baked.artifacts.map(({ numeric }) => numeric)).toEqual([null, null, null]);
  }, 120_000);
});
