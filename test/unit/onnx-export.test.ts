import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import proto from 'onnx-proto';
import { afterAll, describe, expect, it } from 'vitest';
import { encodeOnnxGraph, exportOnnx } from '../../src/exporters/onnx/index.js';
import { ROWS } from '../../src/exporters/onnx/write/index.js';
import { memoryBytes } from '../../src/formats/bytes.js';
import { importOnnx, importOnnxBytes } from '../../src/importers/onnx/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { foreignNode, type Graph } from '../../src/ir/graph.js';
import { printGraph } from '../../src/ir/print.js';
import { rewrite, withConstants } from '../../src/ir/rewrite.js';
import { Tensor } from '../../src/ir/tensor.js';
import { operators, semantics } from '../../src/ops/index.js';
import {
  differenceOf,
  floatTensor,
  int64Tensor,
  madeAnew,
  modelBytes,
  nodeProto,
  randomTensor,
  runOnnx,
  type ShortModel,
  valueInfo,
} from '../support/onnx-models.js';

const folder = mkdtempSync(join(tmpdir(), 'onnx-export-'));
afterAll(() => rmSync(folder, { recursive: true }));

const { ModelProto } = proto.onnx;
const { DataType } = proto.onnx.TensorProto;

const plain: ShortModel = {
  opset: 17,
  inputs: { x: ['n', 3, 8, 8] },
  outputs: 'y',
  nodes: [
    ['Conv', 'x w b', 'c', { pads: [1, 1, 1, 1] }],
    ['Relu', 'c', 'r'],
    ['Sigmoid', 'r', 'y'],
  ],
  constants: { w: randomTensor([4, 3, 3, 3]), b: floatTensor([1, 2, 3, 4]) },
  moreGraph: { valueInfo: [valueInfo('c', ['n', 4, 8, 8]), valueInfo('r', ['n', 4, 8, 8])] },
};

const importBytes = (bytes: Uint8Array): Graph => importOnnxBytes(memoryBytes(bytes), 'short.onnx', null);
const imported = (model: ShortModel): Graph => importBytes(modelBytes(model));
const decoded = (bytes: Uint8Array) => ModelProto.decode(bytes);
const opTypes = (bytes: Uint8Array) => decoded(bytes).graph?.node?.map(({ opType }) => opType);
const initializers = (bytes: Uint8Array) => decoded(bytes).graph?.initializer?.map(({ name }) => name);

/** The graph without its Sigmoid, its output taken before. */
function withoutSigmoid(graph: Graph): Graph {
  return rewrite(graph, semantics, (node, builder) => {
    if (node.op !== 'Sigmoid') return false;
    builder.add({ op: 'Identity', name: 'last', inputs: node.inputs, outputs: node.outputs, attributes: {} });
    return true;
  });
}

/** Appends a field to a message: number 200, text. */
function withUnknownField(message: Uint8Array, text: string): Uint8Array {
  const payload = new TextEncoder().encode(text);
  return Uint8Array.of(...message, 0xc2, 0x0c, payload.length, ...payload);
}

