import { Tensor } from '../../ir/tensor.js';
import { readWindow, type Window } from '../../ops/window.js';
import type { NodeLowering } from './node-lowering.js';

/** A convolution as the kernels want it: the window without dilation where that cannot be said, weights [O, I/groups, k…]. */
export interface Kernel {
  readonly window: Window;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly groups: number;
}

export function readKernel(node: NodeLowering, rank: number): Kernel {
  if (rank > 3) node.fail(`it has ${rank} spatial axes; at most 3 are possible`);
  const weight = node.requireConstant(1);
  const bias = node.has(2) ? node.requireConstant(2) : undefined;
  const window = readWindow(node.attributes as never, rank, weight.shape.slice(2));
  return { window, weight, bias, groups: node.number('group') };
}

/** One spatial axis of extent 1 put before the only one of a 1-D weight. */
export function widened(weight: Tensor, spatialRank: number): Tensor {
  const [o, i, ...kernel] = weight.shape;
  return kernel.length < spatialRank ? weight.reshape([o, i, 1, ...kernel]) : weight;
}

/** Slices of the channels, each on its own, joined again. */
export function perGroup(
  node: NodeLowering,
  x: string,
  groups: number,
  make: (part: string, group: number) => string,
): string {
  const shape = node.shapeOf(x);
  const axis = shape.length - 1;
  const width = shape[axis] / groups;
  const parts = Array.from({ length: groups }, (_, group) => {
    const begin = shape.map((_, i) => (i === axis ? group * width : 0));
    return make(
      node.slice(
        x,
        begin,
        shape.map((size, i) => (i === axis ? width : size)),
      ),
      group,
    );
  });
  return node.concat(parts, axis);
}

/** The same kernel with its holes written out as zeros. */
export function withoutDilation(kernel: Kernel): Kernel {
  const { window, weight } = kernel;
  if (window.dilations.every((dilation) => dilation === 1)) return kernel;
  const reach = window.kernel.map((size, axis) => (size - 1) * window.dilations[axis] + 1);
  return {
    ...kernel,
    weight: scattered(weight, reach, window.dilations),
    window: { ...window, kernel: reach, dilations: reach.map(() => 1) },
  };
}

/** The weight in a larger kernel, its taps `steps` apart from the first corner on, zeros elsewhere. */
export function scattered(weight: Tensor, kernel: readonly number[], steps: readonly number[]): Tensor {
  const [o, i, ...small] = weight.shape;
  const values = weight.toFloat32();
  const taps = small.reduce((product, size) => product * size, 1);
  const places = Array.from({ length: taps }, (_, tap) => {
    let rest = tap;
    let place = 0;
    let stride = 1;
    for (let axis = small.length - 1; axis >= 0; axis--) {
      place += (rest % small[axis]) * steps[axis] * stride;
      rest = Math.floor(rest / small[axis]);
      stride *= kernel[axis];
    }
    return place;
  });
  const size = kernel.reduce((product, extent) => product * extent, 1);
  const result = new Float32Array(o * i * size);
  for (let filter = 0; filter < o * i; filter++)
    for (let tap = 0; tap < taps; tap++) result[filter * size + places[tap]] = values[filter * taps + tap];
  return Tensor.encode(weight.dtype === 'f16' ? 'f16' : 'f32', [o, i, ...kernel], result);
}

/** The weight [I, O/groups, k…] of a transposed convolution with groups as one without, of zeros between the groups. */
export function ungrouped(weight: Tensor, groups: number): Tensor {
  const [inputs, perGroup, ...kernel] = weight.shape;
  const block = kernel.reduce((product, size) => product * size, perGroup);
  const values = weight.toFloat32();
  const result = new Float32Array(inputs * groups * block);
  for (let input = 0; input < inputs; input++) {
    const group = Math.floor(input / (inputs / groups));
    result.set(values.subarray(input * block, (input + 1) * block), (input * groups + group) * block);
  }
  return Tensor.encode(weight.dtype === 'f16' ? 'f16' : 'f32', [inputs, groups * perGroup, ...kernel], result);
}
