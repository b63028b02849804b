import { Builder, type Offset } from 'flatbuffers';

/** Numbers of the TFLite schema. */
export const TYPES = { float32: 0, float16: 1, int32: 2, uint8: 3, int64: 4, string: 5, bool: 6, int16: 7, int8: 9 };
export const OPERATORS = { ADD: 0, CONCATENATION: 2, CONV_2D: 3, DEQUANTIZE: 6, RESHAPE: 22, CUSTOM: 32, GATHER: 36 };
const OPTIONS = { CONV_2D: 1, CONCATENATION: 10, ADD: 11 };

interface TinyTensor {
  name: string;
  shape: number[];
  type?: number;
  /** A constant has data. */
  data?: ArrayBufferView;
  /** Open dimensions are -1 here. */
  openShape?: number[];
  quantization?: { scale: number; zeroPoint: number };
}

interface TinyOperator {
  code: number;
  version?: number;
  customName?: string;
  /** Places in the list of tensors; -1 stands for none. */
  inputs: number[];
  outputs: number[];
  options?: { type: number; fields: ['int8' | 'int32', number][] };
}

export interface TinyGraph {
  tensors: TinyTensor[];
  operators: TinyOperator[];
  inputs: number[];
  outputs: number[];
  /** Names of the inputs and outputs in a signature of the file. */
  signature?: { inputs: string[]; outputs: string[] };
}

/** A TFLite file. */
export function tfliteFile({ tensors, operators, inputs, outputs, signature }: TinyGraph): Uint8Array {
  const builder = new Builder();
  builder.forceDefaults(true);
  const table = (...fields: Field[]) => writeTable(builder, fields);
  const offsets = (list: Offset[]) => writeVector(builder, list, (offset) => builder.addOffset(offset));
  const integers = (list: number[]) => writeVector(builder, list, (value) => builder.addInt32(value));
  const text = (value: string) => builder.createString(value);

  const constants = tensors.flatMap(({ data }) => (data === undefined ? [] : [data]));
  const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => {
    builder.startVector(1, byteLength, 16);
    for (const byte of new Uint8Array(buffer, byteOffset, byteLength).reverse()) builder.addInt8(byte);
    return builder.endVector();
  };
  const buffers = [table(), ...constants.map((data) => table([0, 'offset', bytesOf(data)]))];
  const tensorTables = tensors.map(({ name, shape, type = TYPES.float32, data, openShape, quantization }) =>
    table(
      [0, 'offset', integers(shape)],
      [1, 'int8', type],
      [2, 'int32', data === undefined ? 0 : 1 + constants.indexOf(data)],
      [3, 'offset', text(name)],
      [4, 'offset', quantization === undefined ? 0 : writeQuantization(builder, quantization)],
      [7, 'offset', openShape === undefined ? 0 : integers(openShape)],
    ),
  );
  const operatorTables = operators.map(({ inputs, outputs, options }, index) =>
    table(
      [0, 'int32', index],
      [1, 'offset', integers(inputs)],
      [2, 'offset', integers(outputs)],
      [3, 'int8', options?.type ?? 0],
      [
        4,
        'offset',
        options === undefined ? 0 : table(...options.fields.map(([kind, value], slot): Field => [slot, kind, value])),
      ],
    ),
  );
  const codes = operators.map(({ code, version = 1, customName }) =>
    table(
      [0, 'int8', Math.min(code, 127)],
      [1, 'offset', customName === undefined ? 0 : text(customName)],
      [2, 'int32', version],
      [3, 'int32', code],
    ),
  );
  const graph = table(
    [0, 'offset', offsets(tensorTables)],
    [1, 'offset', integers(inputs)],
    [2, 'offset', integers(outputs)],
    [3, 'offset', offsets(operatorTables)],
  );
  const named = (names: string[], places: number[]) =>
    offsets(names.map((name, index) => table([0, 'offset', text(name)], [1, 'int32', places[index]])));
  const signatures = signature && [
    table(
      [0, 'offset', named(signature.inputs, inputs)],
      [1, 'offset', named(signature.outputs, outputs)],
      [2, 'offset', text('serving_default')],
      [4, 'int32', 0],
    ),
  ];
  const model = table(
    [0, 'int32', 3],
    [1, 'offset', offsets(codes)],
    [2, 'offset', offsets([graph])],
    [4, 'offset', offsets(buffers)],
    [7, 'offset', signatures ? offsets(signatures) : 0],
  );
  builder.finish(model, 'TFL3');
  return builder.asUint8Array();
}

