import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { decodeMetadata } from '../../src/formats/metadata.js';
import { load } from '../../src/importers/index.js';
import { freshFolder, MODEL, runCli, SAMPLE } from './run-cli.js';

const SCHEMA = JSON.parse(readFileSync(new URL('../../docs/schema/report.schema.json', import.meta.url), 'utf8'));

/** Throws with what is wrong where the report does not fit its published schema. */
function expectToFitSchema(report: unknown): void {
  const validate = new Ajv2020().compile(SCHEMA);
  validate(report);
  expect(validate.errors).toBeNull();
}

const FAST = ['--no-validate', '-q'];

test('the main job writes the artefact and the report, and prints what it means', async () => {
  const cwd = freshFolder();
  const args = ['--thin', '0.5', '--latency', 'none', '--test-data', join(SAMPLE, 'test'), MODEL];
  const { code, stdout } = await runCli(args, { cwd });
  expect(code).toBe(0);
  expect(stdout).toContain('Dice (test)');
  expect(stdout).toMatch(/equivalent at a margin of 0.01/);
  expect(readdirSync(join(cwd, 'compressed')).sort()).toEqual(['model.onnx', 'report.json', 'worst.png']);
  const report = JSON.parse(readFileSync(join(cwd, 'compressed/report.json'), 'utf8'));
  expectToFitSchema(report);
  expect(report.ratios.parameters).toBeGreaterThan(3);
  expect(report.accuracy.perImage).toHaveLength(120);
  expect(report.artifacts[0].latencyMs).toBeNull();
  expect(report.artifacts[0].reasons.latencyMs).toMatch(/--latency none/);
});

test('the same input, options and seed give the same bytes, wherever they are written', async () => {
  const [a, b] = [freshFolder(), freshFolder()];
  for (const out of [a, b]) await runCli(['--thin', '0.25', '--separable', ...FAST, '-o', out, MODEL]);
  expect(readFileSync(join(a, 'model.onnx')).equals(readFileSync(join(b, 'model.onnx')))).toBe(true);
});

test('without images the accuracy is unknown, in the table, the report and the last line', async () => {
  const cwd = freshFolder();
  const { stdout } = await runCli(['--thin', '0.5', '--latency', 'none', MODEL], { cwd });
  expect(stdout).toMatch(/accuracy.*unknown/);
  expect(stdout).toMatch(/^Accuracy is unknown: no images were given\.$/m);
  expect(stdout.trim().split('\n').at(-1)).toMatch(/^To measure what it cost: unet-compress validate .* --data/);
  const report = JSON.parse(readFileSync(join(cwd, 'compressed/report.json'), 'utf8'));
  expectToFitSchema(report);
  expect(report.accuracy).toBeNull();
  expect(report.artifacts[0].reasons.accuracy).toContain('unknown');
});

test('--separable stands bare before the model, and before a file of any name', async () => {
  const cwd = freshFolder();
  writeFileSync(join(cwd, 'net'), readFileSync(MODEL));
  const bare = await runCli(['--thin', '0.125', '--dry-run', '-q', '--separable', MODEL]);
  expect([bare.code, bare.stderr]).toEqual([0, '']);
  expect(bare.stdout).toContain('form depthwise');
  const named = await runCli(['--dry-run', '-q', '--separable', 'net'], { cwd });
  expect(named.stdout).toContain('form depthwise');
  const formed = await runCli(['--dry-run', '-q', '--separable', 'spatial', MODEL]);
  expect(formed.stdout).toContain('form spatial');
});

test('the last line keeps the passes and the folders of the command that it wins accuracy back for', async () => {
  const args = ['--thin', '0.125', '--separable', '--latency', 'none', '-q', '-o', 'small'];
  const { stdout } = await runCli([...args, '--test-data', join(SAMPLE, 'test'), MODEL]);
  const last = stdout.trim().split('\n').at(-1);
  expect(last).toContain(
    'unet-compress --thin 0.125 --separable depthwise --distill --data <folder with images> --test-data ',
  );
  expect(last).toContain(` --out small ${MODEL}`);
});

test('--help lists the commands, without loading the parser, and each command its options', async () => {
  const { code, stdout } = await runCli(['--help']);
  expect(code).toBe(0);
  for (const name of ['compress', 'inspect', 'convert', 'validate', 'bench', 'demo'])
    expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
  expect((await runCli(['help'])).stdout).toBe(stdout);
  expect((await runCli(['compress', '--help'])).stdout).toContain('--thin <keep>');
});

test('--dry-run prints the exact table and writes nothing', async () => {
  const cwd = freshFolder();
  const { code, stdout } = await runCli(['--thin', '0.125', '--separable', '--dry-run', MODEL], { cwd });
  expect(code).toBe(0);
  expect(existsSync(join(cwd, 'compressed'))).toBe(false);
  const out = freshFolder();
  await runCli(['--thin', '0.125', '--separable', ...FAST, '-o', out, MODEL]);
  const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'));
  expect(stdout).toContain(report.artifacts[0].parameters.toLocaleString('en-US'));
  expect(stdout).toContain(report.artifacts[0].macs.toLocaleString('en-US'));
  expect(stdout).toContain(`${(report.artifacts[0].sizeBytes / 1000).toFixed(1)} kB`);
  expect(stdout).toMatch(/thinned 16 -> 2/);
});

test('--json puts one object on stdout and all else on stderr', async () => {
  const { stdout, stderr } = await runCli(['--json', '--no-validate', '--thin', '0.5', MODEL]);
  expectToFitSchema(JSON.parse(stdout));
  expect(stderr).toContain('parameters');
});

