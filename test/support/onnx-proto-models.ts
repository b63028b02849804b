import onnxProto from 'onnx-proto';

const { ModelProto, TensorProto, AttributeProto } = onnxProto.onnx;
type Model = onnxProto.onnx.IModelProto;

export const { DataType } = TensorProto;
const { AttributeType } = AttributeProto;

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

const value = (name: string, ...dims: (number | string)[]): onnxProto.onnx.IValueInfoProto => ({
  name,
  type: {
    tensorType: {
      elemType: DataType.FLOAT,
      shape: { dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) },
    },
  },
});

/** A model that uses what the format offers: attributes of every kind, subgraphs, functions, metadata. */
export function sampleModel(): Model {
  return {
    irVersion: 8,
    producerName: 'sämple',
    producerVersion: '1.2',
    docString: 'a model made by hand',
    modelVersion: 5,
    opsetImport: [{ version: 17 }, { domain: 'local', version: 1 }],
    metadataProps: [{ key: 'author', value: 'nobody' }],
    functions: [
      {
        name: 'Twice',
        domain: 'local',
        input: ['x'],
        output: ['y'],
        attribute: ['scale'],
        opsetImport: [{ domain: '', version: 17 }],
        node: [{ opType: 'Add', input: ['x', 'x'], output: ['y'] }],
      },
    ],
    graph: {
      name: 'main',
      docString: 'the only graph',
      input: [value('x', 'n', 3, 'h', 'w'), value('flag')],
      output: [value('y', 'n', 4, 'h', 'w')],
      valueInfo: [value('c', 'n', 4)],
      initializer: [
        {
          name: 'w',
          dims: [4, 3, 1, 1],
          dataType: DataType.FLOAT,
          rawData: floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        },
        { name: 'b', dims: [4], dataType: DataType.FLOAT, floatData: [0.5, -1, 2, 3] },
      ],
      node: [
        {
          name: 'conv',
          opType: 'Conv',
          input: ['x', 'w', 'b'],
          output: ['c'],
          docString: 'a convolution',
          attribute: [
            { name: 'pads', type: AttributeType.INTS, ints: [0, 0, -1, 0] },
            { name: 'group', type: AttributeType.INT, i: 1 },
            { name: 'alpha', type: AttributeType.FLOAT, f: 0.25 },
            { name: 'auto_pad', type: AttributeType.STRING, s: text('NOTSET') },
            { name: 'scales', type: AttributeType.FLOATS, floats: [0.5, 1.5] },
            { name: 'labels', type: AttributeType.STRINGS, strings: [text('a'), text('bc')] },
            { name: 'empty', type: AttributeType.INTS },
            {
              name: 'value',
              type: AttributeType.TENSOR,
              t: { name: 't', dims: [2], dataType: DataType.INT64, int64Data: [-1, 7] },
            },
          ],
        },
        {
          name: 'branch',
          opType: 'If',
          input: ['flag'],
          output: ['y'],
          attribute: [
            {
              name: 'then_branch',
              type: AttributeType.GRAPH,
              g: {
                name: 'then',
                output: [value('t1')],
                node: [{ opType: 'Relu', input: ['c'], output: ['t1'] }],
              },
            },
            {
              name: 'else_branch',
              type: AttributeType.GRAPH,
              g: {
                name: 'else',
                output: [value('e2')],
                initializer: [{ name: 'k', dims: [], dataType: DataType.FLOAT, floatData: [2] }],
                node: [
                  { opType: 'Mul', input: ['x', 'k'], output: ['e1'] },
                  { opType: 'Clip', input: ['e1', '', 'c'], output: ['e2'] },
                ],
              },
            },
          ],
        },
      ],
    },
  };
}

export function encodeModel(model: Model): Uint8Array {
  return new Uint8Array(ModelProto.encode(model).finish());
}

export function decodeModel(bytes: Uint8Array): Record<string, unknown> {
  return ModelProto.toObject(ModelProto.decode(bytes), { longs: String, arrays: true, bytes: Array });
}

/** A model with one initializer and nothing to compute. */
export function modelWithTensor(tensor: onnxProto.onnx.ITensorProto): Uint8Array {
  return encodeModel({ irVersion: 8, opsetImport: [{ version: 17 }], graph: { name: 'g', initializer: [tensor] } });
}
