import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type onnxProto from 'onnx-proto';
import protobuf from 'protobufjs/minimal.js';
import { afterAll, describe, expect, it } from 'vitest';
import { memoryBytes } from '../../src/formats/bytes.js';
import { ExternalData } from '../../src/formats/onnx/external-data.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { DATA_TYPES } from '../../src/formats/onnx/schema.js';
import type { OnnxTensor } from '../../src/formats/onnx/structures.js';
import { materialize, readStrings, tensorBytes } from '../../src/formats/onnx/tensor-data.js';
import { DataType, encodeModel, modelWithTensor } from '../support/onnx-proto-models.js';

type TensorFields = onnxProto.onnx.ITensorProto;

const root = mkdtempSync(join(tmpdir(), 'onnx-tensor-'));
afterAll(() => rmSync(root, { recursive: true }));

function load(fields: TensorFields, folder: string | null = null) {
  const bytes = modelWithTensor({ name: 'w', ...fields });
  return open(bytes, folder);
}

function open(bytes: Uint8Array, folder: string | null = null) {
  const source = memoryBytes(bytes);
  const tensor: OnnxTensor = readOnnx(source, 'm.onnx').graph.initializers[0]!;
  return { tensor, source, external: new ExternalData('m.onnx', folder) };
}

const bytesOf = (fields: TensorFields): Uint8Array => {
  const { tensor, source, external } = load(fields);
  return materialize(tensor, source, external);
};

const raw = (view: ArrayBufferView): number[] => [...new Uint8Array(view.buffer)];

