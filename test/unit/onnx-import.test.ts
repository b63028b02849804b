import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import proto from 'onnx-proto';
import { afterAll, describe, expect, it } from 'vitest';
import { CompressError } from '../../src/errors.js';
import { type ByteSource, memoryBytes } from '../../src/formats/bytes.js';
import { load } from '../../src/importers/index.js';
import { importOnnx, importOnnxBytes } from '../../src/importers/onnx/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { verify } from '../../src/ir/verify.js';
import { semantics } from '../../src/ops/index.js';
import {
  floatTensor,
  int64Tensor,
  modelBytes,
  nodeProto,
  randomTensor,
  type ShortModel,
  type ShortNode,
  valueInfo,
} from '../support/onnx-models.js';

const folder = mkdtempSync(join(tmpdir(), 'onnx-import-'));
afterAll(() => rmSync(folder, { recursive: true }));

const { DataType } = proto.onnx.TensorProto;
const { AttributeType } = proto.onnx.AttributeProto;

/** A convolution and what follows it; the base of most cases. */
const plain: ShortModel = {
  opset: 17,
  inputs: { x: ['n', 3, 'h', 'w'] },
  outputs: 'y',
  nodes: [
    ['Conv', 'x w b', 'c', { pads: [1, 1, 1, 1] }],
    ['Relu', 'c', 'y'],
  ],
  constants: { w: randomTensor([4, 3, 3, 3]), b: floatTensor([1, 2, 3, 4]) },
};

function imported(model: Partial<ShortModel>): Graph {
  return importOnnxBytes(memoryBytes(modelBytes({ ...plain, ...model })), 'short.onnx', null);
}

/** The message of the error, which must name the file and be one sentence. */
function complaint(model: Partial<ShortModel>): string {
  try {
    imported(model);
  } catch (error) {
    expect(error).toBeInstanceOf(CompressError);
    const { message, where } = error as CompressError;
    expect(message).toContain('short.onnx');
    expect(message).not.toMatch(/\n|\. /);
    expect(where.file).toBe('short.onnx');
    return message;
  }
  throw new Error('it was imported');
}

