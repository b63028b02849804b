import proto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { memoryBytes } from '../../src/formats/bytes.js';
import { joinParts } from '../../src/formats/files.js';
import { MessageWriter } from '../../src/formats/onnx/message-writer.js';
import { importOnnxBytes } from '../../src/importers/onnx/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { verify } from '../../src/ir/verify.js';
import { semantics } from '../../src/ops/index.js';
import {
  differenceOf,
  floatTensor,
  madeAnew,
  modelBytes,
  nodeProto,
  randomTensor,
  runOnnx,
  type ShortModel,
  type ShortNode,
} from '../support/onnx-models.js';

const { AttributeProto, FunctionProto } = proto.onnx;
const { AttributeType } = AttributeProto;

function definition(
  name: string,
  input: string[],
  output: string[],
  nodes: ShortNode[],
  more: proto.onnx.IFunctionProto = {},
): proto.onnx.IFunctionProto {
  const opsetImport = [
    { domain: '', version: 17 },
    { domain: 'own', version: 1 },
  ];
  return { name, domain: 'own', input, output, node: nodes.map(nodeProto), opsetImport, ...more };
}

function withFunctions(nodes: ShortNode[], functions: proto.onnx.IFunctionProto[], outputs = 'y'): ShortModel {
  return {
    opset: 17,
    inputs: { x: [1, 4, 6, 6] },
    outputs,
    nodes,
    more: { opsetImport: [{ version: 17 }, { domain: 'own', version: 1 }], functions },
  };
}

const imported = (model: ShortModel): Graph => importOnnxBytes(memoryBytes(modelBytes(model)), 'short.onnx', null);
const opTypes = (bytes: Uint8Array) => proto.onnx.ModelProto.decode(bytes).graph?.node?.map(({ opType }) => opType);

/** Untouched and written anew, the model computes what it did. */
async function agrees(bytes: Uint8Array, inputs: ShortModel['inputs']): Promise<Graph> {
  const graph = importOnnxBytes(memoryBytes(bytes), 'short.onnx', null);
  expect(verify(graph, semantics)).toEqual([]);
  const before = await runOnnx(bytes, inputs);
  expect(Buffer.compare(encodeOnnxGraph(graph), bytes)).toBe(0);
  const anew = encodeOnnxGraph(madeAnew(graph));
  expect(differenceOf(before, await runOnnx(anew, inputs))).toBeLessThan(1e-6);
  return graph;
}

/** A field of a FunctionProto that onnx-proto does not know: an attribute with its default. */
function defaultAttribute(name: string, value: number): Uint8Array {
  const attribute = AttributeProto.encode({ name, type: AttributeType.FLOAT, f: value }).finish();
  return joinParts(new MessageWriter().payload(11, [attribute]).finish());
}

const weights = { w: randomTensor([4, 4, 3, 3]), b: floatTensor([1, 2, 3, 4]) };

const block = definition(
  'Block',
  ['in', 'weight', 'bias'],
  ['out'],
  [
    ['Conv', 'in weight bias', 'conv', { pads: [1, 1, 1, 1] }],
    ['Relu', 'conv', 'out'],
  ],
);