describe('materialize', () => {
  it.each<[string, TensorFields, number[]]>([
    ['FLOAT', { floatData: [1.5, -2] }, raw(Float32Array.of(1.5, -2))],
    ['UINT8', { int32Data: [0, 255] }, [0, 255]],
    ['INT8', { int32Data: [-128, 127] }, [128, 127]],
    ['UINT16', { int32Data: [1, 65535] }, raw(Uint16Array.of(1, 65535))],
    ['INT16', { int32Data: [-2, 300] }, raw(Int16Array.of(-2, 300))],
    ['INT32', { int32Data: [-(2 ** 31), 2 ** 31 - 1] }, raw(Int32Array.of(-(2 ** 31), 2 ** 31 - 1))],
    ['INT64', { int64Data: [-1, 2 ** 40] }, raw(BigInt64Array.of(-1n, 2n ** 40n))],
    ['BOOL', { int32Data: [1, 0] }, [1, 0]],
    ['FLOAT16', { int32Data: [0x3c00, 0xc000] }, raw(Uint16Array.of(0x3c00, 0xc000))],
    ['BFLOAT16', { int32Data: [0x3f80, 0xff80] }, raw(Uint16Array.of(0x3f80, 0xff80))],
    ['DOUBLE', { doubleData: [0.1, -1e300] }, raw(Float64Array.of(0.1, -1e300))],
    ['UINT32', { uint64Data: [7, 2 ** 32 - 1] }, raw(Uint32Array.of(7, 2 ** 32 - 1))],
    ['UINT64', { uint64Data: [7, 2 ** 53 - 1] }, raw(BigUint64Array.of(7n, 2n ** 53n - 1n))],
    ['COMPLEX64', { floatData: [1, 2, 3, 4] }, raw(Float32Array.of(1, 2, 3, 4))],
    ['COMPLEX128', { doubleData: [1, 2, 3, 4] }, raw(Float64Array.of(1, 2, 3, 4))],
    ['FLOAT8E4M3FN', { int32Data: [0x38, 0xb8] }, [0x38, 0xb8]],
    ['FLOAT8E8M0', { int32Data: [127, 128] }, [127, 128]],
  ])('gives %s in typed fields as raw bytes', (name, fields, expected) => {
    const dataType = [...DATA_TYPES].find(([, facts]) => facts.name === name)![0];
    expect([...bytesOf({ ...fields, dataType, dims: [2] })]).toEqual(expected);
    expect([...bytesOf({ rawData: Uint8Array.from(expected), dataType, dims: [2] })]).toEqual(expected);
  });

  it.each([
    ['UINT4', 21, 3, [0x21, 0x03]],
    ['INT4', 22, 4, [0xf8, 0x7f]],
    ['FLOAT4E2M1', 23, 1, [0x0f]],
    ['UINT2', 25, 5, [0xe4, 0x01]],
    ['INT2', 26, 4, [0x1b]],
  ])('packs %s from the low end of a byte', (_, dataType, count, packed) => {
    expect([...bytesOf({ int32Data: packed, dataType, dims: [count] })]).toEqual(packed);
    expect([...bytesOf({ rawData: Uint8Array.from(packed), dataType, dims: [count] })]).toEqual(packed);
  });

  it('takes the whole range of unsigned 64-bit integers', () => {
    const value = protobuf.Writer.create().uint64('18446744073709551615').finish();
    const tensor = protobuf.Writer.create().uint32(8).int64(1).uint32(16).int32(DataType.UINT64);
    const graph = protobuf.Writer.create().uint32(42).bytes(tensor.uint32(90).bytes(value).finish()).finish();
    const model = protobuf.Writer.create().uint32(8).int64(2).uint32(58).bytes(graph).finish();
    const { tensor: read, source, external } = open(model);
    expect(raw(materialize(read, source, external))).toEqual(new Array(8).fill(255));
  });

  it('joins values that are written one at a time with packed runs', () => {
    const header = protobuf.Writer.create().uint32(8).int64(5).uint32(16).int32(DataType.FLOAT).finish();
    const single = protobuf.Writer.create().uint32(37).float(1).finish();
    const run = protobuf.Writer.create()
      .uint32(34)
      .bytes(new Uint8Array(Float32Array.of(2, 3).buffer))
      .finish();
    const read = (...pieces: Uint8Array[]): number[] => {
      const graph = protobuf.Writer.create()
        .uint32(42)
        .bytes(Buffer.concat([header, ...pieces]))
        .finish();
      const { tensor, source, external } = open(
        protobuf.Writer.create().uint32(8).int64(2).uint32(58).bytes(graph).finish(),
      );
      return [...new Float32Array(materialize(tensor, source, external).buffer)];
    };
    expect(read(single, run, run)).toEqual([1, 2, 3, 2, 3]);
    expect(read(run, run, single)).toEqual([2, 3, 2, 3, 1]);
  });

  it('sees packed floats as raw data, without a copy', () => {
    const { tensor, source, external } = load({ dataType: DataType.FLOAT, dims: [2], floatData: [1, 2] });
    expect(tensor.location.kind).toBe('raw');
    const whole = source.read(0, source.length);
    expect(tensorBytes(tensor, source, external).read(0, 8).buffer).toBe(whole.buffer);
  });

  it('takes scalars and empty tensors', () => {
    expect(bytesOf({ dataType: DataType.FLOAT, dims: [], floatData: [1] }).length).toBe(4);
    expect(bytesOf({ dataType: DataType.FLOAT, dims: [0, 3] }).length).toBe(0);
    expect(bytesOf({ dataType: DataType.INT64, dims: [0], rawData: new Uint8Array() }).length).toBe(0);
  });

  it('reads a tensor in the attribute of a node', () => {
    const t: TensorFields = { dims: [2], dataType: DataType.INT64, int64Data: [5, -5] };
    const node = { opType: 'Constant', output: ['c'], attribute: [{ name: 'value', type: 4, t }] };
    const source = memoryBytes(encodeModel({ irVersion: 8, opsetImport: [{ version: 17 }], graph: { node: [node] } }));
    const constant = readOnnx(source, 'm.onnx').graph.nodes[0]!.attributes.get('value')!.t!;
    const bytes = materialize(constant, source, new ExternalData('m.onnx'));
    expect(raw(bytes)).toEqual(raw(BigInt64Array.of(5n, -5n)));
  });

  it.each<[string, TensorFields, RegExp]>([
    ['raw data too short', { dims: [3], rawData: new Uint8Array(8) }, /"w" in m\.onnx has 8 bytes .* needs 12/],
    ['raw data too long', { dims: [1], rawData: new Uint8Array(8) }, /has 8 bytes .* needs 4/],
    ['no data', { dims: [1] }, /has 0 bytes .* needs 4/],
    ['too few values', { dims: [3], dataType: DataType.INT64, int64Data: [1, 2] }, /has 16 bytes .* needs 24/],
    ['too many values', { dims: [1], dataType: DataType.INT64, int64Data: [1, 2] }, /has 16 bytes .* needs 8/],
    [
      'a shape that the file cannot fill',
      { dims: [2 ** 40], dataType: DataType.INT64, int64Data: [1] },
      /values at most/,
    ],
    ['a shape beyond counting', { dims: [2 ** 30, 2 ** 30], rawData: new Uint8Array(8) }, /impossible shape/],
    ['a shape beyond numbers', { dims: new Array(64).fill(2 ** 52) }, /impossible shape/],
    ['an unknown type', { dims: [1], dataType: 99, rawData: new Uint8Array(8) }, /unknown data type 99/],
    ['text', { dims: [1], dataType: DataType.STRING, stringData: [Uint8Array.of(65)] }, /holds text/],
  ])('refuses %s', (_, fields, message) => {
    expect(() => bytesOf({ dataType: DataType.FLOAT, ...fields })).toThrow(message);
  });
});