describe('importOnnx', () => {
  it('reads structure, names and types', () => {
    const graph = imported({ more: { metadataProps: [{ key: 'author', value: 'nobody' }] } });
    expect(graph.inputs).toEqual(['x']);
    expect(graph.outputs).toEqual(['y']);
    expect(graph.type('y')).toEqual({ dtype: 'f32', shape: ['n', 4, 'h', 'w'] });
    expect(graph.nodes.map(({ op, name }) => `${op} ${name}`)).toEqual(['Conv Conv_0', 'Relu Relu_1']);
    expect(graph.nodes[0].attributes).toEqual({ pads: [1, 1, 1, 1] });
    expect(graph.constants.get('b')?.toFloat64()).toEqual(Float64Array.of(1, 2, 3, 4));
    expect([...graph.metadata]).toEqual([['author', 'nobody']]);
    expect(verify(graph, semantics)).toEqual([]);
  });

  it('reads no weights', () => {
    const bytes = memoryBytes(
      modelBytes({ ...plain, constants: { ...plain.constants, w: randomTensor([4, 3, 999, 99]) } }),
    );
    let read = 0;
    const counting = (source: ByteSource): ByteSource => ({
      length: source.length,
      read: (offset, length) => {
        read += length;
        return source.read(offset, length);
      },
      readInto: (target, offset) => {
        read += target.length;
        source.readInto(target, offset);
      },
      slice: (offset, length) => counting(source.slice(offset, length)),
    });
    const graph = importOnnxBytes(counting(bytes), 'large.onnx', null);
    expect(read).toBeLessThan(bytes.length / 10);
    expect(graph.constants.get('w')?.size).toBe(4 * 3 * 999 * 99);
  });

  it('gives each unnamed dimension a symbol, and makes names safe', () => {
    const graph = imported({
      inputs: { x: ['batch size', 3, 'None', '?'], z: ['None', 'batch size', 'h-1'] },
      nodes: [
        ['Relu', 'x', 'y'],
        ['Relu', 'z', 'q'],
      ],
      outputs: 'y q',
    });
    expect(graph.type('y').shape).toEqual(['batch_size', 3, 'x_d2', 'x_d3']);
    expect(graph.type('q').shape).toEqual(['z_d0', 'batch_size', 'h_1']);
  });

  it('takes weights that are inputs too for constants', () => {
    const moreGraph = { input: [valueInfo('x', ['n', 3, 8, 8]), valueInfo('w', [4, 3, 3, 3]), valueInfo('b', [4])] };
    const graph = imported({ moreGraph, irVersion: 3 });
    expect(graph.inputs).toEqual(['x']);
    expect(graph.type('y').shape).toEqual(['n', 4, 8, 8]);
  });

  it('reads Constant nodes of every kind', () => {
    const value = (attributes: Record<string, unknown>) => attributes as never;
    const graph = imported({
      nodes: [
        ['Constant', '', 'a', value({ value: { t: int64Tensor([1, 3]) } })],
        ['Constant', '', 'b', value({ value_int: 7 })],
        ['Constant', '', 'c', value({ value_ints: [7, 8] })],
        ['Constant', '', 'd', value({ value_float: { f: 0.5 } })],
        ['Constant', '', 'e', value({ value_floats: { floats: [0.5, 2] } })],
      ],
      outputs: 'a b c d e',
      constants: {},
    });
    const shown = (name: string) => [graph.type(name), Array.from(graph.constants.get(name)?.toFloat64() ?? [])];
    expect(shown('a')).toEqual([{ dtype: 'i64', shape: [2] }, [1, 3]]);
    expect(shown('b')).toEqual([{ dtype: 'i64', shape: [] }, [7]]);
    expect(shown('c')).toEqual([{ dtype: 'i64', shape: [2] }, [7, 8]]);
    expect(shown('d')).toEqual([{ dtype: 'f32', shape: [] }, [0.5]]);
    expect(shown('e')).toEqual([{ dtype: 'f32', shape: [2] }, [0.5, 2]]);
  });

  it('reads weights in typed fields and in other precisions', () => {
    const tensor = (dataType: number, more: proto.onnx.ITensorProto) => ({ dims: [2], dataType, ...more });
    const graph = imported({
      nodes: [],
      outputs: 'f32 f64 f16 bf16 i8 i64 bool',
      constants: {
        f32: tensor(DataType.FLOAT, { floatData: [1.5, -2] }),
        f64: tensor(DataType.DOUBLE, { doubleData: [1.5, -2] }),
        f16: tensor(DataType.FLOAT16, { int32Data: [0x3e00, 0xc000] }),
        bf16: tensor(DataType.BFLOAT16, { rawData: Uint8Array.of(0xc0, 0x3f, 0, 0xc0) }),
        i8: tensor(DataType.INT8, { int32Data: [3, -2] }),
        i64: tensor(DataType.INT64, { int64Data: [3, -2] }),
        bool: tensor(DataType.BOOL, { int32Data: [1, 0] }),
      },
    });
    const values = (name: string) => Array.from(graph.constants.get(name)?.toFloat64() ?? []);
    for (const name of ['f32', 'f64', 'f16', 'bf16']) expect([name, values(name)]).toEqual([name, [1.5, -2]]);
    expect([values('i8'), values('i64'), values('bool')]).toEqual([
      [3, -2],
      [3, -2],
      [1, 0],
    ]);
    for (const name of graph.outputs) expect(graph.type(name).dtype).toBe(name);
  });

  it('sorts nodes that are out of order', () => {
    const graph = imported({ nodes: [...plain.nodes].reverse() });
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Conv', 'Relu']);
  });

  it('reads limits of 64 bits as "to the end"', () => {
    const bytes = modelBytes({
      ...plain,
      opset: 9,
      nodes: [['Slice', 'x', 'y', { starts: [1], axes: [2], ends: [0] }]],
    });
    const model = proto.onnx.ModelProto.decode(bytes);
    const ends = model.graph?.node?.[0].attribute?.find(({ name }) => name === 'ends');
    if (ends) ends.ints = [{ low: -1, high: 0x7fffffff, unsigned: false } as never];
    const graph = importOnnxBytes(memoryBytes(proto.onnx.ModelProto.encode(model).finish()), 'm.onnx', null);
    expect(graph.type('y').shape).toEqual(['n', 3, 'h-1', 'w']);
  });
});