describe('what no pass has touched', () => {
  const everything: ShortModel = {
    ...plain,
    nodes: [
      ['Constant', '', 'k', { value: { t: floatTensor([0.5]) } }],
      ...plain.nodes.slice(0, 2),
      ['Constant', '', 'k2', { value_float: { f: 2 } }],
      ['Mul', 'r k', 'm'],
      ['Pow', 'm k2', 'p'],
      ['Gelu', 'p', 'q', {}, 'com.microsoft'],
      ['Sigmoid', 'q', 'y'],
    ],
    more: {
      opsetImport: [
        { domain: '', version: 17 },
        { domain: 'com.microsoft', version: 1 },
      ],
      producerName: 'somebody',
      producerVersion: '1',
      domain: 'org',
      modelVersion: 4,
      docString: 'words',
      metadataProps: [
        { key: 'a', value: 'b' },
        { key: 'c', value: '' },
      ],
    },
    moreGraph: { ...plain.moreGraph, docString: 'more words', quantizationAnnotation: [{ tensorName: 'c' }] },
  };

  it('comes back byte for byte', () => {
    const bytes = modelBytes(everything);
    expect(Buffer.compare(encodeOnnxGraph(importBytes(bytes)), bytes)).toBe(0);
  });

  it.each([7, 8, 9, 10, 11, 12, 13, 15, 18, 20, 21, 23])('comes back byte for byte at operator set %i', (opset) => {
    const bytes = modelBytes({ ...plain, opset });
    expect(Buffer.compare(encodeOnnxGraph(importBytes(bytes)), bytes)).toBe(0);
  });

  it('stands beside what was made anew', async () => {
    const bytes = modelBytes(everything);
    const graph = rewrite(importBytes(bytes), semantics, (node, builder) => {
      if (node.op !== 'Mul') return false;
      const { origin: _, ...rest } = node;
      builder.add({ ...rest, name: 'twin' });
      return true;
    });
    const after = encodeOnnxGraph(graph);
    const without = (types: (string | null | undefined)[] | undefined) => types?.filter((type) => type !== 'Constant');
    expect(without(opTypes(after))).toEqual(without(opTypes(bytes)));
    expect(decoded(after).graph?.node?.find(({ opType }) => opType === 'Mul')?.name).toBe('twin');
    expect(decoded(after).metadataProps?.map(({ key, value }) => [key, value])).toEqual([
      ['a', 'b'],
      ['c', ''],
    ]);
    expect(differenceOf(await runOnnx(bytes, plain.inputs), await runOnnx(after, plain.inputs))).toBe(0);
  });

  it('keeps unknown fields and data types', () => {
    const bytes = modelBytes({
      ...plain,
      nodes: [...plain.nodes.slice(0, 2), ['Scale8', 'r f8', 'y', {}, 'own']],
      constants: { ...plain.constants, f8: { dims: [2], dataType: 17, rawData: Uint8Array.of(0x38, 0x40) } },
    });
    const model = decoded(bytes);
    model.opsetImport?.push({ domain: 'own', version: 1 });
    const unknown = withUnknownField(ModelProto.encode(model).finish(), 'future');
    const changed = encodeOnnxGraph(
      withConstants(importBytes(unknown), semantics, new Map([['b', Tensor.floats([0, 0, 0, 0])]])),
    );
    expect(Buffer.from(changed).includes('future')).toBe(true);
    const f8 = decoded(changed).graph?.initializer?.find(({ name }) => name === 'f8');
    expect(f8 && JSON.stringify(f8)).toBe(JSON.stringify(model.graph?.initializer?.[2]));
  });

  it('is written the same each time', () => {
    const graph = madeAnew(imported(everything));
    expect(Buffer.compare(encodeOnnxGraph(graph), encodeOnnxGraph(madeAnew(imported(everything))))).toBe(0);
  });
});

