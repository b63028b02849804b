import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { decodeMetadata } from '../../src/formats/metadata.js';
import { readTfjsMetadata } from '../../src/formats/tfjs/read-metadata.js';
import { readTfliteMetadata } from '../../src/formats/tflite/read-metadata.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { Tensor } from '../../src/ir/tensor.js';
import { semantics } from '../../src/ops/index.js';
import { freshFolder, MODEL, runCli, SAMPLE } from './run-cli.js';

const SCHEMA = JSON.parse(readFileSync(new URL('../../docs/schema/report.schema.json', import.meta.url), 'utf8'));
const OPEN = fileURLToPath(new URL('../fixtures/torch/unet-folded.onnx', import.meta.url));

/** A dozen of the sample's test images with their masks: every run takes each of them through several runtimes. */
function fewImages(): string {
  const folder = freshFolder();
  for (const part of ['images', 'masks']) {
    const from = join(SAMPLE, 'test', part);
    mkdirSync(join(folder, part));
    for (const name of readdirSync(from).sort().slice(0, 12)) copyFileSync(join(from, name), join(folder, part, name));
  }
  return folder;
}

test('one run writes three formats, runs each in its own runtime, and says how they compare', async () => {
  const cwd = freshFolder();
  const args = ['--thin', '0.5', '--format', 'onnx,tflite,tfjs', '--latency', 'quick', '--threads', '1'];
  const { code, stdout, stderr } = await runCli([...args, '--test-data', fewImages(), MODEL], { cwd });
  expect([code, stderr.includes('warning')]).toEqual([0, false]);
  expect(stdout).toMatch(/runs in.*ONNX Runtime.*ONNX Runtime.*LiteRT.*TensorFlow\.js/);
  const out = join(cwd, 'compressed');
  expect(readdirSync(out).sort()).toEqual(['model-tfjs', 'model.onnx', 'model.tflite', 'report.json', 'worst.png']);
  const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'));
  const validate = new Ajv2020().compile(SCHEMA);
  validate(report);
  expect(validate.errors).toBeNull();
  const [onnx, tflite, tfjs] = report.artifacts;
  expect([onnx.conversion, onnx.channelsLast, onnx.fullyDelegated]).toEqual([null, [], null]);
  expect(tflite.fullyDelegated).toBe(true);
  for (const artifact of [tflite, tfjs]) {
    expect(artifact.channelsLast).toEqual(['image', 'logits']);
    expect(artifact.conversion.maxAbsoluteError).toBeLessThan(1e-4 * artifact.conversion.range);
    expect(artifact.accuracy.compressed.mean).toBeCloseTo(onnx.accuracy.compressed.mean, 4);
    expect(artifact.latencyMs.threads1.median).toBeGreaterThan(0);
    expect(artifact.sizeBytes).toBeGreaterThan(400_000);
  }
  expect(readdirSync(join(out, 'model-tfjs')).sort()).toEqual(['group1-shard1of1.bin', 'model.json']);
});

test('convert writes every format without any pass, and every file says what it is', async () => {
  const cwd = freshFolder();
  const shape = ['--input-shape', 'input=1,1,32,32'];
  const { code, stdout } = await runCli(['convert', OPEN, '--format', 'tflite,tfjs', '--format', 'onnx', ...shape], {
    cwd,
  });
  expect(code).toBe(0);
  const files = ['unet-folded.tflite', 'unet-folded-tfjs/model.json', 'unet-folded.onnx'].map((name) =>
    join('compressed', name),
  );
  expect(stdout.trim().split('\n')).toEqual(files);
  const tflite = readTfliteMetadata(join(cwd, files[0]));
  const tfjs = readTfjsMetadata(join(cwd, files[1]));
  for (const { inputs, outputs, metadata } of [tflite, tfjs]) {
    expect(inputs).toMatchObject([{ name: 'input', shape: [1, 32, 32, 1] }]);
    expect(outputs).toMatchObject([{ name: 'output', shape: [1, 32, 32, 1] }]);
    expect(decodeMetadata(metadata).channelsLast).toEqual(['input', 'output']);
  }
  const first = await runCli(['convert', OPEN, '--format', 'tflite', '--layout', 'nchw', ...shape], { cwd });
  expect(first.code).toBe(0);
  expect(readTfliteMetadata(join(cwd, files[0])).inputs[0].shape).toEqual([1, 1, 32, 32]);
});

test('validate and bench take every format that is written', async () => {
  const cwd = freshFolder();
  const made = await runCli(['--thin', '0.5', '--format', 'tflite,tfjs', '--no-validate', '-q', MODEL], { cwd });
  expect(made.code).toBe(0);
  const data = fewImages();
  for (const file of ['compressed/model.tflite', 'compressed/model-tfjs/model.json', 'compressed/model-tfjs']) {
    const { code, stdout } = await runCli(['validate', MODEL, file, '--latency', 'none', '--data', data], { cwd });
    expect([file, code]).toEqual([file, 0]);
    expect(stdout).toMatch(/equivalent at a margin of 0.01/);
  }
  const bench = await runCli(['bench', MODEL, 'compressed/model.tflite', '--threads', '1', '--json'], { cwd });
  expect(JSON.parse(bench.stdout.split('\n')[0])).toHaveLength(2);
});