describe('functions of a file', () => {
  it('are unfolded, with names of their own', async () => {
    const calls: ShortNode[] = [
      ['Block', 'x w b', 'a', {}, 'own'],
      ['Block', 'a w -', 'y', {}, 'own'],
    ];
    const model = { ...withFunctions(calls, [block]), constants: weights };
    const graph = await agrees(modelBytes(model), model.inputs);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Conv', 'Relu', 'Conv', 'Relu']);
    expect(graph.nodes.map(({ outputs }) => outputs[0])).toEqual(['Block_0/conv', 'a', 'Block_1/conv', 'y']);
    expect(opTypes(encodeOnnxGraph(madeAnew(graph)))).toEqual(['Conv', 'Relu', 'Conv', 'Relu']);
  });

  it('are unfolded where something reads a value within', async () => {
    const model = { ...withFunctions([['Block', 'x w b', 'y', {}, 'own']], [block]), constants: weights };
    const graph = imported(model);
    const bytes = encodeOnnxGraph(graph.with({ outputs: ['y', 'Block_0/conv'] }));
    expect(opTypes(bytes)).toEqual(['Conv', 'Relu']);
    expect(Object.keys(await runOnnx(bytes, model.inputs))).toEqual(['y', 'Block_0/conv']);
  });

  it('are unfolded where their call reads a value that nothing needs', async () => {
    const ignore = definition('Ignore', ['in', 'other'], ['out'], [['Relu', 'in', 'out']]);
    const calls: ShortNode[] = [
      ['Neg', 'x', 'n'],
      ['Ignore', 'x n', 'y', {}, 'own'],
    ];
    const model = withFunctions(calls, [ignore]);
    const bytes = encodeOnnxGraph(imported(model));
    expect(opTypes(bytes)).toEqual(['Relu']);
    expect(differenceOf(await runOnnx(modelBytes(model), model.inputs), await runOnnx(bytes, model.inputs))).toBe(0);
  });

  it('take attributes from their calls, or their defaults', async () => {
    const slope = { reference: 'slope', type: AttributeType.FLOAT };
    const leaky = definition(
      'Leaky',
      ['in'],
      ['out'],
      [
        ['LeakyRelu', 'in', 'low', { alpha: slope }],
        ['Constant', '', 'k', { value_float: { reference: 'factor', type: AttributeType.FLOAT } }],
        ['Mul', 'low k', 'out'],
      ],
      { attribute: ['slope'] },
    );
    const calls: ShortNode[] = [
      ['Leaky', 'x', 'a', { slope: { f: 0.25 } }, 'own'],
      ['Leaky', 'a', 'y', { slope: { f: 0.5 }, factor: { f: 2 } }, 'own'],
    ];
    const model = withFunctions(calls, []);
    const definitionBytes = [...FunctionProto.encode(leaky).finish(), ...defaultAttribute('factor', 3)];
    const bytes = joinParts([
      modelBytes(model),
      ...new MessageWriter().payload(25, [Uint8Array.from(definitionBytes)]).finish(),
    ]);
    const graph = await agrees(bytes, model.inputs);
    const slopes = graph.nodes.filter(({ op }) => op === 'LeakyRelu').map(({ attributes }) => attributes.alpha);
    expect(slopes).toEqual([0.25, 0.5]);
    expect([...graph.constants.values()].map((tensor) => tensor.toFloat64()[0])).toEqual([3, 2]);
  });

  it('may call others, in any order, and give out what they are given', async () => {
    const twice = definition(
      'Twice',
      ['in', 'weight'],
      ['out', 'in'],
      [
        ['Block', 'mid weight -', 'out', {}, 'own'],
        ['Block', 'in weight -', 'mid', {}, 'own'],
      ],
    );
    const model = withFunctions([['Twice', 'x w', 'y z', {}, 'own']], [twice, block], 'y z');
    const graph = imported({ ...model, constants: weights });
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Conv', 'Relu', 'Conv', 'Relu', 'Identity']);
    expect(verify(graph, semantics)).toEqual([]);
  });

  it('are lifted from their own operator set', () => {
    const old = definition('Old', ['in'], ['out'], [['Squeeze', 'in', 'out', { axes: [0] }]], {
      opsetImport: [{ domain: '', version: 11 }],
    });
    const graph = imported(withFunctions([['Old', 'x', 'y', {}, 'own']], [old]));
    expect(graph.type('y').shape).toEqual([4, 6, 6]);
  });

  it('stay calls where a node within has a subgraph', async () => {
    const branch = (name: string, op: string) => ({
      g: {
        name,
        node: [nodeProto([op, 'in', `${name}_o`])],
        output: [{ name: `${name}_o`, type: { tensorType: { elemType: 1 } } }],
      },
    });
    const choose = definition(
      'Choose',
      ['in', 'flag'],
      ['out'],
      [['If', 'flag', 'out', { then_branch: branch('then', 'Neg'), else_branch: branch('else', 'Exp') }]],
    );
    const model = withFunctions(
      [
        ['Choose', 'x f', 'a', {}, 'own'],
        ['Relu', 'a', 'y'],
      ],
      [choose],
    );
    const constants = { f: { dims: [], dataType: 9, rawData: Uint8Array.of(0) } };
    const graph = await agrees(modelBytes({ ...model, constants }), model.inputs);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Opaque', 'Relu']);
  });

  it('carry operators without a definition along, attributes filled in', async () => {
    const shrink = definition(
      'Soft',
      ['in'],
      ['out'],
      [['Shrink', 'in', 'out', { lambd: { reference: 'threshold', type: AttributeType.FLOAT } }]],
      { attribute: ['threshold'] },
    );
    const model = withFunctions([['Soft', 'x', 'y', { threshold: { f: 0.75 } }, 'own']], [shrink]);
    const graph = await agrees(modelBytes(model), model.inputs);
    const copied = encodeOnnxGraph(graph.with({ nodes: graph.nodes.map((node) => ({ ...node })) }));
    expect(opTypes(copied)).toEqual(['Shrink']);
    const before = await runOnnx(modelBytes(model), model.inputs);
    expect(differenceOf(before, await runOnnx(copied, model.inputs))).toBe(0);
  });
});
