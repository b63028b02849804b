import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import protobuf from 'protobufjs/minimal.js';
import { afterAll, describe, expect, it } from 'vitest';
import { type ByteSource, fileBytes, memoryBytes } from '../../src/formats/bytes.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import type { OnnxModel } from '../../src/formats/onnx/structures.js';
import { WireReader } from '../../src/formats/onnx/wire.js';
import { DataType, encodeModel, sampleModel } from '../support/onnx-proto-models.js';

const folder = mkdtempSync(join(tmpdir(), 'onnx-read-'));
afterAll(() => rmSync(folder, { recursive: true }));

const read = (bytes: Uint8Array): OnnxModel => readOnnx(memoryBytes(bytes), 'm.onnx');
const text = (bytes?: Uint8Array): string => new TextDecoder().decode(bytes);

describe('readOnnx', () => {
  const model = read(encodeModel(sampleModel()));
  const [conv, branch] = model.graph.nodes;

  it('reads the header', () => {
    expect(model.irVersion).toBe(8);
    expect([...model.opsets]).toEqual([
      ['', 17],
      ['local', 1],
    ]);
    expect([model.producerName, model.producerVersion]).toEqual(['sämple', '1.2']);
    expect(model.metadata).toEqual([['author', 'nobody']]);
    // The model's version and text are not held, and stay findable.
    expect(model.other.length).toBe(2);
  });

  it('reads the interface with numbers, symbols and unknown ranks', () => {
    const { inputs, outputs, valueInfo } = model.graph;
    expect(inputs.map(({ name, elemType, dims }) => ({ name, elemType, dims }))).toEqual([
      { name: 'x', elemType: DataType.FLOAT, dims: ['n', 3, 'h', 'w'] },
      { name: 'flag', elemType: DataType.FLOAT, dims: [] },
    ]);
    expect(outputs[0]?.dims).toEqual(['n', 4, 'h', 'w']);
    expect(valueInfo[0]?.dims).toEqual(['n', 4]);
    const odd = sampleModel();
    odd.graph!.input = [
      { name: 'a', type: { tensorType: { elemType: 1 } } },
      { name: 'b', type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: -1 }, { dimParam: '' }, {}] } } } },
      { name: 'c', type: { sequenceType: { elemType: { tensorType: { elemType: 1 } } } } },
    ];
    expect(read(encodeModel(odd)).graph.inputs.map(({ elemType, dims }) => [elemType, dims])).toEqual([
      [1, null],
      [1, [null, null, null]],
      [null, null],
    ]);
  });

  it('reads attributes of every kind', () => {
    const attributes = conv!.attributes;
    expect(attributes.get('pads')?.ints).toEqual([0, 0, -1, 0]);
    expect(attributes.get('group')?.i).toBe(1);
    expect(attributes.get('alpha')?.f).toBe(0.25);
    expect(text(attributes.get('auto_pad')?.s)).toBe('NOTSET');
    expect(attributes.get('scales')?.floats).toEqual([0.5, 1.5]);
    expect(attributes.get('labels')?.strings?.map(text)).toEqual(['a', 'bc']);
    expect(attributes.get('empty')?.ints).toEqual([]);
    expect(attributes.get('value')?.t).toMatchObject({ name: 't', dims: [2], dataType: DataType.INT64 });
    expect(branch!.attributes.get('then_branch')?.g?.nodes[0]?.opType).toBe('Relu');
  });

  it('keeps integers exact', () => {
    const writer = protobuf.Writer.create().uint32(10).string('big').uint32(24).int64('-9223372036854775807');
    writer.uint32(64).int64('9007199254740993').uint32(64).int64(-5).uint32(66).uint32(2).raw(Uint8Array.of(1, 2));
    const node = protobuf.Writer.create().uint32(42).bytes(writer.finish()).finish();
    const graph = protobuf.Writer.create().uint32(10).bytes(node).finish();
    const bytes = protobuf.Writer.create().uint32(8).int64(2).uint32(58).bytes(graph).finish();
    const big = read(bytes).graph.nodes[0]?.attributes.get('big');
    expect(big?.i).toBe(-9223372036854775807n);
    expect(big?.ints).toEqual([9007199254740993n, -5, 1, 2]);
  });

  it('infers what files of the first versions do not say', () => {
    const old = sampleModel();
    old.irVersion = 2;
    old.opsetImport = [];
    for (const attribute of old.graph!.node![0]!.attribute!) attribute.type = 0;
    const { opsets, graph } = read(encodeModel(old));
    expect(opsets.get('')).toBe(1);
    expect([...graph.nodes[0]!.attributes.values()].map(({ type }) => type)).toEqual([7, 2, 1, 3, 6, 8, 0, 4]);
  });

  it('lists the outer values that subgraphs use', () => {
    expect(conv!.implicitInputs).toEqual([]);
    expect(branch!.implicitInputs).toEqual(['c', 'x']);
    const nested = sampleModel();
    const inner = nested.graph!.node![1]!;
    inner.output = ['inner'];
    nested.graph!.node![1] = {
      opType: 'Loop',
      attribute: [
        { name: 'body', type: 5, g: { name: 'b', input: [{ name: 'x' }], node: [inner], output: [{ name: 'inner' }] } },
      ],
    };
    expect(read(encodeModel(nested)).graph.nodes[1]!.implicitInputs).toEqual(['flag', 'c']);
  });

  it('reads functions', () => {
    expect(model.functions[0]).toMatchObject({ name: 'Twice', domain: 'local', inputs: ['x'], attributes: ['scale'] });
    expect(model.functions[0]?.nodes[0]?.opType).toBe('Add');
  });

  it('takes both names of the standard domain for one', () => {
    const named = sampleModel();
    named.opsetImport = [{ domain: 'ai.onnx', version: 13 }];
    named.graph!.node![0]!.domain = 'ai.onnx';
    const { opsets, graph } = read(encodeModel(named));
    expect(opsets.get('')).toBe(13);
    expect(graph.nodes[0]?.domain).toBe('');
  });

  it('refuses what is no model, with the reason', () => {
    const without = (key: 'graph' | 'irVersion' | 'opsetImport') => {
      const model = sampleModel();
      delete model[key];
      return () => read(encodeModel(model));
    };
    expect(without('graph')).toThrow(/holds no graph/);
    expect(without('irVersion')).toThrow(/no version of the ONNX format/);
    expect(without('opsetImport')).toThrow(/names no operator set/);
    expect(() => read(new Uint8Array())).toThrow(/no version of the ONNX format/);
    expect(() => read(new TextEncoder().encode('not a model at all'))).toThrow(/m\.onnx/);
    const twice = sampleModel();
    twice.graph!.node![0]!.attribute!.push({ name: 'group', type: 2, i: 2 });
    expect(() => read(encodeModel(twice))).toThrow(/two attributes "group"/);
  });

  it('refuses text that is not UTF-8, since two names could become one', () => {
    const bytes = encodeModel(sampleModel());
    bytes[Buffer.from(bytes).indexOf('conv')] = 0xff;
    expect(() => read(bytes)).toThrow(/is not UTF-8/);
  });
});