test('baked artefacts are judged by their masks, and say how they are to be fed', async () => {
  const cwd = freshFolder();
  const given = ['--format', 'tflite,tfjs', '--latency', 'none', '-q', '--test-data', fewImages(), MODEL];
  const { code } = await runCli(['--bake', 'pre,post', ...given], { cwd });
  expect(code).toBe(0);
  const report = JSON.parse(readFileSync(join(cwd, 'compressed/report.json'), 'utf8'));
  for (const { accuracy, numeric, conversion } of report.artifacts) {
    expect([accuracy.difference.mean, accuracy.agreement, numeric]).toEqual([0, 1, null]);
    expect(conversion.maxAbsoluteError).toBe(0);
  }
  const { metadata, inputs } = readTfliteMetadata(join(cwd, 'compressed/model.tflite'));
  expect(inputs).toEqual([{ name: 'image', shape: [1, 128, 128, 1] }]);
  expect(decodeMetadata(metadata)).toMatchObject({ baked: ['pre', 'post'], output: { kind: 'index' } });
  const again = await runCli(
    ['validate', MODEL, 'compressed/model.tflite', '--latency', 'none', '--data', fewImages()],
    {
      cwd,
    },
  );
  expect(again.stdout).toMatch(/Mean Dice changed by \+0\.0000 .* equivalent/);
});

test('a model with open sizes is refused with what to state, and nothing is written', async () => {
  const cwd = freshFolder();
  const { code, stderr } = await runCli([OPEN, '--format', 'onnx,tflite', '-q'], { cwd });
  expect(code).toBe(1);
  expect(stderr.trim()).toMatch(
    /^error: TFLite files have fixed shapes, and input 'input' has the shape \[1, 1, height, width\]; state it, e\.g\. --input-shape input=1,1,256,256$/,
  );
  expect(existsSync(join(cwd, 'compressed/unet-folded.onnx'))).toBe(false);
});

test('what a format cannot say is named, and artefacts of an earlier run stay as they were', async () => {
  const cwd = freshFolder();
  const builder = new GraphBuilder(semantics);
  builder.input('x', { dtype: 'f32', shape: [1, 2, 8, 8] });
  builder.constant('sizes', Tensor.integers([1, 2, 16, 16]));
  const y = builder.apply('Resize', ['x', '', '', 'sizes'], { mode: 'cubic' }, 'y');
  writeFileSync(join(cwd, 'cubic.onnx'), encodeOnnxGraph(builder.build([y])));
  mkdirSync(join(cwd, 'compressed'));
  for (const name of ['cubic.onnx', 'cubic.tflite']) writeFileSync(join(cwd, 'compressed', name), 'of an earlier run');
  for (const [format, title] of [
    ['tflite', 'TFLite'],
    ['tfjs', 'TensorFlow.js'],
  ]) {
    const { code, stderr } = await runCli(['cubic.onnx', '--format', `onnx,${format}`, '-q'], { cwd });
    expect([code, stderr.trim()]).toEqual([
      1,
      `error: Resize node 'y' cannot be written to ${title}: mode 'cubic' has no counterpart there; export the model with linear resizing`,
    ]);
  }
  for (const name of ['cubic.onnx', 'cubic.tflite'])
    expect(readFileSync(join(cwd, 'compressed', name), 'utf8')).toBe('of an earlier run');
});

test('weights beyond half precision are named', async () => {
  const cwd = freshFolder();
  const builder = new GraphBuilder(semantics);
  builder.input('x', { dtype: 'f32', shape: [1, 8, 8, 8] });
  builder.constant(
    'w',
    Tensor.floats(
      Array.from({ length: 576 }, (_, i) => i * 200),
      [8, 8, 3, 3],
    ),
  );
  writeFileSync(join(cwd, 'large.onnx'), encodeOnnxGraph(builder.build([builder.apply('Conv', ['x', 'w'], {}, 'y')])));
  const { code, stderr } = await runCli(['convert', 'large.onnx', '--fp16', '--format', 'tflite'], { cwd });
  expect([code, stderr.trim()]).toEqual([
    1,
    "error: pass 'half-weights': Conv node 'y' has the weight 6.56e+4, and half precision ends at ±65504; leave --fp16 out",
  ]);
});

test('a second run leaves no weights behind that its model does not read', async () => {
  const cwd = freshFolder();
  const folder = join(cwd, 'compressed/model-tfjs');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'group1-shard2of2.bin'), 'of an earlier run');
  writeFileSync(join(folder, 'notes.txt'), 'of the user');
  await runCli(['--format', 'tfjs', '--no-validate', '-q', MODEL], { cwd });
  expect(readdirSync(folder).sort()).toEqual(['group1-shard1of1.bin', 'model.json', 'notes.txt']);
});

test('a format or part that does not exist is refused', async () => {
  expect((await runCli([MODEL, '--format', 'onnx,coreml'])).stderr).toContain(
    "--format can be onnx, tflite, tfjs, not 'coreml'",
  );
  expect((await runCli([MODEL, '--bake', 'pre,mid'])).stderr).toContain("--bake can be pre, post or both, not 'mid'");
});
