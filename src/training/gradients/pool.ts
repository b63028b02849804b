import { foreignNode } from '../../ir/graph.js';
import { elementCount } from '../../ir/tensor.js';
import type { Resolved } from '../../ops/attributes.js';
import { explicitPads, readWindow, type WINDOW_ATTRIBUTES, type Window } from '../../ops/window.js';
import { type Convolution, type Kernels, sizeOf, type Value } from '../kernels.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

/** The gradient goes to the largest element of each window; where windows overlap or have pads, to the first of them. */
const maxPool: GradientRule = (call) => {
  const { kernels } = call;
  const [x, dy] = [inputOf(call, 0), gradientOf(call)];
  const window = windowOf(call);
  if (tiles(window, x, dy)) return [kernels.tiledMaxPoolGradient(x, call.outputs[0], dy, window.kernel)];
  const { ceil_mode } = call.attributes;
  const attributes = { ...attributesOf(window), ceil_mode: Number(ceil_mode) };
  const [, indices] = kernels.operators('MaxPool', [x], attributes, 2);
  return [kernels.reshape(scatterSum(kernels, sizeOf(x), indices, dy), x.shape)];
};

/** A vector of zeros to which each update is added at its index. */
function scatterSum(kernels: Kernels, size: number, indices: Value, updates: Value): Value {
  const { builder } = kernels;
  const flat = [sizeOf(updates)];
  const zeros = kernels.expand(kernels.number(0), [size]);
  const inputs = [zeros, kernels.reshape(indices, flat), kernels.reshape(updates, flat)];
  const node = foreignNode({
    op: 'ScatterElements',
    domain: '',
    version: 16,
    inputs: inputs.map((input) => kernels.nameOf(input)),
    outputs: [builder.fresh(`${kernels.scope}scatterelements`)],
    attributes: { reduction: 'add' },
  });
  const [output] = builder.add(node, [{ dtype: updates.dtype, shape: zeros.shape }]);
  return kernels.wrap(output);
}

/** Each dY spreads evenly over what its window has averaged. */
const averagePool: GradientRule = (call) => {
  const { kernels } = call;
  const [x, dy] = [inputOf(call, 0), gradientOf(call)];
  const window = windowOf(call);
  const whole = elementCount(window.kernel);
  if (tiles(window, x, dy)) return [kernels.repeat(kernels.scale(dy, 1 / whole), window.kernel)];
  const counts = countsOf(window, x.shape.slice(2), dy.shape.slice(2), call.attributes.count_include_pad !== 0);
  const isEven = counts.every((count) => count === counts[0]);
  const share = isEven
    ? kernels.number(1 / counts[0])
    : kernels.floats(
        counts.map((count) => 1 / count),
        [1, 1, ...dy.shape.slice(2)],
      );
  return [spread(kernels, kernels.multiply(dy, share), x, window)];
};

/** How many elements each window averages, by output element: never those that ceil_mode adds beyond the end pads. */
function countsOf(window: Window, spatial: Sizes, out: Sizes, withPads: boolean): number[] {
  const { kernel, strides, dilations, padsBegin, padsEnd } = window;
  return out.reduce(
    (outer, size, axis) => {
      const end = padsBegin[axis] + spatial[axis];
      const [low, high] = withPads ? [0, end + padsEnd[axis]] : [padsBegin[axis], end];
      const along = Array.from({ length: size }, (_, j) => {
        const taps = Array.from({ length: kernel[axis] }, (_, k) => j * strides[axis] + k * dilations[axis]);
        return taps.filter((at) => low <= at && at < high).length;
      });
      return outer.flatMap((count) => along.map((inside) => count * inside));
    },
    [1],
  );
}

type Sizes = readonly number[];

/** dX = dY / H·W at every pixel. */
const globalAveragePool: GradientRule = (call) => {
  const { kernels } = call;
  const { shape } = inputOf(call, 0);
  const share = kernels.scale(gradientOf(call), 1 / elementCount(shape.slice(2)));
  return [kernels.expand(share, shape)];
};

