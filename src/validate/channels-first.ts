import type { Runner, TensorData, Tensors, ValueInfo } from '../runtime/runner.js';
import { elementCount, TENSOR_ARRAYS } from '../runtime/runner.js';

/**
 * A runner of an artefact that has its channels last, seen with the channels first that the model has. Only `run` and
 * `info` change: what is timed takes the artefact's own inputs.
 *
 * @param moved the inputs and outputs whose channels were moved
 */
export function withChannelsFirst<R extends Pick<Runner, 'info' | 'run'>>(runner: R, moved: ReadonlySet<string>): R {
  if (moved.size === 0) return runner;
  const seen = (info: ValueInfo): ValueInfo => (moved.has(info.name) ? { ...info, shape: toFirst(info.shape) } : info);
  const convert = (tensors: Tensors, move: (tensor: TensorData) => TensorData): Tensors =>
    Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name, moved.has(name) ? move(tensor) : tensor]),
    );
  return {
    ...runner,
    info: { ...runner.info, inputs: runner.info.inputs.map(seen), outputs: runner.info.outputs.map(seen) },
    async run(inputs: Tensors) {
      return convert(await runner.run(convert(inputs, channelsLast)), channelsFirst);
    },
  };
}

function toFirst<T>([batch, ...rest]: readonly T[]): T[] {
  return [batch!, rest[rest.length - 1]!, ...rest.slice(0, -1)];
}

function toLast<T>([batch, channels, ...spatial]: readonly T[]): T[] {
  return [batch!, ...spatial, channels!];
}

/** [N, C, …] as [N, …, C]. */
function channelsLast(tensor: TensorData): TensorData {
  const [batch = 1, channels = 1, ...spatial] = tensor.dims;
  return regrouped(tensor, toLast(tensor.dims), batch, channels, elementCount(spatial));
}

/** [N, …, C] as [N, C, …]. */
function channelsFirst(tensor: TensorData): TensorData {
  const [batch = 1, channels = 1, ...spatial] = toFirst(tensor.dims);
  return regrouped(tensor, toFirst(tensor.dims), batch, elementCount(spatial), channels);
}

/** Every image a matrix [rows, columns] that is transposed. */
function regrouped(
  { type, data }: TensorData,
  dims: number[],
  batch: number,
  rows: number,
  columns: number,
): TensorData {
  const moved = new TENSOR_ARRAYS[type](data.length as never) as TensorData['data'];
  for (let image = 0; image < batch; image++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const start = image * rows * columns;
        moved[start + column * rows + row] = data[start + row * columns + column]!;
      }
  // The table pairs each type with its array, which the compiler cannot follow.
  return { type, dims, data: moved } as TensorData;
}