describe('what passes change', () => {
  it('is written in its place, and types follow', async () => {
    const graph = imported(plain);
    const weight = graph.constants.get('w') as Tensor;
    const thinner = withConstants(
      graph,
      semantics,
      new Map([
        ['w', weight.slice(0, 1, 3)],
        ['b', Tensor.floats([2, 3])],
      ]),
    );
    const bytes = encodeOnnxGraph(thinner);
    expect(initializers(bytes)).toEqual(['w', 'b']);
    const shapes = decoded(bytes).graph?.valueInfo?.map(({ type }) =>
      type?.tensorType?.shape?.dim?.map(({ dimParam, dimValue }) => dimParam || Number(dimValue)),
    );
    expect(shapes).toEqual([
      ['n', 2, 8, 8],
      ['n', 2, 8, 8],
    ]);
    const before = (await runOnnx(modelBytes(plain), plain.inputs)).y;
    const after = (await runOnnx(bytes, plain.inputs)).y;
    expect(after.dims).toEqual([2, 2, 8, 8]);
    expect(after.values.slice(0, 128)).toEqual(before.values.slice(64, 192));
  });

  it('drops values that are gone', () => {
    const bytes = encodeOnnxGraph(withoutSigmoid(imported(plain)));
    expect(opTypes(bytes)).toEqual(['Conv', 'Relu', 'Identity']);
    const short = rewrite(imported(plain), semantics, (node, builder) => {
      if (node.op === 'Relu') builder.add({ ...node, origin: undefined, outputs: ['other'] });
      else if (node.op === 'Sigmoid') builder.add({ ...node, origin: undefined, inputs: ['other'] });
      return node.op !== 'Conv';
    });
    expect(decoded(encodeOnnxGraph(short)).graph?.valueInfo?.map(({ name }) => name)).toEqual(['c']);
  });

  it('reaches nodes whose attribute became the changed constant', async () => {
    const model: ShortModel = {
      ...plain,
      opset: 9,
      nodes: [['Slice', 'x', 'y', { starts: [1], ends: [3], axes: [1] }]],
      constants: {},
      moreGraph: {},
    };
    const graph = imported(model);
    const [, starts] = graph.nodes[0].inputs;
    const changed = withConstants(graph, semantics, new Map([[starts, Tensor.integers([0])]]));
    expect((await runOnnx(encodeOnnxGraph(changed), plain.inputs)).y.dims).toEqual([2, 3, 8, 8]);
    expect(decoded(encodeOnnxGraph(changed)).opsetImport?.map(({ version }) => Number(version))).toEqual([13]);
  });

  it('may read what only stands for an attribute', async () => {
    const model: ShortModel = {
      ...plain,
      opset: 9,
      nodes: [['Slice', 'x', 'y', { starts: [1], ends: [3], axes: [1] }]],
      constants: {},
      moreGraph: {},
    };
    const graph = imported(model);
    const [, starts] = graph.nodes[0].inputs;
    const bytes = encodeOnnxGraph(graph.with({ outputs: ['y', starts] }));
    expect((await runOnnx(bytes, plain.inputs))[starts].values).toEqual([1]);
  });

  it('turns a changed Constant node into an initializer', async () => {
    const model: ShortModel = {
      ...plain,
      nodes: [
        ['Constant', '', 'k', { value: { t: floatTensor([1]) } }],
        ['Add', 'x k', 'y'],
      ],
      constants: {},
      moreGraph: {},
    };
    const bytes = encodeOnnxGraph(withConstants(imported(model), semantics, new Map([['k', Tensor.floats([3])]])));
    expect([opTypes(bytes), initializers(bytes)]).toEqual([['Add'], ['k']]);
    const [before, after] = [
      (await runOnnx(modelBytes(model), plain.inputs)).y,
      (await runOnnx(bytes, plain.inputs)).y,
    ];
    expect(after.values[0]).toBeCloseTo(before.values[0] + 2, 5);
  });

  it('keeps constants that only the form in the file needs', async () => {
    const model: ShortModel = {
      ...plain,
      opset: 11,
      nodes: [['Resize', 'x roi scales sizes', 'y', { mode: 'nearest' }]],
      constants: { roi: floatTensor([]), scales: floatTensor([]), sizes: int64Tensor([2, 3, 4, 4]) },
      moreGraph: {},
    };
    const bytes = encodeOnnxGraph(imported(model));
    expect(initializers(bytes)).toEqual(['roi', 'scales', 'sizes']);
    expect((await runOnnx(bytes, plain.inputs)).y.dims).toEqual([2, 3, 4, 4]);
  });

  it('says metadata anew', () => {
    const graph = imported({ ...plain, more: { metadataProps: [{ key: 'a', value: 'b' }] } });
    const bytes = encodeOnnxGraph(graph.with({ metadata: new Map([...graph.metadata, ['task', 'heads']]) }));
    expect(decoded(bytes).metadataProps?.map(({ key, value }) => [key, value])).toEqual([
      ['a', 'b'],
      ['task', 'heads'],
    ]);
  });

  it('leaves expressions over symbols open, and keeps names as they were', () => {
    const graph = madeAnew(
      imported({
        ...plain,
        inputs: { x: ['my batch', 3, 'h', 'w'] },
        nodes: [
          ['MaxPool', 'x', 'c', { kernel_shape: [2, 2], strides: [2, 2] }],
          ['Relu', 'c', 'y'],
        ],
        constants: {},
        moreGraph: { valueInfo: [valueInfo('c', [1, 2, 3, 4])] },
      }),
    );
    const retyped = graph.with({
      types: new Map([
        ...graph.types,
        ['x', { dtype: 'f16', shape: ['my_batch', 3, 'h', 9] }],
        ['c', { dtype: 'f16', shape: ['my_batch', 3, 'floor((h-2)/2)+1', 4] }],
      ]),
    });
    const model = decoded(encodeOnnxGraph(retyped));
    const dims = (info: proto.onnx.IValueInfoProto | undefined) =>
      info?.type?.tensorType?.shape?.dim?.map(({ dimParam, dimValue }) => dimParam || Number(dimValue ?? -1));
    expect(dims(model.graph?.input?.[0])).toEqual(['my batch', 3, 'h', 9]);
    expect(model.graph?.valueInfo?.[0].type?.tensorType?.elemType).toBe(DataType.FLOAT16);
    expect(dims(model.graph?.valueInfo?.[0])).toEqual(['my batch', 3, -1, 4]);
  });
});

