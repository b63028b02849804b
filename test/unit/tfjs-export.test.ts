import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CompressError } from '../../src/errors.js';
import { encodeTfjsGraph, exportTfjs, sizeOfTfjs } from '../../src/exporters/tfjs/index.js';
import { tfjsModel } from '../../src/exporters/tfjs/model.js';
import { encodeMetadata, METADATA_KEY } from '../../src/formats/metadata.js';
import { readTfjsMetadata } from '../../src/formats/tfjs/read-metadata.js';
import { encodeTfjs, sizeOfTfjsModel, writeTfjs } from '../../src/formats/tfjs/write.js';
import { floatToHalf, halfToFloat } from '../../src/ir/half.js';
import { at, fill, map, type NdArray, zip } from '../support/nd-array.js';
import { Net } from '../support/patterns-net.js';
import { misses, normals, ProgramCases, wholes } from '../support/program-cases.js';
import { runInFormat } from '../support/run-formats.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { missesOf, runTfjs } from '../support/run-tfjs.js';

const folder = mkdtempSync(join(tmpdir(), 'tfjs-export-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const MEGABYTE = 1 << 20;

const sum = { function: 'add' } as const;
const model = (cases: ProgramCases) => tfjsModel(cases.program, '1.2.3');

interface ModelJson {
  readonly modelTopology: { readonly node: readonly { readonly name: string }[] };
  readonly weightsManifest: readonly [
    { readonly weights: readonly { readonly name: string; readonly dtype: string; readonly quantization?: object }[] },
  ];
}

function jsonOf(cases: ProgramCases): ModelJson {
  return JSON.parse(Buffer.from(encodeTfjs(model(cases)).get('model.json') ?? []).toString());
}

/** x + c, and x · c rounded to a whole number. */
function twoByTwo(): ProgramCases {
  const cases = new ProgramCases();
  const [x, count] = [normals(2, 3), wholes([3], -5, 5)];
  const image = cases.input(x, 'f32', 'images/x:0');
  const counts = cases.input(count, 'i32', 'constructor');
  const widened = cases.apply('cast', [counts], {}, [3]);
  cases.expect(
    'binary',
    [image, widened],
    sum,
    zip(x, count, (a, b) => a + b),
    'f32',
    'scope/y:0',
  );
  cases.expect(
    'binary',
    [counts, counts],
    sum,
    map(count, (v) => 2 * v),
    'i32',
    'scope/y_0',
  );
  return cases;
}

/** The product with a matrix of random weights. */
function product(rows: number, columns: number): ProgramCases {
  const cases = new ProgramCases();
  const [x, weights] = [normals(1, columns), normals(rows, columns)];
  const expected = fill([1, rows], (_, row) => {
    let total = 0;
    for (let i = 0; i < columns; i++) total += x.data[i] * at(weights, row, i);
    return total;
  });
  cases.expect('fullyConnected', [cases.input(x), cases.constant(weights)], {}, expected);
  return cases;
}

describe('a graph model', () => {
  it('has the names, shapes and types of the model, whatever characters they have', async () => {
    const cases = twoByTwo();
    const { info, results } = await runTfjs(cases);
    expect(info.inputs).toEqual([
      { name: 'images/x:0', type: 'float32', shape: [2, 3] },
      { name: 'constructor', type: 'int32', shape: [3] },
    ]);
    expect(info.outputs).toEqual([
      { name: 'scope/y:0', type: 'float32', shape: [2, 3] },
      { name: 'scope/y_0', type: 'int32', shape: [3] },
    ]);
    expect(misses(cases.expectations, results)).toEqual([]);
  });

  it('names nodes as TensorFlow allows, each differently', async () => {
    const cases = new ProgramCases(
      (i) => ['a:b', 'a_b', 'constructor', '__proto__', '', '^x', 'ä/ü', 'a b', 'toString'][i],
    );
    const x = normals(3);
    let value = cases.input(x);
    for (let i = 1; i < 9; i++)
      value = cases.expect(
        'unary',
        [value],
        { function: 'neg' },
        map(x, (v) => (i % 2 ? -v : v)),
      );
    expect(await missesOf(cases)).toEqual([]);
    const names = jsonOf(cases).modelTopology.node.map(({ name }) => name);
    expect(new Set(names).size).toBe(9);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9.][A-Za-z0-9_./-]*$/);
    expect(names.filter((name) => name in {})).toEqual([]);
  });

  it('reads a constant once, and only where something needs it', () => {
    const cases = new ProgramCases();
    const x = cases.input(normals(3));
    const used = cases.constant(normals(3));
    cases.constant(normals(3));
    for (let i = 0; i < 2; i++) cases.expect('binary', [x, used], sum, normals(3));
    expect(jsonOf(cases).weightsManifest[0].weights).toEqual([{ name: 'value1', shape: [3], dtype: 'float32' }]);
  });

  it('keeps halves as halves, and whole numbers exact', async () => {
    const cases = new ProgramCases();
    const half = (v: number) => halfToFloat(floatToHalf(v));
    const [x, bias, filter] = [normals(1, 4, 4, 3), normals(3), normals(3, 1, 1, 3)];
    const sliding = { strides: [1, 1], dilations: [1, 1], padding: 'valid' } as const;
    const expected = fill([1, 4, 4, 3], (n, row, column, to) =>
      [0, 1, 2].reduce(
        (total, c) => total + at(x, n, row, column, c) * half(at(filter, to, 0, 0, c)),
        half(bias.data[to]),
      ),
    );
    const operands = [cases.input(x), cases.constant(filter, 'f16'), cases.constant(bias, 'f16')];
    cases.expect('conv2d', operands, sliding, expected);
    for (const [dtype, ...ends] of [
      ['i32', -(2 ** 31), 2 ** 31 - 1],
      ['u8', 0, 255],
      ['i8', -128, 127],
    ] as const) {
      const whole: NdArray = { shape: [2], data: ends };
      const zero = cases.input(
        map(whole, () => 0),
        dtype,
      );
      cases.expect('binary', [zero, cases.constant(whole, dtype)], sum, whole, dtype);
    }
    expect(await missesOf(cases)).toEqual([]);
    const [{ weights }] = jsonOf(cases).weightsManifest;
    const quantization = { dtype: 'float16', original_dtype: 'float32' };
    expect(weights.map(({ dtype, quantization: stored }) => [dtype, stored])).toEqual([
      ['float32', quantization],
      ['float32', quantization],
      ['int32', undefined],
      ['int32', undefined],
      ['int32', undefined],
    ]);
  });
});

