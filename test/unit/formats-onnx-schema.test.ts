import onnxProto from 'onnx-proto';
import { expect, test } from 'vitest';
import { AttributeType, DATA_TYPES } from '../../src/formats/onnx/schema.js';

test('the enumerations are those of onnx-proto', () => {
  expect({ ...AttributeType }).toEqual({ ...onnxProto.onnx.AttributeProto.AttributeType });
  const named = Object.entries(onnxProto.onnx.TensorProto.DataType).filter(([name]) => name !== 'UNDEFINED');
  for (const [name, code] of named) expect([name, DATA_TYPES.get(code as number)?.name]).toEqual([name, name]);
});