describe('weights that are inputs too', () => {
  it('are constants only, in a version of the format that allows it', async () => {
    const moreGraph = { input: [valueInfo('x', ['n', 3, 8, 8]), valueInfo('w', [4, 3, 3, 3]), valueInfo('b', [4])] };
    const model = { ...plain, moreGraph, irVersion: 3 };
    const bytes = encodeOnnxGraph(imported(model));
    expect(decoded(bytes).irVersion).toEqual(decoded(modelBytes({ ...plain, irVersion: 4 })).irVersion);
    expect(decoded(bytes).graph?.input?.map(({ name }) => name)).toEqual(['x']);
    expect(differenceOf(await runOnnx(modelBytes(model), plain.inputs), await runOnnx(bytes, plain.inputs))).toBe(0);
  });
});

describe('a graph from elsewhere', () => {
  const built = (add: (builder: GraphBuilder) => string): Graph => {
    const builder = new GraphBuilder(semantics, { name: 'built', metadata: new Map([['k', 'v']]) });
    builder.input('x', { dtype: 'f32', shape: ['n', 4, 'h', 'w'] });
    return builder.build([add(builder)]);
  };

  it('is written with operator set 17', async () => {
    const graph = built((builder) => {
      const weight = builder.constant('w', Tensor.floats(Array(36).fill(0.1), [1, 4, 3, 3]));
      const scale = builder.constant('s', Tensor.floats([1, 2, 3, 4]));
      const bias = builder.constant('o', Tensor.floats([0, 1, 0, 1]));
      const normal = builder.apply('GroupNormalization', ['x', scale, bias], { num_groups: 2 });
      return builder.apply('Conv', [builder.apply('Mish', [normal]), weight], { pads: [1, 1, 1, 1] });
    });
    const bytes = encodeOnnxGraph(graph);
    expect(decoded(bytes).opsetImport?.map(({ version }) => Number(version))).toEqual([17]);
    expect((await runOnnx(bytes, { x: [2, 4, 5, 6] })).conv.dims).toEqual([2, 1, 5, 6]);
    expect([...importBytes(bytes).metadata]).toEqual([['k', 'v']]);
  });

  it('is refused where ONNX has no counterpart', () => {
    const graph = built(
      (builder) => builder.add({ op: 'Opaque', name: 'o', inputs: ['x'], outputs: ['y'], attributes: {} })[0],
    );
    expect(() => encodeOnnxGraph(graph)).toThrow("node 'o' cannot be written to ONNX");
  });

  it('keeps attributes of each kind', () => {
    const graph = built((builder) => builder.apply('LeakyRelu', ['x'], { alpha: 1 }));
    const attribute = decoded(encodeOnnxGraph(graph)).graph?.node?.[0].attribute?.[0];
    expect([attribute?.name, attribute?.f, attribute?.type]).toEqual([
      'alpha',
      1,
      proto.onnx.AttributeProto.AttributeType.FLOAT,
    ]);
  });
});