describe('files', () => {
  it('holds weights in shards of 4 MiB that cut tensors anywhere', async () => {
    const cases = product(1500, 1501);
    expect(await missesOf(cases)).toEqual([]);
    const place = join(folder, 'shards');
    const files = await writeTfjs(place, model(cases));
    const names = ['model.json', 'group1-shard1of3.bin', 'group1-shard2of3.bin', 'group1-shard3of3.bin'];
    expect(files).toEqual(names.map((name) => join(place, name)));
    expect(readdirSync(place).sort()).toEqual(names.toSorted());
    const bytes = 1500 * 1501 * 4;
    const sizes = files.slice(1).map((file) => statSync(file).size);
    expect(sizes).toEqual([4 * MEGABYTE, 4 * MEGABYTE, bytes - 8 * MEGABYTE]);
    expect(sizeOfTfjsModel(model(cases))).toBe(bytes + statSync(files[0]).size);
  });

  it('are the same bytes every time, in memory too', async () => {
    const cases = product(300, 400);
    const files = await writeTfjs(join(folder, 'first'), model(cases));
    const again = await writeTfjs(join(folder, 'second'), model(cases));
    const encoded = encodeTfjs(model(cases));
    expect([...encoded.keys()]).toEqual(files.map((file) => basename(file)));
    for (const [i, file] of files.entries()) {
      expect(readFileSync(again[i]).equals(readFileSync(file))).toBe(true);
      expect(readFileSync(file).equals(encoded.get(basename(file)) ?? new Uint8Array())).toBe(true);
    }
  });

  it('replace those of before together, and leave others alone', async () => {
    const place = join(folder, 'again');
    await writeTfjs(place, model(product(3, 4)));
    writeFileSync(join(place, 'index.html'), 'mine');
    await writeTfjs(place, model(twoByTwo()));
    expect(readdirSync(place).sort()).toEqual(['group1-shard1of1.bin', 'index.html', 'model.json']);
    expect(readTfjsMetadata(join(place, 'model.json')).inputs).toHaveLength(2);
  });

  it('leave nothing of a failure', async () => {
    const broken = model(product(1500, 1501));
    const [weights] = broken.weights;
    const failing = {
      ...broken,
      weights: [
        weights,
        {
          ...weights,
          data: {
            length: 8,
            produce: () => {
              throw new Error('gone');
            },
          },
        },
      ],
    };
    const place = join(folder, 'failed');
    await expect(writeTfjs(place, failing)).rejects.toThrow('gone');
    expect(existsSync(place)).toBe(false);
    const [file] = await writeTfjs(place, model(product(3, 4)));
    const before = readFileSync(file);
    await expect(writeTfjs(place, failing)).rejects.toThrow('gone');
    expect(readdirSync(place).sort()).toEqual(['group1-shard1of1.bin', 'model.json']);
    expect(readFileSync(file).equals(before)).toBe(true);
    await expect(writeTfjs(join(folder, 'none', 'model'), failing)).rejects.toThrow(/its folder does not exist/);
    mkdirSync(join(folder, 'blocked', 'model.json'), { recursive: true });
    await expect(writeTfjs(join(folder, 'blocked'), model(product(3, 4)))).rejects.toThrow(/not a regular file/);
    expect(readdirSync(join(folder, 'blocked'))).toEqual(['model.json']);
  });
});

