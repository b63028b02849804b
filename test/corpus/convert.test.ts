import { createReadStream, createWriteStream, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { bindShapes } from '../../src/analysis/cost.js';
import { compress } from '../../src/compress.js';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { encodeTfliteGraph } from '../../src/exporters/tflite/index.js';
import type { NpyArray } from '../../src/formats/npy.js';
import { load } from '../../src/importers/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { createRandom } from '../../src/math/random.js';
import { halfWeights } from '../../src/passes/half-weights.js';
import { cutOperators } from '../../src/runtime/tflite-operators.js';
import { type Format, runInFormat } from '../support/run-formats.js';
import { runPass } from '../support/run-pass.js';
import { differenceTo, referenceBeside, runModel } from './reference.js';

const corpus = process.env.COMPRESS_CORPUS;
const models = corpus ? join(corpus, 'models/real') : '';
const files = corpus ? readdirSync(models).filter((name) => name.endsWith('.onnx')) : [];

const folder = mkdtempSync(join(tmpdir(), 'convert-corpus-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** XNNPACK has no kernels in 3-D. */
const NOT_DELEGATED = ['brain-meshnet-3d.onnx'];

/** What rounding the weights alone does to the output, where that is more than 2e-3 of its range: 55 layers in a row. */
const ROUNDING: Readonly<Record<string, number>> = { 'portrait-deeplab-513.onnx': 5e-3 };

async function convertAndRun(graph: Graph, format: Format, input: NpyArray) {
  const [name] = graph.inputs;
  const given = { [name]: { type: 'float32' as const, dims: [...input.shape], data: Float32Array.from(input.data) } };
  const { outputs, fullyDelegated } = await runInFormat(graph, format, { given });
  return { output: { shape: [...outputs[0].dims], data: Float32Array.from(outputs[0].values) }, fullyDelegated };
}

/** A graph of the shapes of an input. */
function boundTo(graph: Graph, { shape }: NpyArray): Graph {
  return bindShapes(graph, new Map([[graph.inputs[0], shape]]));
}

describe.skipIf(!corpus)('real networks', () => {
  for (const file of files)
    describe(file, () => {
      it.each(['tflite', 'tfjs'] as const)('%s gives what its author saw', async (format) => {
        const reference = referenceBeside(join(models, file));
        const graph = boundTo(load(join(models, file)), reference.input);
        const { output, fullyDelegated } = await convertAndRun(graph, format, reference.input);
        expect(differenceTo(reference, output)).toBeLessThan(1e-4);
        if (format === 'tflite') expect(fullyDelegated).toBe(!NOT_DELEGATED.includes(file));
      });

      it.each(['tflite', 'tfjs'] as const)('%s with halves stays near', async (format) => {
        const reference = referenceBeside(join(models, file));
        const half = (await runPass(halfWeights, load(join(models, file)), {})).graph;
        const { output } = await convertAndRun(boundTo(half, reference.input), format, reference.input);
        const rounded = await runModel(encodeOnnxGraph(half), reference.input);
        const ofHalves = { ...reference, output: rounded, strides: rounded.shape.map(() => 1) };
        expect(differenceTo(ofHalves, output)).toBeLessThan(1e-4);
        expect(differenceTo(reference, output)).toBeLessThan(ROUNDING[file] ?? 2e-3);
      });
    });

  it('the compressed HC18 network: every operator in XNNPACK, none a transposition, the logits of ONNX Runtime', async () => {
    const path = join(folder, 'hc18-unet.onnx');
    const packed = createReadStream(join(corpus as string, 'models/hc18-unet.onnx.gz'));
    await pipeline(packed, createGunzip(), createWriteStream(path));
    const { graph } = await compress(load(path), { thin: 0.125, separable: 'depthwise' });
    const bound = bindShapes(graph);
    const random = createRandom(4);
    const input: NpyArray = {
      shape: [1, 1, 256, 256],
      data: Float32Array.from({ length: 65_536 }, () => random.next()),
    };
    const wanted = await runModel(encodeOnnxGraph(graph), input);
    const reference = { input, output: wanted, strides: wanted.shape.map(() => 1) };
    for (const format of ['tflite', 'tfjs'] as const) {
      const { output, fullyDelegated } = await convertAndRun(bound, format, input);
      expect(differenceTo(reference, output)).toBeLessThan(1e-4);
      if (format === 'tflite') expect(fullyDelegated).toBe(true);
    }
    const operators = [...cutOperators(encodeTfliteGraph(bound))].map(({ op }) => op);
    expect(operators.length).toBeGreaterThan(40);
    expect(operators.filter((op) => op === 'TRANSPOSE')).toEqual([]);
  });
});