describe('nodes without a definition', () => {
  const branch = (name: string, op: string) => ({
    g: {
      name,
      node: [nodeProto([op, 'r', `${name}_out`])],
      output: [{ name: `${name}_out`, type: { tensorType: { elemType: 1 } } }],
    },
  });
  const model: ShortModel = {
    ...plain,
    nodes: [
      ...plain.nodes.slice(0, 2),
      ['If', 'flag', 'i', { then_branch: branch('then', 'Exp'), else_branch: branch('else', 'Neg') }],
      ['FusedMatMul', 'i m', 'y', { alpha: { f: 0.5 } }, 'com.microsoft'],
    ],
    constants: {
      ...plain.constants,
      m: randomTensor([8, 5]),
      flag: { dims: [], dataType: DataType.BOOL, rawData: Uint8Array.of(0) },
    },
    more: { opsetImport: [{ version: 17 }, { domain: 'com.microsoft', version: 1 }] },
    moreGraph: {},
  };

  it('pass through, with what their subgraphs read', async () => {
    const bytes = encodeOnnxGraph(madeAnew(imported(model)));
    expect(opTypes(bytes)).toEqual(['Conv', 'Relu', 'If', 'FusedMatMul']);
    expect(differenceOf(await runOnnx(modelBytes(model), plain.inputs), await runOnnx(bytes, plain.inputs))).toBe(0);
  });

  it('may get other operands', async () => {
    const graph = rewrite(imported(model), semantics, (node, builder) => {
      if (node.origin?.op !== 'FusedMatMul') return false;
      const twice = builder.apply('Add', ['i', 'i'], {}, 'twice');
      builder.add({ ...node, inputs: [twice, 'm'] }, [{ dtype: 'f32', shape: null }]);
      return true;
    });
    const [before, after] = [
      await runOnnx(modelBytes(model), plain.inputs),
      await runOnnx(encodeOnnxGraph(graph), plain.inputs),
    ];
    expect(after.y.values[3]).toBeCloseTo(2 * before.y.values[3], 3);
  });

  it('are refused where a newer operator set would change them', () => {
    const old = imported({
      ...model,
      opset: 9,
      more: { opsetImport: [{ version: 9 }, { domain: 'com.microsoft', version: 1 }] },
    });
    expect(encodeOnnxGraph(old)).toBeInstanceOf(Uint8Array);
    expect(() => encodeOnnxGraph(madeAnew(old))).toThrow(
      /If node 'If_2' cannot be written to ONNX operator set 13: .*9/,
    );
  });
});