describe('what model.json says of itself', () => {
  it('comes back: metadata, names, shapes, types', async () => {
    const cases = twoByTwo();
    const text = encodeMetadata({ labels: { 'Füße "1"': 1 } });
    cases.metadata = new Map([
      ['author', 'someone'],
      [METADATA_KEY, text],
    ]);
    const bias = cases.constant(normals(3));
    cases.apply('binary', [bias, bias], sum, [3]);
    const files = await writeTfjs(join(folder, 'metadata'), model(cases));
    expect(files).toHaveLength(2);
    const [file] = files;
    expect(readTfjsMetadata(file)).toEqual({
      metadata: cases.metadata,
      inputs: [
        { name: 'images/x:0', dtype: 'DT_FLOAT', shape: [2, 3] },
        { name: 'constructor', dtype: 'DT_INT32', shape: [3] },
      ],
      outputs: [
        { name: 'scope/y:0', dtype: 'DT_FLOAT', shape: [2, 3] },
        { name: 'scope/y_0', dtype: 'DT_INT32', shape: [3] },
      ],
      files,
    });
    const said = JSON.parse(readFileSync(file, 'utf8'));
    expect([said.generatedBy, said.convertedBy]).toEqual(['unet-compress 1.2.3', 'unet-compress 1.2.3']);
  });

  const graph = { format: 'graph-model', modelTopology: { node: [] } };
  const weights = (...paths: unknown[]) => ({ ...graph, weightsManifest: [{ paths, weights: [] }] });
  const signature = (entry: unknown) => ({ ...graph, signature: { inputs: { x: entry } } });
  const dims = (dim: unknown) => signature({ dtype: 'DT_FLOAT', tensorShape: { dim } });

  it('may have open sizes, an unknown rank, or nothing to say', () => {
    const file = join(folder, 'open.json');
    const shapeOf = (json: unknown) => {
      writeFileSync(file, JSON.stringify(json));
      return readTfjsMetadata(file).inputs[0]?.shape;
    };
    expect(shapeOf(dims([{ size: '-1' }, { size: 3 }, {}]))).toEqual([null, 3, 0]);
    expect(shapeOf(dims(undefined))).toEqual([]);
    expect(shapeOf(signature({ dtype: 'DT_FLOAT', tensorShape: { unknownRank: true } }))).toBe(null);
    expect(shapeOf(graph)).toBe(undefined);
    expect(shapeOf({ ...graph, userDefinedMetadata: { nested: { a: 1 } } })).toBe(undefined);
  });

  it.each([
    ['', 'a JSON object'],
    ['{"format": "graph-model"', 'a JSON object'],
    ['[]', 'a JSON object'],
    ['[['.repeat(100000), 'a JSON object'],
    ['{"a":'.repeat(100000), 'a JSON object'],
    [{ ...graph, format: 'layers-model' }, '"format" is "layers-model"'],
    [{ ...graph, format: 'x'.repeat(10000) }, 'x…'],
    [{ ...graph, modelTopology: 3 }, 'no "modelTopology"'],
    [{ ...graph, userDefinedMetadata: [] }, '"userDefinedMetadata" is not an object'],
    [{ ...graph, signature: 'x' }, '"signature" is not an object'],
    [{ ...graph, signature: { outputs: [] } }, '"outputs" of its signature are not an object'],
    [signature(null), '"x" among the "inputs" of its signature has no "dtype"'],
    [dims(5), 'no list of sizes'],
    [dims(Array(1000).fill({ size: '1' })), 'no list of sizes'],
    [dims([{ size: '1.5' }]), 'a size that is no whole number'],
    [dims([{ size: '-7' }]), 'a size that is no whole number'],
    [dims([null]), 'a size that is no whole number'],
    [{ ...graph, weightsManifest: 3 }, '"weightsManifest" does not name files'],
    [weights('a.bin', 5), '"weightsManifest" does not name files'],
    [weights('a.bin', '../b.bin'), 'its weights are said to lie in "../b.bin", not beside it'],
    [weights('/etc/passwd'), 'not beside it'],
    [weights('C:\\b.bin'), 'not beside it'],
  ])('is refused in one sentence where it is not in the form: %.60j', (content, reason) => {
    const file = join(folder, 'hostile.json');
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
    const read = () => readTfjsMetadata(file);
    expect(read).toThrow(CompressError);
    expect(read).toThrow(reason);
    expect(read).toThrow(/^[^\n]{0,400}is not a valid model[^\n]{0,300}$/);
  });
});

describe('a graph', () => {
  const net = new Net('small');
  const half = net.maxPool(net.conv(net.input([1, 3, 17, 16]), 6, { bias: true, stride: 2, padding: 1 }));
  const graph = net.build(net.up(half, 4), half);

  it('gives the same numbers as in ONNX Runtime', async () => {
    const expected = await runGraph(graph);
    for (const layout of ['nhwc', 'nchw'] as const) {
      const { outputs } = await runInFormat(graph, 'tfjs', { layout });
      expect(largestDifference(expected, outputs)).toBeLessThan(2e-6);
    }
  });

  it('has the same files in memory, and their size', async () => {
    const options = { layout: 'nhwc', version: '1.2.3' } as const;
    const files = await exportTfjs(graph, join(folder, 'graph'), options);
    const encoded = [...encodeTfjsGraph(graph, options).values()];
    expect(encoded.map((bytes) => Buffer.from(bytes))).toEqual(files.map((file) => readFileSync(file)));
    expect(sizeOfTfjs(graph, options)).toBe(encoded.reduce((total, { length }) => total + length, 0));
  });
});