/** One window over the whole image. */
const globalMaxPool: GradientRule = (call) => {
  const x = inputOf(call, 0);
  return [call.kernels.tiledMaxPoolGradient(x, call.outputs[0], gradientOf(call), x.shape.slice(2))];
};

/** y = (Σ |x|^p)^(1/p), so that dx = sign(x)·|x|^(p−1) · Σ dy·y^(1−p) over the windows that hold x. */
const lpPool: GradientRule = (call) => {
  const { kernels } = call;
  const x = inputOf(call, 0);
  return [kernels.multiply(powerOf(call, x), spread(kernels, overNorms(call), x, windowOf(call)))];
};

/** As LpPool, with one window over the whole image. */
const globalLpPool: GradientRule = (call) => [call.kernels.multiply(powerOf(call, inputOf(call, 0)), overNorms(call))];

/** sign(x)·|x|^(p−1). */
function powerOf({ kernels, attributes }: GradientCall, x: Value): Value {
  const p = Number(attributes.p);
  if (p === 1) return kernels.operator('Sign', [x]);
  if (p === 2) return x;
  const power = kernels.operator('Pow', [kernels.operator('Abs', [x]), kernels.number(p - 2)]);
  return kernels.multiply(x, power);
}

/** dy·y^(1−p). Where a norm is 0, so is every x that it would multiply; the floor keeps the quotient finite. */
function overNorms(call: GradientCall): Value {
  const { kernels, outputs } = call;
  const p = Number(call.attributes.p);
  if (p === 1) return gradientOf(call);
  const norm = kernels.operator('Max', [outputs[0], kernels.number(1e-10)]);
  return kernels.divide(gradientOf(call), p === 2 ? norm : kernels.operator('Pow', [norm, kernels.number(p - 1)]));
}

/** Adds each element of dy to all that its window holds: the adjoint of summing windows. */
function spread(kernels: Kernels, dy: Value, x: Value, window: Window): Value {
  const channels = x.shape[1];
  const count = channels * elementCount(window.kernel);
  const ones = kernels.floats(new Float32Array(count).fill(1), [channels, 1, ...window.kernel]);
  // The end pads that the last window really reaches; ceil_mode lets it reach beyond those that are stated.
  const padsEnd = window.kernel.map((size, axis) => {
    const reach = (size - 1) * window.dilations[axis] + 1;
    const end = (dy.shape[axis + 2] - 1) * window.strides[axis] + reach;
    return Math.max(0, end - window.padsBegin[axis] - x.shape[axis + 2]);
  });
  const how: Convolution = { ...window, padsEnd, groups: channels };
  return kernels.convolutionInputGradient(dy, ones, x, how);
}

/** Whether the windows lie side by side and cover the input exactly. */
function tiles({ kernel, strides, dilations, padsBegin }: Window, x: Value, y: Value): boolean {
  return kernel.every(
    (size, axis) =>
      size === strides[axis] &&
      (size === 1 || dilations[axis] === 1) &&
      padsBegin[axis] === 0 &&
      x.shape[axis + 2] === y.shape[axis + 2] * size,
  );
}

/** How the node slides, with the pads of `auto_pad` written out. */
function windowOf(call: GradientCall): Window {
  const { shape } = inputOf(call, 0);
  const window = readWindow(call.attributes as Resolved<typeof WINDOW_ATTRIBUTES>, shape.length - 2);
  const { begin, end } = explicitPads(window, shape.slice(2));
  return { ...window, padsBegin: begin, padsEnd: end, autoPad: 'NOTSET' };
}

function attributesOf({ kernel, strides, dilations, padsBegin, padsEnd }: Window) {
  return { kernel_shape: kernel, strides, dilations, pads: [...padsBegin, ...padsEnd] };
}

export const poolRules: RuleTable = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  LpPool: lpPool,
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
  GlobalLpPool: globalLpPool,
};