describe('WireReader', () => {
  const walk = (...bytes: number[]): void => {
    const reader = new WireReader(memoryBytes(Uint8Array.from(bytes)), 'm.onnx');
    reader.walk(reader.everything, () => true);
  };
  const varint = (value: bigint): number[] => [...protobuf.Writer.create().uint64(value.toString()).finish()];

  it.each([32n, 33n, 53n, 60n, 63n])('refuses a length of 2^%s without taking memory for it', (exponent) => {
    expect(() => walk(10, ...varint(2n ** exponent), 1, 2, 3)).toThrow(/cut short/);
  });

  it('refuses fields that leave their message, groups, field 0 and endless numbers', () => {
    const reader = new WireReader(memoryBytes(Uint8Array.of(10, 3, 10, 4, 1, 1, 1, 1, 1)), 'm.onnx');
    expect(() => reader.walk(reader.everything, (field) => reader.walk(field, () => true).length >= 0)).toThrow(
      /longer than the message it lies in/,
    );
    expect(() => walk(11)).toThrow(/unknown wire type 3/);
    expect(() => walk(2, 0)).toThrow(/starts no field/);
    expect(() => walk(8, ...new Array(10).fill(0xff), 0)).toThrow(/does not end/);
    expect(() => walk(8, 0xff)).toThrow(/cut short/);
    expect(() => walk(13, 1, 2, 3)).toThrow(/cut short/);
  });

  it('reads texts that lie across the end of a window', () => {
    for (let skipped = 8140; skipped < 8200; skipped++) {
      const writer = protobuf.Writer.create().uint32(10).bytes(new Uint8Array(skipped)).uint32(18);
      const bytes = writer
        .string('a text of some length')
        .uint32(24)
        .int64(123456789)
        .uint32(18)
        .string('end')
        .finish();
      const reader = new WireReader(memoryBytes(bytes), 'm.onnx');
      const found: (string | number)[] = [];
      reader.walk(reader.everything, (field) => {
        if (field.number === 2) found.push(reader.text(field));
        if (field.number === 3) found.push(reader.smallInteger(field));
        return true;
      });
      expect(found).toEqual(['a text of some length', 123456789, 'end']);
    }
  });

  it.each([9_000, 20_000, 300_000])('reads a text of %s bytes', (length) => {
    const long = 'ab'.repeat(length / 2);
    const bytes = protobuf.Writer.create().uint32(10).bytes(new Uint8Array(50_000)).uint32(18).string(long).finish();
    const reader = new WireReader(memoryBytes(bytes), 'm.onnx');
    let found = '';
    reader.walk(reader.everything, (field) => {
      if (field.number === 2) found = reader.text(field);
      return true;
    });
    expect(found === long).toBe(true);
  });

  it('refuses messages that nest without end', () => {
    let graph: Uint8Array = new Uint8Array();
    for (let level = 0; level < 40; level++) {
      const attribute = protobuf.Writer.create().uint32(50).bytes(graph).finish();
      const node = protobuf.Writer.create().uint32(42).bytes(attribute).finish();
      graph = protobuf.Writer.create().uint32(10).bytes(node).finish();
    }
    expect(() => read(protobuf.Writer.create().uint32(8).int64(8).uint32(58).bytes(graph).finish())).toThrow(
      /nest deeper than 100 levels/,
    );
  });
});

