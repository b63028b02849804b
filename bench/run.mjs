/**
 * The project's figures beside their peers, measured in one run: `npm run bench -- <hc18-unet.onnx> [<1/8 model>]`.
 * Needs python3 with onnx (Debian: python3-onnx) for the peer of the first table.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureLatency } from '../dist/validate/latency.js';
import { writeLargeUnet } from './large-unet.mjs';
import { interleaved, measure, median } from './process.mjs';

const [model] = process.argv.slice(2);
if (!model) {
  console.error('usage: npm run bench -- <model.onnx>');
  process.exit(1);
}
const cli = new URL('../dist/cli.js', import.meta.url).pathname;
const python = process.env.PYTHON ?? '/usr/bin/python3';
const folder = mkdtempSync(join(tmpdir(), 'unet-compress-bench-'));
const large = new URL('../.cache/bench/large-unet.onnx', import.meta.url).pathname;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

try {
  const sizeOf = (path) => statSync(path).size;
  const compressing = (path) => [
    process.execPath,
    cli,
    '--thin',
    '0.125',
    '--separable',
    '--no-validate',
    '-q',
    '-o',
    folder,
    path,
  ];
  const peer = (path) => [python, '-c', `import onnx; onnx.save(onnx.load('${path}'), '${join(folder, 'copy.onnx')}')`];
  console.log(
    `\ncompress --thin 0.125 --separable --no-validate, beside python3-onnx loading and saving the same file (medians of 5, in turns)`,
  );
  const [ours, theirs] = await interleaved([compressing(model), peer(model)], 5);
  console.log(
    `  ${megabytes(sizeOf(model))}: ${ours.seconds.toFixed(2)} s, python3-onnx ${theirs.seconds.toFixed(2)} s (ratio ${(ours.seconds / theirs.seconds).toFixed(2)}); peak ${megabytes(ours.peakBytes)} = ${(ours.peakBytes / sizeOf(model)).toFixed(2)} x the file, python3-onnx ${(theirs.peakBytes / sizeOf(model)).toFixed(2)} x`,
  );

  await writeLargeUnet(large);
  const [big] = await interleaved([compressing(large)], 3);
  const growth = big.seconds / ours.seconds / (sizeOf(large) / sizeOf(model));
  console.log(
    `  ${megabytes(sizeOf(large))}: ${big.seconds.toFixed(2)} s (${growth.toFixed(2)} x as much a byte); peak ${megabytes(big.peakBytes)} = ${(big.peakBytes / sizeOf(large)).toFixed(2)} x the file`,
  );

  const starts = [];
  for (let i = 0; i < 9; i++) starts.push((await measure(process.execPath, [cli, '--help'])).seconds);
  const bare = [];
  for (let i = 0; i < 9; i++) bare.push((await measure(process.execPath, ['-e', '0'])).seconds);
  console.log(
    `\ncompress --help: ${(1000 * median(starts)).toFixed(0)} ms (node alone: ${(1000 * median(bare)).toFixed(0)} ms)`,
  );

  await measure(...split(compressing(model)));
  const small = join(folder, model.split('/').at(-1));
  const [original, compressed] = await measureLatency([{ file: model }, { file: small }], {
    threads: [1],
    mode: 'full',
    seed: 0,
  });
  console.log(
    `\nlatency at one thread, in turns: original ${original.median.toFixed(1)} ms, compressed ${compressed.median.toFixed(2)} ms: ${compressed.speedUp.toFixed(1)} x, ${(1000 / compressed.median).toFixed(0)} frames/s (${compressed.runs} runs)`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function split([command, ...args]) {
  return [command, args];
}