describe('foreign nodes', () => {
  /** Two foreign nodes behind the input `x`. */
  const withForeign = (builder: GraphBuilder) => {
    const types = [{ dtype: 'f32', shape: ['n', 3, 8, 8] } as const];
    const first = {
      op: 'Own',
      domain: 'own.operators',
      version: 3,
      inputs: ['x'],
      outputs: ['own'],
      attributes: {
        count: 2,
        factor: 2,
        sizes: [1, 2],
        factors: [1, 2],
        mode: 'fast',
        modes: ['a', 'b'],
        table: Tensor.floats([1, 2]),
      },
      floats: ['factor', 'factors'],
    };
    builder.add(foreignNode(first), types);
    builder.add(foreignNode({ op: 'Standard', domain: '', version: 18, inputs: ['own', ''], outputs: ['two'] }), types);
    return builder.build([builder.apply('Relu', ['two'])]);
  };

  it('are written from their attributes, under their operator sets', () => {
    const builder = new GraphBuilder(semantics);
    builder.input('x', { dtype: 'f32', shape: ['n', 3, 8, 8] });
    const { graph, opsetImport } = decoded(encodeOnnxGraph(withForeign(builder)));
    expect(Object.fromEntries(opsetImport.map(({ domain, version }) => [domain ?? '', Number(version)]))).toEqual({
      '': 18,
      'own.operators': 3,
    });
    const [own, standard] = graph?.node ?? [];
    expect(own).toMatchObject({ opType: 'Own', domain: 'own.operators', name: 'own', input: ['x'], output: ['own'] });
    expect(standard).toMatchObject({ opType: 'Standard', input: ['own', ''] });
    const { AttributeType } = proto.onnx.AttributeProto;
    expect(Object.fromEntries((own.attribute ?? []).map(({ name, type }) => [name, type]))).toEqual({
      count: AttributeType.INT,
      factor: AttributeType.FLOAT,
      sizes: AttributeType.INTS,
      factors: AttributeType.FLOATS,
      mode: AttributeType.STRING,
      modes: AttributeType.STRINGS,
      table: AttributeType.TENSOR,
    });
  });

  it('add their operator sets to those of the file', () => {
    const opsetImport = [
      { domain: '', version: 18 },
      { domain: 'own.operators', version: 2 },
      { domain: 'others', version: 5 },
    ];
    const graph = imported({ ...plain, opset: 18, more: { opsetImport } });
    const builder = new GraphBuilder(semantics, graph);
    builder.input('x', graph.type('x'));
    const written = decoded(encodeOnnxGraph(withForeign(builder))).opsetImport;
    expect(Object.fromEntries(written.map(({ domain, version }) => [domain ?? '', Number(version)]))).toEqual({
      '': 18,
      'own.operators': 3,
      others: 5,
    });
  });

  it('have a text form', () => {
    const builder = new GraphBuilder(semantics);
    builder.input('x', { dtype: 'f32', shape: ['n', 3, 8, 8] });
    const text = printGraph(withForeign(builder));
    expect(text).toContain('%own = Opaque.Own(%x) {count=2, factor=2, factors=[1,2]');
    expect(text).toContain('%two = Opaque.Standard(%own, _) : f32[n,3,8,8]');
  });
});

describe('exportOnnx', () => {
  const large: ShortModel = {
    ...plain,
    constants: { ...plain.constants, w: randomTensor([40, 3, 3, 3]), b: randomTensor([40]) },
    moreGraph: {},
  };

  it('writes one file, and the same as in memory', async () => {
    const path = join(folder, 'one.onnx');
    expect(await exportOnnx(imported(large), path)).toEqual([path]);
    expect(Buffer.compare(readFileSync(path), encodeOnnxGraph(imported(large)))).toBe(0);
  });

  it('puts weights beside the model, and takes them in again', async () => {
    const path = join(folder, 'split.onnx');
    expect(await exportOnnx(imported(large), path, { externalData: true })).toEqual([path, `${path}.data`]);
    expect(statSync(`${path}.data`).size).toBe(40 * 27 * 4);
    const before = await runOnnx(modelBytes(large), large.inputs);
    expect(differenceOf(before, await runOnnx(path, large.inputs))).toBe(0);
    const again = encodeOnnxGraph(importOnnx(path));
    expect(differenceOf(before, await runOnnx(again, large.inputs))).toBe(0);
  });

  it('leaves nothing behind when it cannot write', async () => {
    const opaque = new GraphBuilder(semantics);
    opaque.input('x', { dtype: 'f32', shape: [1] });
    opaque.add({ op: 'Opaque', name: 'o', inputs: ['x'], outputs: ['y'], attributes: {} });
    writeFileSync(join(folder, 'kept.onnx'), 'kept');
    const before = readdirSync(folder).sort();
    expect(() => exportOnnx(opaque.build(['y']), join(folder, 'kept.onnx'))).toThrow('cannot be written');
    await expect(exportOnnx(imported(plain), join(folder, 'missing', 'm.onnx'))).rejects.toThrow('does not exist');
    expect(readdirSync(folder).sort()).toEqual(before);
  });
});

it('has a row for each operator, and no other', () => {
  expect(Object.keys(ROWS).sort()).toEqual([...operators.keys()].sort());
});
