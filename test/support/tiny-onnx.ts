import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import proto from 'onnx-proto';

const { onnx } = proto;
type Dims = (number | string)[];
type ValueSpec = [name: string, type: number, dims: Dims];

/** ONNX element types by number, under the names that runners use. */
export const ELEMENT_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
} as const;

function value([name, elemType, dims]: ValueSpec) {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

function writeModel(
  file: string,
  inputs: ValueSpec[],
  outputs: ValueSpec[],
  graph: Omit<proto.onnx.IGraphProto, 'input' | 'output' | 'name'>,
): string {
  const model = onnx.ModelProto.create({
    irVersion: 8,
    opsetImport: [{ version: 13 }],
    graph: { name: 'tiny', input: inputs.map(value), output: outputs.map(value), ...graph },
  });
  writeFileSync(file, onnx.ModelProto.encode(model).finish());
  return file;
}

const FLOAT = ELEMENT_TYPES.float32;

/**
 * One 3x3 convolution from `x` [n,1,h,w] to `y` [n,channels,h,w] without a bias. Every weight is 1, so that an output
 * inside the image is the sum of its nine neighbours. With `beside` the weights lie in that file beside the model.
 */
export function writeConvModel(file: string, { channels = 1, beside }: { channels?: number; beside?: string } = {}) {
  const weights = Buffer.from(new Float32Array(channels * 9).fill(1).buffer);
  if (beside !== undefined) writeFileSync(join(dirname(file), beside), weights);
  const location =
    beside === undefined
      ? { rawData: weights }
      : { dataLocation: onnx.TensorProto.DataLocation.EXTERNAL, externalData: [{ key: 'location', value: beside }] };
  return writeModel(file, [['x', FLOAT, ['n', 1, 'h', 'w']]], [['y', FLOAT, ['n', channels, 'h', 'w']]], {
    initializer: [{ name: 'weight', dims: [channels, 1, 3, 3], dataType: FLOAT, ...location }],
    node: [
      {
        name: 'convolution',
        opType: 'Conv',
        input: ['x', 'weight'],
        output: ['y'],
        attribute: [{ name: 'pads', type: onnx.AttributeProto.AttributeType.INTS, ints: [1, 1, 1, 1] }],
      },
    ],
  });
}

/** For each element type an input `in_<type>` of shape [2,3] and its copy `out_<type>`. */
export function writeIdentityModel(file: string, types: (keyof typeof ELEMENT_TYPES)[]) {
  const spec = (side: string) => types.map((type): ValueSpec => [`${side}_${type}`, ELEMENT_TYPES[type], [2, 3]]);
  return writeModel(file, spec('in'), spec('out'), {
    node: types.map((type) => ({ opType: 'Identity', input: [`in_${type}`], output: [`out_${type}`] })),
  });
}

/** y = x + x + ... `repeats` times over, in a loop of the runtime: as slow as one likes, without memory. */
export function writeLoopModel(file: string, repeats: number) {
  const scalar = (name: string, dataType: number, rawData: Uint8Array) => ({ name, dims: [], dataType, rawData });
  return writeModel(file, [['x', FLOAT, [1]]], [['y', FLOAT, [1]]], {
    initializer: [
      scalar('repeats', ELEMENT_TYPES.int64, Buffer.from(BigInt64Array.of(BigInt(repeats)).buffer)),
      scalar('go_on', ELEMENT_TYPES.bool, Uint8Array.of(1)),
    ],
    node: [
      {
        name: 'loop',
        opType: 'Loop',
        input: ['repeats', 'go_on', 'x'],
        output: ['y'],
        attribute: [{ name: 'body', type: onnx.AttributeProto.AttributeType.GRAPH, g: loopBody() }],
      },
    ],
  });
}

function loopBody(): proto.onnx.IGraphProto {
  const body = (spec: ValueSpec[]) => spec.map(value);
  return {
    name: 'body',
    input: body([
      ['iteration', ELEMENT_TYPES.int64, []],
      ['go', ELEMENT_TYPES.bool, []],
      ['carried', FLOAT, [1]],
    ]),
    output: body([
      ['go_again', ELEMENT_TYPES.bool, []],
      ['next', FLOAT, [1]],
    ]),
    node: [
      { opType: 'Identity', input: ['go'], output: ['go_again'] },
      { opType: 'Add', input: ['carried', 'carried'], output: ['next'] },
    ],
  };
}