describe('what has no meaning here', () => {
  const branch = (name: string, op: string): proto.onnx.IGraphProto => ({
    name,
    node: [nodeProto([op, 'c', `${name}_out`])],
    output: [{ name: `${name}_out`, type: { tensorType: { elemType: 1 } } }],
  });
  const g = (graph: proto.onnx.IGraphProto) => ({ g: graph });
  const choice: Partial<ShortModel> = {
    nodes: [
      ['Conv', 'x w b', 'c'],
      ['If', 'flag', 'y', { then_branch: g(branch('then', 'Relu')), else_branch: g(branch('else', 'Neg')) }],
    ],
    constants: { ...plain.constants, flag: { dims: [], dataType: DataType.BOOL, rawData: Uint8Array.of(1) } },
    moreGraph: { output: [valueInfo('y', ['n', 4, 'h2', 'w2'])] },
  };

  it('keeps nodes with subgraphs, and what these read', () => {
    const [, node] = imported(choice).nodes;
    expect(node).toMatchObject({ op: 'Opaque', inputs: ['flag'], captures: ['c'], origin: { op: 'If', domain: '' } });
    expect(imported(choice).type('y')).toEqual({ dtype: 'f32', shape: ['n', 4, 'h2', 'w2'] });
  });

  it.each([
    [
      'an operator of another domain',
      {
        nodes: [['FusedConv', 'x w b', 'y', { activation: 'Relu' }, 'com.microsoft']],
        more: { opsetImport: [{ version: 17 }, { domain: 'com.microsoft', version: 1 }] },
      },
    ],
    ['an unknown operator', { nodes: [['Det', 'x', 'y']] }],
    ['an attribute that the definition does not list', { nodes: [['Relu', 'x', 'y', { consumed_inputs: [0] }]] }],
    ['normalization by element', { opset: 7, nodes: [['BatchNormalization', 'x b b b b', 'y', { spatial: 0 }]] }],
    ['statistics of training', { opset: 9, nodes: [['BatchNormalization', 'x b b b b', 'y m']], outputs: 'y m' }],
    ['a mask of floats', { opset: 7, nodes: [['Dropout', 'x', 'y m']], outputs: 'y m' }],
  ] as [string, Partial<ShortModel>][])('is carried through: %s', (_, model) => {
    const graph = imported(model);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Opaque']);
    expect(graph.type('y').shape).toBeNull();
  });
});

describe('files that contradict themselves', () => {
  it.each([
    ['no output', { moreGraph: { output: [] } }, 'its graph has no output'],
    ['an old operator set', { opset: 6 }, 'version 6 of the ONNX operators, and 7 to 23 can be read'],
    ['a new operator set', { opset: 24 }, 'version 24'],
    [
      'an operator of a domain without a version',
      { nodes: [['FusedConv', 'x w b', 'y', {}, 'com.microsoft']] },
      "it names no version of the operators of 'com.microsoft', to which FusedConv node 'FusedConv_0' belongs",
    ],
    [
      'a value that nothing makes',
      { nodes: [['Relu', 'q', 'y']] },
      "Relu node 'Relu_0' reads 'q', which nothing makes",
    ],
    ['an output that nothing makes', { outputs: 'z' }, "nothing makes its output 'z'"],
    ['two nodes that make one value', { nodes: [...plain.nodes, ['Neg', 'x', 'y']] }, "Neg node 'Neg_2' makes 'y'"],
    ['a node that makes an input', { nodes: [...plain.nodes, ['Neg', 'c', 'x']] }, "makes 'x', which something else"],
    [
      'a cycle',
      {
        nodes: [
          ['Add', 'x b', 'a'],
          ['Add', 'a d', 'c'],
          ['Relu', 'c', 'd'],
          ['Relu', 'd', 'y'],
        ],
      },
      'waits for its own result',
    ],
    ['a node that reads itself', { nodes: [['Add', 'x y', 'y']] }, "Add node 'Add_0' waits for its own result"],
    [
      'shapes that do not fit',
      { inputs: { x: [1, 5, 8, 8] } },
      "short.onnx: Conv node 'Conv_0': the input has 5 channels",
    ],
    ['an attribute of the wrong kind', { nodes: [['Conv', 'x w', 'y', { group: 'two' }]] }, "attribute 'group' is not"],
    ['a missing operand', { nodes: [['Conv', 'x', 'y']] }, "input 'W' is missing"],
    ['data of another size', { constants: { ...plain.constants, b: floatTensor([1, 2], [4]) } }, 'tensor "b"'],
    ['an unknown type', { constants: { ...plain.constants, b: { dims: [1], dataType: 99 } } }, 'unknown data type 99'],
    [
      'two weights of one name',
      {
        moreGraph: {
          initializer: [
            { ...floatTensor([1]), name: 'w' },
            { ...floatTensor([2]), name: 'w' },
          ],
        },
      },
      "two weights are called 'w'",
    ],
    ['two inputs of one name', { moreGraph: { input: [valueInfo('x', [1]), valueInfo('x', [1])] } }, "called 'x'"],
    [
      'a function that calls itself',
      {
        nodes: [['F', 'x', 'y', {}, 'own']],
        more: {
          opsetImport: [{ version: 17 }, { domain: 'own', version: 1 }],
          functions: [
            { name: 'F', domain: 'own', input: ['a'], output: ['b'], node: [nodeProto(['F', 'a', 'b', {}, 'own'])] },
          ],
        },
      },
      "function 'F' calls itself",
    ],
  ] as [string, Partial<ShortModel>, string][])('%s', (_, model, message) => {
    expect(complaint(model)).toContain(message);
  });

  it('a hostile tower of functions', () => {
    const tower = Array.from({ length: 60 }, (_, i) => ({
      name: `F${i}`,
      domain: 'own',
      input: ['a'],
      output: ['c'],
      node:
        i === 0
          ? [nodeProto(['Relu', 'a', 'c'])]
          : [nodeProto([`F${i - 1}`, 'a', 'b', {}, 'own']), nodeProto([`F${i - 1}`, 'b', 'c', {}, 'own'])],
    }));
    const opsetImport = [{ version: 17 }, { domain: 'own', version: 1 }];
    expect(complaint({ nodes: [['F59', 'x', 'y', {}, 'own']], more: { opsetImport, functions: tower } })).toContain(
      'unfold',
    );
  });
});

