import proto from 'onnx-proto';
import ort from 'onnxruntime-node';
import type { Attributes, AttributeValue } from '../../src/ir/graph.js';
import type { Call, Operand } from '../../src/ir/semantics.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { DataType, KnownValue, ValueType } from '../../src/ir/types.js';
import { semantics } from '../../src/ops/index.js';

const { onnx } = proto;
const { AttributeType } = onnx.AttributeProto;

/** ONNX's number and ONNX Runtime's name of the element types that these tests use. */
const TYPES: Partial<Record<DataType, [code: number, name: string]>> = {
  f32: [1, 'float32'],
  u8: [2, 'uint8'],
  i8: [3, 'int8'],
  i32: [6, 'int32'],
  i64: [7, 'int64'],
  bool: [9, 'bool'],
};

/** One node with tensors for operands (undefined where an optional one is absent). */
export interface NodeCase {
  readonly op: string;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attributes?: Attributes;
  readonly outputCount?: number;
  /** Attributes that are floats although their value may be a whole number. */
  readonly floats?: readonly string[];
}

/** What ONNX Runtime computes for the node; rejects where it refuses it. */
export async function runNode({ op, inputs, attributes = {}, outputCount = 1, floats = [] }: NodeCase) {
  const present = inputs.flatMap((tensor, i) => (tensor ? [{ tensor, name: `in_${i}` }] : []));
  const outputs = Array.from({ length: outputCount }, (_, i) => `out_${i}`);
  const model = onnx.ModelProto.encode({
    irVersion: 10,
    opsetImport: [{ version: 21 }],
    graph: {
      name: 'node',
      initializer: present.map(({ tensor, name }) => initializer(name, tensor)),
      node: [
        {
          opType: op,
          input: inputs.map((tensor, i) => (tensor ? `in_${i}` : '')),
          output: outputs,
          attribute: Object.entries(attributes).map(([name, held]) => attribute(name, held, floats.includes(name))),
        },
      ],
      output: outputs.map((name) => ({ name })),
    },
  }).finish();
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 4, graphOptimizationLevel: 'disabled' });
  const results = await session.run({});
  await session.release();
  return outputs.map((name) => tensorOf(results[name]));
}

function tensorOf({ type, dims, data }: ort.Tensor): Tensor {
  const entry = Object.entries(TYPES).find(([, [, name]]) => name === type);
  if (!entry) throw new Error(`no element type is called ${type}`);
  return Tensor.encode(entry[0] as DataType, dims, Array.from(data as Iterable<number | bigint>, Number));
}

function initializer(name: string, tensor: Tensor): proto.onnx.ITensorProto {
  return { name, dims: [...tensor.shape], dataType: TYPES[tensor.dtype]?.[0], rawData: tensor.toBytes() };
}

function attribute(name: string, held: AttributeValue, isFloat: boolean): proto.onnx.IAttributeProto {
  if (held instanceof Tensor) return { name, type: AttributeType.TENSOR, t: initializer('', held) };
  if (typeof held === 'string') return { name, type: AttributeType.STRING, s: new TextEncoder().encode(held) };
  if (typeof held !== 'number') return { name, type: AttributeType.INTS, ints: [...(held as number[])] };
  return isFloat ? { name, type: AttributeType.FLOAT, f: held } : { name, type: AttributeType.INT, i: held };
}

/** An operand of the given type without known elements. */
export function unknown(name: string, shape: ValueType['shape'], dtype: DataType | null = 'f32'): Operand {
  return { name, type: { dtype, shape }, known: () => undefined };
}

/** A computed operand whose elements are known, some of them as symbols. */
export function computed(name: string, elements: KnownValue['elements']): Operand {
  const known = { shape: [elements.length], elements };
  return { name, type: { dtype: 'i64', shape: known.shape }, known: () => known };
}

/** A constant operand. */
export function constant(name: string, tensor: Tensor): Operand {
  const known = { shape: tensor.shape, elements: Array.from(tensor.toNumbers() as ArrayLike<number>) };
  return { name, type: { dtype: tensor.dtype, shape: tensor.shape }, known: () => known, constant: tensor };
}

/** What the operator table infers for one node. */
export function inferNode(
  op: string,
  inputs: Call['inputs'],
  attributes: Attributes = {},
  outputCount = 1,
): ReturnType<typeof semantics.infer> {
  return semantics.infer(op, { inputs, attributes, outputCount });
}

/** The table's answer for a case whose operands are constants. */
export function inferCase({ op, inputs, attributes, outputCount }: NodeCase): ReturnType<typeof semantics.infer> {
  const operands = inputs.map((tensor, i) => tensor && constant(`in_${i}`, tensor));
  return inferNode(op, operands, attributes, outputCount);
}

/** 0, 1, 2, … in the given shape. */
export function counting(shape: readonly number[], dtype: DataType = 'f32'): Tensor {
  const size = shape.reduce((product, extent) => product * extent, 1);
  return Tensor.encode(
    dtype,
    shape,
    Array.from({ length: size }, (_, i) => i),
  );
}

export function integers(...values: number[]): Tensor {
  return Tensor.integers(values);
}