type Field = [slot: number, kind: 'int8' | 'int32' | 'offset', value: number];

function writeTable(builder: Builder, fields: readonly Field[]): Offset {
  builder.startObject(Math.max(0, ...fields.map(([slot]) => slot + 1)));
  for (const [slot, kind, value] of fields) {
    if (kind === 'int8') builder.addFieldInt8(slot, value, 0);
    else if (kind === 'int32') builder.addFieldInt32(slot, value, 0);
    else if (value !== 0) builder.addFieldOffset(slot, value, 0);
  }
  return builder.endObject();
}

function writeVector(builder: Builder, list: readonly number[], add: (value: number) => void): Offset {
  builder.startVector(4, list.length, 4);
  for (const value of list.toReversed()) add(value);
  return builder.endVector();
}

function writeQuantization(builder: Builder, { scale, zeroPoint }: { scale: number; zeroPoint: number }): Offset {
  builder.startVector(4, 1, 4);
  builder.addFloat32(scale);
  const scales = builder.endVector();
  builder.startVector(8, 1, 8);
  builder.addInt64(BigInt(zeroPoint));
  return writeTable(builder, [
    [2, 'offset', scales],
    [3, 'offset', builder.endVector()],
  ]);
}

/** Stride 1, padding SAME. */
const CONV_OPTIONS: TinyOperator['options'] = {
  type: OPTIONS.CONV_2D,
  fields: [
    ['int8', 0],
    ['int32', 1],
    ['int32', 1],
    ['int8', 0],
    ['int32', 1],
    ['int32', 1],
  ],
};

/**
 * One 3x3 convolution from `x` [1,height,width,1] to `y` [1,height,width,1], every weight 1 and the bias 0.5. The weights
 * are halves with a DEQUANTIZE behind them if `half` is set.
 */
export function convGraph(height: number, width: number, { half = false } = {}): TinyGraph {
  const weights = { name: 'weights', shape: [1, 3, 3, 1] };
  const tensors: TinyTensor[] = [
    { name: 'x', shape: [1, height, width, 1] },
    half ? weights : { ...weights, data: new Float32Array(9).fill(1) },
    { name: 'bias', shape: [1], data: Float32Array.of(0.5) },
    { name: 'y', shape: [1, height, width, 1] },
  ];
  const operators: TinyOperator[] = [
    { code: OPERATORS.CONV_2D, inputs: [0, 1, 2], outputs: [3], options: CONV_OPTIONS },
  ];
  if (half) {
    tensors.push({ name: 'halves', shape: [1, 3, 3, 1], type: TYPES.float16, data: new Uint16Array(9).fill(0x3c00) });
    operators.unshift({ code: OPERATORS.DEQUANTIZE, version: 3, inputs: [4], outputs: [1] });
  }
  return { tensors, operators, inputs: [0], outputs: [3] };
}

/** The sum `y` of `a` and `b`, whose shapes may not go together. */
export function addGraph(a: number[], b: number[], y: number[] = a): TinyGraph {
  return {
    tensors: [
      { name: 'a', shape: a },
      { name: 'b', shape: b },
      { name: 'y', shape: y },
    ],
    operators: [
      { code: OPERATORS.ADD, inputs: [0, 1], outputs: [2], options: { type: OPTIONS.ADD, fields: [['int8', 0]] } },
    ],
    inputs: [0, 1],
    outputs: [2],
  };
}

/** Passes `in_<type>` [2,3] on as `out_<type>` [3,2], for each type. */
export function reshapeGraph(types: readonly (keyof typeof TYPES)[]): TinyGraph {
  const pairs = types.flatMap((type): TinyTensor[] => [
    { name: `in_${type}`, shape: [2, 3], type: TYPES[type] },
    { name: `out_${type}`, shape: [3, 2], type: TYPES[type] },
  ]);
  const shape = pairs.length;
  const inputs = types.map((_, index) => 2 * index);
  return {
    tensors: [...pairs, { name: 'shape', shape: [2], type: TYPES.int32, data: Int32Array.of(3, 2) }],
    operators: inputs.map((input) => ({ code: OPERATORS.RESHAPE, inputs: [input, shape], outputs: [input + 1] })),
    inputs,
    outputs: inputs.map((input) => input + 1),
  };
}
