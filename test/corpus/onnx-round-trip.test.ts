import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import ort from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { exportOnnx } from '../../src/exporters/onnx/index.js';
import { type NpyArray, parseNpz } from '../../src/formats/npy.js';
import { importOnnx } from '../../src/importers/onnx/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { createRandom } from '../../src/math/random.js';
import { madeAnew } from '../support/onnx-models.js';

const corpus = process.env.COMPRESS_CORPUS;
const models = corpus ? join(corpus, 'models/real') : '';
const files = corpus ? readdirSync(models).filter((name) => name.endsWith('.onnx')) : [];

const folder = mkdtempSync(join(tmpdir(), 'onnx-corpus-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Each model here has one input and one output. */
async function run(file: string, input: NpyArray): Promise<NpyArray> {
  const session = await ort.InferenceSession.create(file, { logSeverityLevel: 4 });
  const tensor = new ort.Tensor('float32', Float32Array.from(input.data), input.shape);
  const results = await session.run({ [session.inputNames[0]]: tensor });
  await session.release();
  const { dims, data } = results[session.outputNames[0]];
  return { shape: [...dims], data: data as Float32Array };
}

/** Every `strides[axis]`-th element along each axis: long outputs are kept so beside their models. */
function sampled({ shape, data }: NpyArray, strides: ArrayLike<number>): NpyArray {
  const counts = shape.map((extent, axis) => Math.ceil(extent / strides[axis]));
  const size = counts.reduce((product, count) => product * count, 1);
  const values = Float32Array.from({ length: size }, (_, flat) => {
    let [rest, place, step] = [flat, 0, 1];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += (rest % counts[axis]) * strides[axis] * step;
      rest = Math.floor(rest / counts[axis]);
      step *= shape[axis];
    }
    return data[place];
  });
  return { shape: counts, data: values };
}

/** Largest difference as a part of the range of the expected values. */
function difference(expected: NpyArray, found: NpyArray): number {
  if (found.shape.join() !== expected.shape.join()) return Number.POSITIVE_INFINITY;
  let [low, high, worst] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  expected.data.forEach((value, i) => {
    low = Math.min(low, value);
    high = Math.max(high, value);
    worst = Math.max(worst, Math.abs(value - found.data[i]));
  });
  return worst / (high - low);
}

interface Reference {
  readonly input: NpyArray;
  readonly output: NpyArray;
  readonly strides: ArrayLike<number>;
}

/** The reference pair beside the model, else seeded input and what the original makes of it. */
async function reference(file: string, graph: Graph): Promise<Reference> {
  const pair = file.replace(/\.onnx$/, '.io.npz');
  if (existsSync(pair)) {
    const arrays = parseNpz(readFileSync(pair), pair);
    const [input, output] = ['x', 'y'].map((name) => arrays.get(name) as NpyArray);
    return { input, output, strides: arrays.get('y_stride')?.data ?? output.shape.map(() => 1) };
  }
  const random = createRandom(1);
  const shape = (graph.type(graph.inputs[0]).shape ?? []).map((dim) => (typeof dim === 'number' ? dim : 1));
  const size = shape.reduce((product, extent) => product * extent, 1);
  const input = { shape, data: Float32Array.from({ length: size }, () => random.next()) };
  const output = await run(file, input);
  return { input, output, strides: output.shape.map(() => 1) };
}

async function agrees(file: string): Promise<void> {
  const graph = importOnnx(file);
  const { input, output, strides } = await reference(file, graph);
  for (const [kind, written] of [
    ['untouched', graph],
    ['anew', madeAnew(graph)],
  ] as const) {
    const path = join(folder, `${kind}-${basename(file)}`);
    await exportOnnx(written, path);
    expect([kind, difference(output, sampled(await run(path, input), strides))]).toEqual([kind, expect.closeTo(0, 5)]);
  }
}

describe.skipIf(!corpus)('models of others', () => {
  it.each(files)('%s', (name) => agrees(join(models, name)));

  it('the U-Net for head outlines comes back byte for byte', async () => {
    const file = join(folder, 'hc18-unet.onnx');
    await pipeline(createReadStream(join(models, '../hc18-unet.onnx.gz')), createGunzip(), createWriteStream(file));
    await agrees(file);
    expect(Buffer.compare(readFileSync(file), readFileSync(join(folder, `untouched-${basename(file)}`)))).toBe(0);
  });
});
