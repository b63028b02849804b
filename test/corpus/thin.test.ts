import { createReadStream, createWriteStream, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { costOf } from '../../src/analysis/cost.js';
import { layersOf } from '../../src/analysis/layers.js';
import { type Compressed, compress } from '../../src/compress.js';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import type { NpyArray } from '../../src/formats/npy.js';
import { load } from '../../src/importers/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { createRandom } from '../../src/math/random.js';
import type { Change } from '../../src/passes/pass.js';
import { differenceTo, referenceBeside, runModel, stridedShape } from './reference.js';

const corpus = process.env.COMPRESS_CORPUS;
const models = corpus ? join(corpus, 'models/real') : '';
const files = corpus ? readdirSync(models).filter((name) => name.endsWith('.onnx')) : [];

const folder = mkdtempSync(join(tmpdir(), 'thin-corpus-'));
afterAll(() => rmSync(folder, { recursive: true }));

const OUTPUT = 'it is an output of the model';

interface Expectation {
  /** Parameters when every class keeps half, and when kernels are then factorized; worked out by hand. */
  readonly half: number;
  readonly separable: number;
  /** The layers that keep their channels, with the reason. Everything else can be reached in all of these models. */
  readonly fixed: Readonly<Record<string, string>>;
}

/**
 * Half of the channels leaves a quarter of a convolution's weights, half of a depthwise one's and of the biases, and
 * half of the first and the last layer's. BatchNorms are folded. A kernel of I inputs (O outputs where transposed) and
 * K positions is factorized into I·K (O·K) + I·O weights.
 */
const EXPECTATIONS: Readonly<Record<string, Expectation>> = {
  // Widths 5 become 3: 27·3 + 3, eight times 27·3·3 + 3, and 3·3 + 3. Below 4 inputs nothing is factorized.
  'brain-meshnet-3d.onnx': { half: 2064, separable: 2064, fixed: { '/27/Conv': OUTPUT } },
  // Widths 8, 16, 32 instead of 16, 32, 64.
  'fingertip-sed-unet.onnx': { half: 29_321, separable: 5313, fixed: { '/final_conv/Conv': OUTPUT } },
  // Of 642,704 dense weights 160,912 stay. The depthwise ones are 161,904 with and 32,112 without the zeros that they
  // are stuffed with; 16,056 stay. BatchNorms leave 4328 biases, the head has 2; 80 numbers are bounds and scales.
  'portrait-deeplab-513.onnx': { half: 181_378, separable: 181_378, fixed: { Conv__305: OUTPUT } },
  // Of 885,984 dense weights 221,552 stay, of 32,832 depthwise ones 16,416, of 4241 biases 2121. Four pairs of 3x3
  // kernels are factorized: 4 to 16 channels, 16 to 32, 32 to 64, 64 to 64, and the same on the way up.
  'portrait-prisma-256.onnx': { half: 240_089, separable: 134_657, fixed: { conv2d_transpose_15: OUTPUT } },
  // Of 87,792 dense weights 22,072 stay, of 15,688 depthwise ones 7844, of 2921 biases 1461, and 4 scales. Only the
  // last layer is factorized. The Reshape behind it moves its one channel to the end.
  'selfie-landscape-144x256.onnx': { half: 31_381, separable: 31_361, fixed: { conv2d_transpose: 'Reshape' } },
};

function thinningOf({ passes }: Compressed): readonly Change[] {
  return passes.find(({ name }) => name === 'thin')?.changes ?? [];
}

function kept(changes: readonly Change[]): Record<string, string | undefined> {
  return Object.fromEntries(
    changes.filter(({ action }) => action === 'kept').map(({ layer, reason }) => [layer, reason]),
  );
}

async function checkRun(graph: Graph, input: NpyArray, shape: readonly number[], strides: ArrayLike<number>) {
  const output = await runModel(encodeOnnxGraph(graph), input);
  expect(stridedShape(output.shape, strides)).toEqual(shape);
  expect(Array.from(output.data).every(Number.isFinite)).toBe(true);
}

describe.skipIf(!corpus)('models of others', () => {
  it('are all expected', () => expect(files).toEqual(Object.keys(EXPECTATIONS).sort()));

  it.each(files)('%s: exact passes agree with the reference', async (name) => {
    const reference = referenceBeside(join(models, name));
    const { graph } = await compress(load(join(models, name)), { check: true });
    expect(graph.nodes.filter(({ op }) => op === 'BatchNormalization')).toEqual([]);
    const output = await runModel(encodeOnnxGraph(graph), reference.input);
    expect(differenceTo(reference, output)).toBeLessThan(1e-5);
  });

  it.each(files)('%s: runs with half of its channels, also factorized', async (name) => {
    const original = load(join(models, name));
    const { input, output, strides } = referenceBeside(join(models, name));
    const { half, separable, fixed } = EXPECTATIONS[name];

    const thinned = await compress(original, { thin: 0.5, check: true });
    expect(costOf(thinned.graph).parameters).toBe(half);
    const changes = thinningOf(thinned);
    expect(kept(changes)).toEqual(
      Object.fromEntries(Object.entries(fixed).map(([layer, why]) => [layer, expect.stringContaining(why)])),
    );
    for (const { before, after, action } of changes)
      if (action === 'thinned') expect(after).toBe(Math.round(Number(before) / 2));
    await checkRun(thinned.graph, input, output.shape, strides);

    const factorized = await compress(original, { thin: 0.5, separable: 'depthwise', check: true });
    expect(costOf(factorized.graph).parameters).toBe(separable);
    await checkRun(factorized.graph, input, output.shape, strides);
  });

  it('the U-Net for head outlines comes down to the size of its paper', async () => {
    const file = join(folder, 'hc18-unet.onnx');
    await pipeline(createReadStream(join(models, '../hc18-unet.onnx.gz')), createGunzip(), createWriteStream(file));
    const compressed = await compress(load(file), { thin: 0.125, separable: 'depthwise', check: true });
    const changes = thinningOf(compressed);
    expect(Object.values(kept(changes))).toEqual([expect.stringContaining(OUTPUT)]);
    const thinned = changes.filter(({ action }) => action === 'thinned');
    expect(thinned.map(({ before }) => Number(before) / 8)).toEqual(thinned.map(({ after }) => after));
    // Two convolutions a block on five levels down and four up, and what brings each level up.
    const level = (width: number) => [width, width];
    expect(thinned.map(({ after }) => after)).toEqual([
      ...[8, 16, 32, 64, 128].flatMap(level),
      ...[64, 32, 16, 8].flatMap((width) => [width, ...level(width)]),
    ]);
    expect(costOf(compressed.graph).parameters).toBeLessThanOrEqual(110_000);
    expect(compressed.graph.nodes.filter(({ op }) => op === 'BatchNormalization')).toEqual([]);
    expect(layersOf(compressed.graph).length).toBeGreaterThan(layersOf(load(file)).length);
    const random = createRandom(1);
    const image = { shape: [1, 1, 256, 256], data: Float32Array.from({ length: 256 ** 2 }, () => random.next()) };
    await checkRun(compressed.graph, image, [1, 1, 256, 256], [1, 1, 1, 1]);
  });
});