test('the artefact carries how to read it and where it came from', async () => {
  const cwd = freshFolder();
  const config = { thin: 0.5, preprocess: { scale: 1 / 255 } };
  writeFileSync(join(cwd, 'config.json'), JSON.stringify(config));
  await runCli(['--config', 'config.json', ...FAST, MODEL], { cwd });
  const metadata = decodeMetadata(load(join(cwd, 'compressed/model.onnx')).metadata);
  expect(metadata.output).toEqual({ name: 'logits', kind: 'logit', threshold: 0, channel: null });
  expect(metadata.preprocess).toMatchObject({ resize: [128, 128], channels: 'gray', scale: 1 / 255 });
  expect(metadata.provenance?.options).toMatchObject({ thin: 0.5, seed: 0 });
});

test('--fail-if-not-equivalent ends with 2', async () => {
  const { code } = await runCli([
    '--thin',
    '0.125',
    '--separable',
    '--latency',
    'none',
    '--fail-if-not-equivalent',
    '--test-data',
    join(SAMPLE, 'test'),
    MODEL,
  ]);
  expect(code).toBe(2);
});

test('Ctrl-C ends with 130 and leaves no half-written file', async () => {
  const cwd = freshFolder();
  const { code } = await runCli(['--thin', '0.5', '--latency', 'full', '--test-data', join(SAMPLE, 'test'), MODEL], {
    cwd,
    interruptOn: /^accuracy/m,
  });
  expect(code).toBe(130);
  const left = existsSync(join(cwd, 'compressed')) ? readdirSync(join(cwd, 'compressed')) : [];
  expect(left).toEqual([]);
});

test.each([
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('%s ends with the code of the signal and leaves no temporary file', async (signal, expected) => {
  const temporary = freshFolder();
  const args = ['--thin', '0.5', '--latency', 'none', '--data', join(SAMPLE, 'train'), MODEL];
  const { code, stderr } = await runCli(args, { interruptOn: /^observe/m, signal, env: { TMPDIR: temporary } });
  expect([code, readdirSync(temporary)]).toEqual([expected, []]);
  expect(stderr).toMatch(/^error: interrupted/m);
});

test.runIf(existsSync('/proc/self'))('a folder that the system never makes is refused', async () => {
  const { code, stderr } = await runCli(['--thin', '0.5', ...FAST, '-o', '/proc/results', MODEL]);
  expect(stderr).toMatch(/cannot write \/proc\/results/);
  expect(code).toBe(1);
});

const wrongUse: [what: string, args: string[], sentence: RegExp][] = [
  ['no model', [], /missing required argument/],
  ['a model that is not there', ['missing.onnx'], /cannot read missing.onnx/],
  ['--thin 0', ['--thin', '0', MODEL], /--thin must be a number above 0 and at most 1/],
  ['--thin 2', ['--thin', '2', MODEL], /--thin must be a number above 0 and at most 1/],
  ['a misspelt option', ['--separabel', MODEL], /Did you mean --separable/],
  ['an unknown form', ['--separable', 'both', MODEL], /must be one of depthwise, spatial, auto/],
  ['rank and error', ['--separable', '--rank', '2', '--max-error', '0.1', MODEL], /cannot go with a number for --rank/],
  ['an unknown format', ['--format', 'coreml', MODEL], /can be onnx, tflite, tfjs, not 'coreml'/],
  [
    'a glob without layers',
    ['--thin', '0.5', '--exclude', 'decoder*', MODEL],
    /no layer matches 'decoder\*'; the nearest layers are/,
  ],
  ['a bad input shape', ['--input-shape', '1,2', MODEL], /--input-shape/],
  ['data that are not there', ['--thin', '0.5', '--data', 'missing', MODEL], /cannot read missing/],
];

test.each(wrongUse)('%s: one sentence and exit code 1', async (_, args, sentence) => {
  const { code, stderr } = await runCli(args);
  expect(stderr).toMatch(sentence);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(code).toBe(1);
});

test('files that are no models: one sentence each', async () => {
  const cwd = freshFolder();
  writeFileSync(join(cwd, 'text.onnx'), 'this is no model');
  writeFileSync(join(cwd, 'cut.onnx'), readFileSync(MODEL).subarray(0, 5000));
  writeFileSync(join(cwd, 'empty.onnx'), '');
  for (const file of ['text.onnx', 'cut.onnx', 'empty.onnx']) {
    const { code, stderr } = await runCli(['--thin', '0.5', file], { cwd });
    expect([file, code]).toEqual([file, 1]);
    expect(stderr).toContain(file);
    expect(stderr).not.toMatch(/\n\s+at /);
  }
});

test('writing over the input, or into a file, is refused', async () => {
  const cwd = freshFolder();
  mkdirSync(join(cwd, 'models'));
  writeFileSync(join(cwd, 'models/net.onnx'), readFileSync(MODEL));
  const over = await runCli(['--thin', '0.5', ...FAST, '-o', 'models', 'models/net.onnx'], { cwd });
  expect(over.stderr).toMatch(/would be overwritten/);
  expect(over.code).toBe(1);
  const into = await runCli(['--thin', '0.5', ...FAST, '-o', 'models/net.onnx/out', 'models/net.onnx'], { cwd });
  expect(into.stderr).toMatch(/cannot write/);
  expect(into.code).toBe(1);
});

test('a configuration with a misspelt key names the nearest', async () => {
  const cwd = freshFolder();
  writeFileSync(join(cwd, 'config.json'), JSON.stringify({ thinn: 0.5 }));
  const { code, stderr } = await runCli(['--config', 'config.json', MODEL], { cwd });
  expect(stderr).toMatch(/no option 'thinn' here; did you mean 'thin'/);
  expect(code).toBe(1);
});
