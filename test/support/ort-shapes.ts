import proto from 'onnx-proto';
import ort from 'onnxruntime-node';
import type { AttributeValue } from '../../src/ir/graph.js';
import type { Tensor } from '../../src/ir/tensor.js';
import type { NodeCase } from './run-node.js';

const { onnx } = proto;
const { AttributeType } = onnx.AttributeProto;

/**
 * The shape of the first output that ONNX Runtime computes for each case. All nodes stand side by side in one model, so
 * that a grid of thousands costs one session; one case that fails therefore fails all. Operands are f32 or i64,
 * attributes integers or strings.
 */
export async function shapesInOnnxRuntime(cases: readonly NodeCase[], opset = 21): Promise<(readonly number[])[]> {
  const names = new Map<Tensor, string>();
  for (const tensor of cases.flatMap(({ inputs }) => inputs))
    if (tensor && !names.has(tensor)) names.set(tensor, `in_${names.size}`);
  const model = onnx.ModelProto.encode({
    irVersion: 10,
    opsetImport: [{ version: opset }],
    graph: {
      name: 'grid',
      initializer: [...names].map(([tensor, name]) => ({
        name,
        dims: [...tensor.shape],
        dataType: tensor.dtype === 'i64' ? onnx.TensorProto.DataType.INT64 : onnx.TensorProto.DataType.FLOAT,
        rawData: tensor.toBytes(),
      })),
      node: cases.map(({ op, inputs, attributes = {} }, i) => ({
        opType: op,
        input: inputs.map((tensor) => (tensor && names.get(tensor)) ?? ''),
        output: [`out_${i}`],
        attribute: Object.entries(attributes).map(([name, held]) => attribute(name, held)),
      })),
      output: cases.map((_, i) => ({ name: `out_${i}` })),
    },
  }).finish();
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 4, graphOptimizationLevel: 'disabled' });
  const results = await session.run({});
  await session.release();
  return cases.map((_, i) => results[`out_${i}`].dims);
}

function attribute(name: string, held: AttributeValue): proto.onnx.IAttributeProto {
  if (typeof held === 'string') return { name, type: AttributeType.STRING, s: new TextEncoder().encode(held) };
  if (typeof held === 'number') return { name, type: AttributeType.INT, i: held };
  return { name, type: AttributeType.INTS, ints: [...(held as readonly number[])] };
}