describe('readStrings', () => {
  const strings = [Uint8Array.of(65), new Uint8Array(), Uint8Array.of(0xff)];
  const read = (dims: number[]) => {
    const { tensor, source } = load({ dims, dataType: DataType.STRING, stringData: strings });
    return readStrings(tensor, source, 'm.onnx').map((value) => [...value]);
  };

  it('gives the bytes of each string, and checks their number', () => {
    expect(read([3])).toEqual([[65], [], [255]]);
    expect(() => read([4])).toThrow(/has 3 values .* needs 4/);
  });
});

describe('ExternalData', () => {
  const folder = join(root, 'model');
  mkdirSync(join(folder, 'sub'), { recursive: true });
  writeFileSync(join(root, 'secret'), 'secrets!');
  writeFileSync(join(folder, 'w.bin'), Uint8Array.of(0, 0, 1, 2, 3, 4, 5, 6, 7, 8));
  writeFileSync(join(folder, 'sub', 'w.bin'), Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9));
  symlinkSync('w.bin', join(folder, 'inner-link'));
  symlinkSync('../secret', join(folder, 'outer-link'));
  symlinkSync('..', join(folder, 'folder-link'));

  const read = (location: string, more: Record<string, string> = {}, inFolder: string | null = folder): number[] => {
    const entries = Object.entries({ location, ...more }).map(([key, value]) => ({ key, value }));
    const { tensor, source, external } = load(
      { dims: [2], dataType: DataType.FLOAT, dataLocation: 1, externalData: entries },
      inFolder,
    );
    try {
      return [...materialize(tensor, source, external)];
    } finally {
      external.close();
    }
  };

  it('reads files in the folder and below, and links that stay', () => {
    expect(read('w.bin', { offset: '2', length: '8' })).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(read('w.bin')).toEqual([0, 0, 1, 2, 3, 4, 5, 6]);
    expect(read('sub/w.bin')).toEqual(new Array(8).fill(9));
    expect(read('inner-link', { offset: '2' })).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it.each<[string, RegExp]>([
    [join(root, 'secret'), /absolute path/],
    ['C:\\secret', /absolute path/],
    ['\\secret', /absolute path/],
    ['../secret', /outside the model's folder/],
    ['sub/../../secret', /outside the model's folder/],
    ['sub\\..\\..\\secret', /outside the model's folder/],
    ['outer-link', /a link that leaves the model's folder/],
    ['folder-link/secret', /a link that leaves the model's folder/],
    ['none.bin', /"none\.bin", which is not there/],
    ['w.bin/none', /which is not there/],
    ['w\0.bin', /which is not there/],
    ['sub', /not a regular file/],
    ['.', /not a regular file/],
    ['', /does not name it/],
  ])('refuses %j', (location, message) => {
    expect(() => read(location)).toThrow(message);
  });

  it('refuses lengths and offsets that do not fit', () => {
    expect(() => read('w.bin', { offset: '3' })).toThrow(/needs "w\.bin" up to byte 11, but that file has 10/);
    expect(() => read('w.bin', { offset: '9007199254740991' })).toThrow(/but that file has 10/);
    expect(() => read('w.bin', { length: '7' })).toThrow(/has 7 bytes in "w\.bin" where its shape needs 8/);
    expect(() => read('w.bin', { offset: '-1' })).toThrow(/external offset "-1"/);
    expect(() => read('w.bin', { offset: '99999999999999999' })).toThrow(/external offset/);
  });

  it('has no folder for a model that was given as bytes', () => {
    expect(() => read('w.bin', {}, null)).toThrow(/load the model by its path/);
  });
});
