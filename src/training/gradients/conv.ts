import type { Resolved } from '../../ops/attributes.js';
import { explicitPads, readWindow, type WINDOW_ATTRIBUTES } from '../../ops/window.js';
import type { Convolution, Value } from '../kernels.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

/** Y = X * W + B: dX is the transposed convolution of dY, dW the correlation of X with dY, dB sums dY. */
const conv: GradientRule = (call) => {
  const { kernels, wanted, collected } = call;
  const [x, weight, dy] = [inputOf(call, 0), inputOf(call, 1), gradientOf(call)];
  const how = convolutionOf(call.attributes, x, weight);
  return [
    wanted[0] ? { summed: kernels.convolutionInputGradient(dy, weight, x, how, collected[0]) } : undefined,
    wanted[1] ? kernels.convolutionWeightGradient(x, dy, weight.shape, how) : undefined,
    wanted[2] ? kernels.channelSums(dy) : undefined,
  ];
};

/** The adjoint of Conv, so that the roles of X and dY are exchanged. */
const convTranspose: GradientRule = (call) => {
  const { kernels, wanted, collected } = call;
  const [x, weight, dy] = [inputOf(call, 0), inputOf(call, 1), gradientOf(call)];
  const how = transposedConvolutionOf(call.attributes, x, weight, call.outputs[0]);
  return [
    wanted[0] ? { summed: kernels.convolution(dy, weight, undefined, how, collected[0]) } : undefined,
    wanted[1] ? kernels.convolutionWeightGradient(dy, x, weight.shape, how) : undefined,
    wanted[2] ? kernels.channelSums(dy) : undefined,
  ];
};

type Attributes = GradientCall['attributes'];

/** How the node slides, with the pads of `auto_pad` written out. */
export function convolutionOf(attributes: Attributes, x: Value, weight: Value): Convolution {
  const window = windowOf(attributes, weight);
  const { begin, end } = explicitPads(window, x.shape.slice(2));
  const { strides, dilations } = window;
  return { strides, dilations, padsBegin: begin, padsEnd: end, groups: attributes.group as number };
}

/**
 * The convolution that the node is the adjoint of, with pads such that it takes `y` to the shape of `x`: what the node
 * cuts off or appends at the end (`output_padding`, `output_shape`) is a matter of the end pads.
 */
export function transposedConvolutionOf(attributes: Attributes, x: Value, weight: Value, y: Value): Convolution {
  const window = windowOf(attributes, weight);
  const { strides, dilations, kernel } = window;
  const total = kernel.map((size, axis) => {
    const reach = (size - 1) * dilations[axis] + 1;
    return (x.shape[axis + 2] - 1) * strides[axis] + reach - y.shape[axis + 2];
  });
  const padsBegin = total.map((pads, axis) => {
    if (window.autoPad === 'NOTSET' && !attributes.output_shape) return window.padsBegin[axis];
    if (window.autoPad === 'SAME_LOWER') return Math.ceil(pads / 2);
    // ONNX, ConvTranspose: with output_shape and no SAME_UPPER, the larger half lies at the begin.
    return window.autoPad === 'SAME_UPPER' ? Math.floor(pads / 2) : Math.ceil(pads / 2);
  });
  const padsEnd = total.map((pads, axis) => pads - padsBegin[axis]);
  return { strides, dilations, padsBegin, padsEnd, groups: attributes.group as number };
}

function windowOf(attributes: Attributes, weight: Value) {
  return readWindow(attributes as Resolved<typeof WINDOW_ATTRIBUTES>, weight.shape.length - 2, weight.shape.slice(2));
}

export const convRules: RuleTable = { Conv: conv, ConvTranspose: convTranspose };
