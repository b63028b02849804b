import proto from 'onnx-proto';
import ort from 'onnxruntime-node';

const { onnx } = proto;
const { AttributeType } = onnx.AttributeProto;

/** A tensor of zeros or of given numbers. */
export interface OracleTensor {
  readonly dims: readonly number[];
  readonly type?: 'float32' | 'int64' | 'bool';
  readonly values?: readonly number[];
}

/** One node; the key of each operand names a tensor of the question, '' an absent one. */
export interface OracleNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | string | readonly number[]>>;
}

export interface OracleAnswer {
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

const CODES = { float32: 1, int64: 7, bool: 9 } as const;

/**
 * What ONNX Runtime really computes: the first output of every node. All nodes stand side by side in one model, so that
 * a grid of hundreds costs one session. Attributes that are no integers must be listed in `floats`.
 */
export async function askOnnxRuntime(
  tensors: Readonly<Record<string, OracleTensor>>,
  nodes: readonly OracleNode[],
  { opset = 19, floats = [] }: { opset?: number; floats?: readonly string[] } = {},
): Promise<OracleAnswer[]> {
  const model = onnx.ModelProto.encode({
    irVersion: 9,
    opsetImport: [{ version: opset }],
    graph: {
      name: 'oracle',
      initializer: Object.entries(tensors).map(([name, tensor]) => initializer(name, tensor)),
      node: nodes.map(({ op, inputs, attributes = {} }, i) => ({
        opType: op,
        name: `node_${i}`,
        input: [...inputs],
        output: [`out_${i}`],
        attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value, floats.includes(name))),
      })),
      output: nodes.map((_, i) => ({ name: `out_${i}` })),
    },
  }).finish();
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 4, graphOptimizationLevel: 'disabled' });
  const results = await session.run({});
  await session.release();
  return nodes.map((_, i) => {
    const { dims, data } = results[`out_${i}`];
    return { dims, values: Array.from(data as Iterable<number | bigint>, Number) };
  });
}

function initializer(name: string, { dims, type = 'float32', values }: OracleTensor): proto.onnx.ITensorProto {
  const count = dims.reduce((product, size) => product * size, 1);
  const numbers = values ?? Array<number>(count).fill(0);
  const array =
    type === 'float32'
      ? Float32Array.from(numbers)
      : type === 'int64'
        ? BigInt64Array.from(numbers, BigInt)
        : Uint8Array.from(numbers);
  return { name, dims: [...dims], dataType: CODES[type], rawData: new Uint8Array(array.buffer) };
}

function attribute(name: string, value: number | string | readonly number[], isFloat: boolean) {
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (typeof value !== 'number') return { name, type: AttributeType.INTS, ints: [...value] };
  return isFloat ? { name, type: AttributeType.FLOAT, f: value } : { name, type: AttributeType.INT, i: value };
}