it.each(['Concat', 'Add'])('is not filled up by sizes that double with each %s', (op) => {
  const attributes: ShortNode[3] = op === 'Concat' ? { axis: 0 } : {};
  const doubling = Array.from({ length: 60 }, (_, i): ShortNode => [op, `v${i} v${i}`, `v${i + 1}`, attributes]);
  const graph = imported({ nodes: [['Shape', 'x', 'v0'], ...doubling], outputs: 'v60' });
  expect(String(graph.type('v60').shape).length).toBeLessThan(1000);
});

describe('weights in files of their own', () => {
  const external = (location: string, more: Record<string, string> = {}) => ({
    dims: [4],
    dataType: DataType.FLOAT,
    dataLocation: proto.onnx.TensorProto.DataLocation.EXTERNAL,
    externalData: Object.entries({ location, ...more }).map(([key, value]) => ({ key, value })),
  });
  const write = (name: string, location: string, more?: Record<string, string>) => {
    const file = join(folder, name);
    writeFileSync(file, modelBytes({ ...plain, constants: { ...plain.constants, b: external(location, more) } }));
    return file;
  };

  it('are found beside the model', () => {
    writeFileSync(join(folder, 'weights.bin'), Float32Array.of(9, 5, 6, 7, 8));
    const graph = importOnnx(write('beside.onnx', 'weights.bin', { offset: '4', length: '16' }));
    expect(graph.constants.get('b')?.toFloat64()).toEqual(Float64Array.of(5, 6, 7, 8));
  });

  it('are not looked for elsewhere', () => {
    const outside = mkdtempSync(join(tmpdir(), 'outside-'));
    writeFileSync(join(outside, 'w.bin'), new Uint8Array(16));
    symlinkSync(join(outside, 'w.bin'), join(folder, 'link.bin'));
    for (const location of ['../w.bin', join(outside, 'w.bin'), 'link.bin', 'missing.bin'])
      expect(() => importOnnx(write('escape.onnx', location))).toThrow(CompressError);
    rmSync(outside, { recursive: true });
  });

  it('must be whole', () => {
    writeFileSync(join(folder, 'short.bin'), new Uint8Array(15));
    expect(() => importOnnx(write('cut.onnx', 'short.bin'))).toThrow('needs "short.bin" up to byte 16');
  });
});

describe('load', () => {
  const write = (name: string, content: Uint8Array | string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };

  it('goes by the content', () => {
    expect(load(write('model.bin', modelBytes(plain))).outputs).toEqual(['y']);
  });

  it.each([
    ['nothing', '', 'is not a model in a known format'],
    ['text', 'hello', 'is not a model in a known format'],
    ['a JSON file', '{"a": 1}', 'looks like JSON'],
    ['TensorFlow Lite', '\x20\x00\x00\x00TFL3', 'looks like a TensorFlow Lite model'],
  ])('refuses %s', (_, content, message) => {
    const file = write('model.onnx', content);
    expect(() => load(file)).toThrow(`${file} ${message}`);
  });

  it('refuses what is not there and what is no file', () => {
    expect(() => load(join(folder, 'missing.onnx'))).toThrow(CompressError);
    expect(() => load(folder)).toThrow(CompressError);
  });
});

it('knows the kinds of attributes by their fields where a file does not state them', () => {
  const bytes = modelBytes(plain);
  const model = proto.onnx.ModelProto.decode(bytes);
  for (const attribute of model.graph?.node?.[0].attribute ?? []) attribute.type = AttributeType.UNDEFINED;
  const graph = importOnnxBytes(memoryBytes(proto.onnx.ModelProto.encode(model).finish()), 'm.onnx', null);
  expect(graph.nodes[0].attributes).toEqual({ pads: [1, 1, 1, 1] });
});
