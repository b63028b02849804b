// LiteRT's time for a TFLite file of ours, made from ONNX, against the same network written by hand operator by operator
// (tflite-write.mjs of the corpus), in turns. Run: COMPRESS_CORPUS=… node bench/tflite-peer.mjs
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bindShapes } from '../dist/analysis/cost.js';
import { exportTflite } from '../dist/exporters/tflite/index.js';
import { load } from '../dist/importers/index.js';
import { openRunner } from '../dist/runtime/spawn.js';
import { measureLatency } from '../dist/validate/latency.js';

const corpus = process.env.COMPRESS_CORPUS;
if (!corpus) throw new Error('COMPRESS_CORPUS names the folder with prototypes/');
const folder = mkdtempSync(join(tmpdir(), 'tflite-peer-'));
try {
  cpSync(join(corpus, 'prototypes'), folder, { recursive: true });
  symlinkSync(fileURLToPath(new URL('../node_modules', import.meta.url)), join(folder, 'node_modules'));
  const peer = (name) => import(pathToFileURL(join(folder, name)).href);
  const { makeUnet } = await peer('unet-ir.mjs');
  const { encodeOnnx, unetToGraph } = await peer('onnx-write.mjs');
  const { unetToTflite } = await peer('tflite-write.mjs');
  for (const [size, base] of [
    [128, 16],
    [256, 32],
  ]) {
    const net = makeUnet({ size, base });
    const [theirs, onnx, ours] = ['peer.tflite', 'peer.onnx', 'ours.tflite'].map((name) => join(folder, name));
    writeFileSync(theirs, unetToTflite(net, 'f32'));
    writeFileSync(onnx, encodeOnnx(unetToGraph(net)));
    await exportTflite(bindShapes(load(onnx)), ours);
    for (const file of [theirs, ours]) {
      const runner = await openRunner(file, { runtime: 'litert', threads: 1 });
      console.log(file === ours ? 'ours' : 'by hand', 'fully delegated:', runner.info.fullyDelegated);
      await runner.close();
    }
    const [hand, own] = await measureLatency(
      [
        { file: theirs, runtime: 'litert' },
        { file: ours, runtime: 'litert' },
      ],
      { threads: [1], mode: 'quick', seed: 1 },
    );
    console.log(
      `${size}x${size}, base ${base}: by hand ${hand.median.toFixed(2)} ms, ours ${own.median.toFixed(2)} ms, ours / by hand ${(1 / own.speedUp).toFixed(3)} (quartiles ${own.speedUpQuartiles
        .map((ratio) => (1 / ratio).toFixed(3))
        .reverse()
        .join(' to ')})`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