/** Counts the bytes that are read through it. */
function counting(source: ByteSource): ByteSource & { count: number } {
  return {
    ...source,
    count: 0,
    readInto(target, offset) {
      this.count += target.length;
      source.readInto(target, offset);
    },
  };
}

describe('large files', () => {
  it('reads the structure of a 300 MB file without its weights', () => {
    const path = join(folder, 'sparse.onnx');
    const megabyte = 2 ** 20;
    const size = 300 * megabyte;
    const tensor = protobuf.Writer.create()
      .uint32(8)
      .int64(size / 4)
      .uint32(16)
      .int32(1)
      .uint32(66)
      .string('w');
    const header = tensor.uint32(74).uint32(size).finish();
    const constant = protobuf.Writer.create()
      .uint32(10)
      .string('value')
      .uint32(42)
      .uint32(header.length + size);
    const attribute = constant.raw(header).finish();
    const node = protobuf.Writer.create()
      .uint32(42)
      .uint32(attribute.length + size)
      .raw(attribute)
      .finish();
    const graph = protobuf.Writer.create()
      .uint32(10)
      .uint32(node.length + size)
      .raw(node)
      .finish();
    const model = protobuf.Writer.create().uint32(8).int64(8).uint32(66).bytes(Uint8Array.of(16, 17));
    const start = model
      .uint32(58)
      .uint32(graph.length + size)
      .raw(graph)
      .finish();
    const file = openSync(path, 'w');
    writeSync(file, start);
    ftruncateSync(file, start.length + size);
    closeSync(file);

    const source = fileBytes(path);
    const counted = counting(source);
    const before = process.memoryUsage.rss();
    const { nodes } = readOnnx(counted, path).graph;
    expect(process.memoryUsage.rss() - before).toBeLessThan(40 * megabyte);
    expect(nodes[0]!.attributes.get('value')!.t!.location).toEqual({ kind: 'raw', start: start.length, length: size });
    expect(counted.count).toBeLessThan(megabyte);
    source.close();
  });

  it('gives the same structure wherever windows begin and end', () => {
    const nodes = Array.from({ length: 4000 }, (_, index) => ({
      opType: 'Relu',
      name: 'n'.repeat((index * 31) % 257),
      input: [`value ${index}`],
      output: [`\ufeffvalue ${index + 1}`],
    }));
    const initializer = Array.from({ length: 200 }, (_, index) => ({
      name: `w${index}`,
      dims: [index * 97],
      dataType: DataType.UINT8,
      rawData: new Uint8Array(index * 97).fill(255),
    }));
    const bytes = encodeModel({ irVersion: 8, opsetImport: [{ version: 17 }], graph: { node: nodes, initializer } });
    const { graph } = read(bytes);
    expect(graph.nodes.map(({ name, inputs, outputs }) => [name, ...inputs, ...outputs])).toEqual(
      nodes.map(({ name, input, output }) => [name, ...input, ...output]),
    );
    expect(graph.initializers.map(({ name, dims }) => ({ name, dims }))).toEqual(
      initializer.map(({ name, dims }) => ({ name, dims })),
    );
  });
});
