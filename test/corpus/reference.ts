import { readFileSync } from 'node:fs';
import ort from 'onnxruntime-node';
import { type NpyArray, parseNpz } from '../../src/formats/npy.js';

/** What a model of the corpus was seen to make of an input. */
export interface Reference {
  readonly input: NpyArray;
  /** Every `strides[axis]`-th element of the output along each axis. */
  readonly output: NpyArray;
  readonly strides: ArrayLike<number>;
}

/** The pair beside a model: x, y and, where y was thinned out to keep the file small, its strides. */
export function referenceBeside(model: string): Reference {
  const file = model.replace(/\.onnx$/, '.io.npz');
  const arrays = parseNpz(readFileSync(file), file);
  const [input, output] = ['x', 'y'].map((name) => arrays.get(name) as NpyArray);
  return { input, output, strides: arrays.get('y_stride')?.data ?? output.shape.map(() => 1) };
}

/** Runs a model of one input and one output. */
export async function runModel(model: Uint8Array, input: NpyArray): Promise<NpyArray> {
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 4 });
  const tensor = new ort.Tensor('float32', Float32Array.from(input.data), input.shape);
  const results = await session.run({ [session.inputNames[0]]: tensor });
  await session.release();
  const { dims, data } = results[session.outputNames[0]];
  return { shape: [...dims], data: data as Float32Array };
}

/** How many elements a strided view leaves along each axis. */
export function stridedShape(shape: readonly number[], strides: ArrayLike<number>): number[] {
  return shape.map((extent, axis) => Math.ceil(extent / strides[axis]));
}

/** The largest difference at the elements that the reference has, as a part of its range. */
export function differenceTo({ output, strides }: Reference, { shape, data }: NpyArray): number {
  const counts = stridedShape(shape, strides);
  if (counts.join() !== output.shape.join()) return Number.POSITIVE_INFINITY;
  let [low, high, worst] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  output.data.forEach((value, flat) => {
    let [rest, place, step] = [flat, 0, 1];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += (rest % counts[axis]) * strides[axis] * step;
      rest = Math.floor(rest / counts[axis]);
      step *= shape[axis];
    }
    low = Math.min(low, value);
    high = Math.max(high, value);
    worst = Math.max(worst, Math.abs(value - data[place]));
  });
  return worst / (high - low);
}
