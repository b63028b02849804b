import { noGradient } from '../../errors.js';
import { elementCount } from '../../ir/tensor.js';
import type { Kernels, Value } from '../kernels.js';
import { multiplyAlong, unpick } from './along-axis.js';
import {
  type AxisResize,
  type Correlation,
  correlationOf,
  pickedBy,
  type Row,
  resizeRows,
  transposedMatrix,
} from './resize-rows.js';
import { type GradientCall, type GradientRule, gradientOf, inputOf, knownOf, type RuleTable } from './rule.js';

const [REGION, SCALES, SIZES] = [1, 2, 3];

/** From this extent on, a convolution is faster than dense products, whose cost grows with the square of the extent. */
const LONG_AXIS = 256;

/** Y interpolates X by a constant matrix along each axis; dX applies the transposed ones to dY. */
const resize: GradientRule = (call) => {
  const { kernels, attributes } = call;
  if (attributes.antialias) throw noGradient('Resize (with antialias)', call.name);
  const [{ shape }, dy] = [inputOf(call, 0), gradientOf(call)];
  const axes = axisResizes(call, shape, dy.shape);
  const rows = axes.map(resizeRows);
  return [repeatGradient(kernels, dy, rows, shape) ?? smoothGradient(kernels, dy, rows, shape) ?? byAxis()];

  function byAxis(): Value {
    return rows.reduce((sum, row, axis) => {
      const picked = pickedBy(row);
      if (picked) return unpick(kernels, sum, axis, picked, shape[axis]);
      const matrix = kernels.floats(transposedMatrix(row, shape[axis]), [shape[axis], row.length]);
      return multiplyAlong(kernels, matrix, sum, axis);
    }, dy);
  }
};

/** Where every element is repeated a whole number of times: sums over the copies. */
function repeatGradient(kernels: Kernels, dy: Value, rows: readonly Row[][], shape: Sizes): Value | undefined {
  const factors = rows.map((row, axis) => row.length / shape[axis]);
  const repeats = rows.every((row, axis) => pickedBy(row)?.every((from, j) => from === Math.floor(j / factors[axis])));
  if (!repeats || !factors.every(Number.isInteger) || !isSpatial(factors)) return undefined;
  const kernel = factors.slice(2);
  const means = kernels.operator('AveragePool', [dy], { kernel_shape: kernel, strides: kernel });
  return kernels.scale(means, elementCount(kernel));
}

/** Where the transposed matrices are correlations of long axes: one depthwise convolution for all axes. */
function smoothGradient(kernels: Kernels, dy: Value, rows: readonly Row[][], shape: Sizes): Value | undefined {
  if (dy.shape.every((size) => size < LONG_AXIS)) return undefined;
  const found = rows.map((row, axis) => correlationOf(row, shape[axis]));
  if (!found.every((correlation) => correlation !== undefined)) return undefined;
  const strides = found.map(({ stride }) => stride);
  if (!isSpatial(strides)) return undefined;
  const ends = found.map(({ kernel, stride, begin }, axis) => {
    return (shape[axis] - 1) * stride + kernel.length - begin - dy.shape[axis];
  });
  const pads = kernels.integers([...found.map(({ begin }) => begin), ...ends]);
  const padded = kernels.operator('Pad', [dy, pads], { mode: 'edge' });
  const weight = depthwiseWeight(kernels, found.slice(2), shape[1]);
  const none = shape.slice(2).map(() => 0);
  return kernels.convolution(padded, weight, undefined, {
    strides: strides.slice(2),
    dilations: none.map(() => 1),
    padsBegin: none,
    padsEnd: none,
    groups: shape[1],
  });
}

/** The outer product of the axes' kernels, for every channel: [channels, 1, k…]. */
function depthwiseWeight(kernels: Kernels, correlations: readonly Correlation[], channels: number): Value {
  const product = correlations.reduce((outer, { kernel }) => outer.flatMap((a) => kernel.map((b) => a * b)), [1]);
  const all = Array.from({ length: channels }, () => product).flat();
  return kernels.floats(all, [channels, 1, ...correlations.map(({ kernel }) => kernel.length)]);
}

type Sizes = readonly number[];

/** Whether batch and channels stay and there are spatial axes to pool. */
function isSpatial(factors: Sizes): boolean {
  return factors.length > 2 && factors[0] === 1 && factors[1] === 1;
}

/** How each axis is interpolated; those that the node does not name are copied. */
function axisResizes(call: GradientCall, shape: Sizes, out: Sizes): AxisResize[] {
  const { attributes } = call;
  const named = (attributes.axes as Sizes | undefined)?.map((axis) => (axis < 0 ? axis + shape.length : axis));
  const axes = named ?? shape.map((_, axis) => axis);
  const scales = scalesOf(call, axes, shape);
  const crops = attributes.coordinate_transformation_mode === 'tf_crop_and_resize';
  const region = crops ? knownOf(call, REGION, 'Resize') : [];
  return shape.map((size, axis) => {
    const at = axes.indexOf(axis);
    const scale = at < 0 ? 1 : scales[at];
    return {
      size,
      out: out[axis],
      scale,
      mode: attributes.mode as AxisResize['mode'],
      // Whatever the coordinates, runtimes copy an axis of scale 1.
      coordinates: at < 0 || scale === 1 ? 'asymmetric' : String(attributes.coordinate_transformation_mode),
      rounding: String(attributes.nearest_mode),
      cubicCoefficient: Number(attributes.cubic_coeff_a),
      excludesOutside: attributes.exclude_outside === 1,
      region: [region[at] ?? 0, region[at + axes.length] ?? 1],
    };
  });
}

/** The scale of each of `axes` in single precision; the sizes ask for it where it is not given. */
function scalesOf(call: GradientCall, axes: Sizes, shape: Sizes): number[] {
  if (call.inputs[SCALES]?.shape[0]) return knownOf(call, SCALES, 'Resize').map(Math.fround);
  const sizes = knownOf(call, SIZES, 'Resize');
  const ratios = axes.map((axis, i) => Math.fround(sizes[i] / shape[axis]));
  const policy = call.attributes.keep_aspect_ratio_policy;
  if (policy === 'stretch') return ratios;
  const scale = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  return axes.map(() => scale);
}

export const resizeRules: RuleTable = { Resize: resize, GridSample: 'unsupported' };
