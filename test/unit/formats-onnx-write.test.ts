import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { fileBytes, memoryBytes, type Range } from '../../src/formats/bytes.js';
import { joinParts, type LazyPart, partOf, totalLength } from '../../src/formats/files.js';
import { ExternalData } from '../../src/formats/onnx/external-data.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import type { OnnxAttribute } from '../../src/formats/onnx/structures.js';
import { materialize } from '../../src/formats/onnx/tensor-data.js';
import {
  type AttributeToWrite,
  encodeOnnx,
  type ModelToWrite,
  type RawMessage,
  writeOnnx,
} from '../../src/formats/onnx/write.js';
import { DataType, decodeModel, encodeModel, sampleModel } from '../support/onnx-proto-models.js';

const folder = mkdtempSync(join(tmpdir(), 'onnx-write-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Reads a model and takes it apart, as far as structures go or with every message as it came. */
function rewritten(bytes: Uint8Array, asItCame: boolean): ModelToWrite {
  const source = memoryBytes(bytes);
  const external = new ExternalData('m.onnx');
  const raw = (message: { raw: Range }): RawMessage => ({ raw: partOf(source, message.raw) });
  const parts = (ranges: Range[]) => ranges.map((range) => partOf(source, range));
  const attribute = (from: OnnxAttribute): RawMessage | AttributeToWrite => {
    const { name, i, f, s, ints, floats, strings } = from;
    if (i !== undefined) return { name, i };
    if (f !== undefined) return { name, f };
    if (s !== undefined) return { name, s };
    if (ints !== undefined) return { name, ints };
    if (floats !== undefined) return { name, floats };
    if (strings !== undefined) return { name, strings };
    return raw(from);
  };
  const model = readOnnx(source, 'm.onnx');
  const { graph } = model;
  return {
    ...model,
    functions: model.functions.map(raw),
    other: parts(model.other),
    graph: {
      name: graph.name,
      nodes: graph.nodes.map((node) => {
        if (asItCame) return raw(node);
        const { name, opType, domain, overload, inputs, outputs } = node;
        const attributes = [...node.attributes.values()].map(attribute);
        return { name, opType, domain, overload, inputs, outputs, attributes, other: parts(node.other) };
      }),
      initializers: graph.initializers.map((tensor) => {
        if (asItCame) return raw(tensor);
        const { name, dims, dataType } = tensor;
        return { name, dims, dataType, data: materialize(tensor, source, external) };
      }),
      sparseInitializers: graph.sparseInitializers.map(raw),
      inputs: graph.inputs.map(raw),
      outputs: graph.outputs.map(raw),
      valueInfo: graph.valueInfo.map((value) => {
        const { name, elemType, dims } = value;
        return asItCame || elemType === null ? raw(value) : { name, elemType, dims };
      }),
      other: parts(graph.other),
    },
  };
}

const encoded = (model: ModelToWrite): Uint8Array => joinParts(encodeOnnx(model).model);

describe('encodeOnnx', () => {
  const original = encodeModel(sampleModel());

  it('writes messages as they came', () => {
    expect(decodeModel(encoded(rewritten(original, true)))).toEqual(decodeModel(original));
  });

  it('writes structures that another reader understands', () => {
    const expected = sampleModel();
    const bias = expected.graph!.initializer![1]!;
    bias.floatData = [];
    bias.rawData = new Uint8Array(Float32Array.of(0.5, -1, 2, 3).buffer);
    expect(decodeModel(encoded(rewritten(original, false)))).toEqual(decodeModel(encodeModel(expected)));
  });

  it('gives the same bytes when its own output is written again', () => {
    const once = encoded(rewritten(original, false));
    expect(encoded(rewritten(once, false))).toEqual(once);
  });

  it.each([true, false])('keeps fields that it does not know (messages as they came: %s)', (asItCame) => {
    // Field 1000 of model, graph and node, each with a text of its own.
    const unknown = (text: string): Uint8Array => Uint8Array.of(0xc2, 0x3e, text.length, ...Buffer.from(text));
    const parts = encodeOnnx({
      irVersion: 8,
      opsets: [['', 17]],
      other: [unknown('in model')],
      graph: {
        name: 'g',
        nodes: [{ opType: 'Relu', inputs: ['x'], outputs: ['y'], attributes: [], other: [unknown('in node')] }],
        initializers: [],
        inputs: [],
        outputs: [],
        other: [unknown('in graph')],
      },
    });
    const again = encoded(rewritten(joinParts(parts.model), asItCame));
    for (const text of ['in model', 'in graph', 'in node']) expect(Buffer.from(again).includes(text)).toBe(true);
  });

  it('writes any integers, floats and texts so that both readers get them back', () => {
    const integers = fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
    const floats = fc.array(fc.float({ noNaN: true }));
    fc.assert(
      fc.property(integers, floats, fc.array(fc.string({ unit: 'grapheme' })), (ints, numbers, names) => {
        const attributes = [
          { name: 'ints', ints },
          { name: 'floats', floats: numbers },
        ];
        const node = { opType: 'Op', inputs: names, outputs: ['y'], attributes };
        const graph = { name: 'g', nodes: [node], initializers: [], inputs: [], outputs: [] };
        const bytes = encoded({ irVersion: 8, opsets: [['', 17]], graph });
        const ours = readOnnx(memoryBytes(bytes), 'm.onnx').graph.nodes[0]!;
        expect(ours.attributes.get('ints')?.ints?.map(BigInt)).toEqual(ints);
        expect(ours.attributes.get('floats')?.floats).toEqual(numbers);
        expect(ours.inputs).toEqual(names);
        const theirs = (
          decodeModel(bytes) as { graph: { node: { input: string[]; attribute: { ints: string[] }[] }[] } }
        ).graph.node[0]!;
        expect(theirs.attribute[0]!.ints).toEqual(ints.map(String));
        expect(theirs.input).toEqual(names);
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  it('produces nothing while it plans, and plans beyond 4 GiB', () => {
    const data: LazyPart = {
      length: 5 * 2 ** 30,
      produce: () => {
        throw new Error('produced');
      },
    };
    const initializer = { name: 'w', dims: [5 * 2 ** 30], dataType: DataType.UINT8, data };
    const graph = { name: 'g', nodes: [], initializers: [initializer], inputs: [], outputs: [] };
    const { model } = encodeOnnx({ irVersion: 8, opsets: [['', 17]], graph });
    expect(totalLength(model)).toBeGreaterThan(data.length);
    expect(totalLength(model)).toBeLessThan(data.length + 100);
  });
});

describe('writeOnnx', () => {
  const count = 5000;
  const weights = Float32Array.from({ length: count }, (_, index) => index / 7);
  const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer);
  const value = (name: string) => ({ name, elemType: DataType.FLOAT, dims: ['n', count] });
  const model: ModelToWrite = {
    irVersion: 8,
    opsets: [['', 17]],
    graph: {
      name: 'g',
      nodes: [
        { opType: 'Add', inputs: ['x', 'w'], outputs: ['a'], attributes: [] },
        { opType: 'Mul', inputs: ['a', 'v'], outputs: ['b'], attributes: [] },
        { opType: 'Add', inputs: ['b', 's'], outputs: ['y'], attributes: [] },
      ],
      initializers: [
        { name: 'w', dims: [count], dataType: DataType.FLOAT, data: bytesOf(weights) },
        { name: 'v', dims: [count], dataType: DataType.FLOAT, data: partOf(memoryBytes(bytesOf(weights))) },
        { name: 's', dims: [1], dataType: DataType.FLOAT, data: bytesOf(Float32Array.of(3)) },
      ],
      inputs: [value('x')],
      outputs: [value('y')],
    },
  };

  it.each([
    ['in the model', false],
    ['in a file of their own', true],
  ])('writes files that ONNX Runtime runs, weights %s', async (_, externalData) => {
    const path = join(folder, `run-${externalData}.onnx`);
    const written = await writeOnnx(path, model, { externalData });
    expect(written).toEqual(externalData ? [path, `${path}.data`] : [path]);
    const session = await InferenceSession.create(path);
    const input = Float32Array.from({ length: count }, (_, index) => Math.sin(index));
    const { y } = await session.run({ x: new Tensor('float32', input, [1, count]) });
    const expected = input.map((x, index) => Math.fround(Math.fround(x + weights[index]!) * weights[index]!) + 3);
    expect(y!.data).toEqual(expected);
    await session.release();
  });

  it('reads its own external data, which starts at pages', async () => {
    const path = join(folder, 'own.onnx');
    await writeOnnx(path, model, { externalData: true });
    expect(readFileSync(path).length).toBeLessThan(1000);
    const source = fileBytes(path);
    const external = new ExternalData(path);
    const { initializers } = readOnnx(source, path).graph;
    expect(initializers.map(({ location }) => location.kind)).toEqual(['external', 'external', 'raw']);
    expect(initializers[1]!.location).toMatchObject({ location: 'own.onnx.data', offset: 20480, length: 20000 });
    for (const tensor of initializers.slice(0, 2)) {
      expect(Buffer.compare(materialize(tensor, source, external), bytesOf(weights))).toBe(0);
    }
    source.close();
    external.close();
  });

  it('leaves nothing behind when a weight cannot be produced', async () => {
    const path = join(folder, 'failing.onnx');
    const broken: LazyPart = {
      length: 4000,
      produce: () => {
        throw new Error('no weight');
      },
    };
    const initializers = [{ name: 'w', dims: [1000], dataType: DataType.FLOAT, data: broken }];
    const before = readdirSync(folder);
    for (const externalData of [false, true]) {
      const failing = { ...model, graph: { ...model.graph, initializers } };
      await expect(writeOnnx(path, failing, { externalData })).rejects.toThrow('no weight');
      expect(existsSync(path)).toBe(false);
      expect(readdirSync(folder)).toEqual(before);
    }
  });
});
