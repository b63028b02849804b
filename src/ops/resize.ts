import { badNode } from '../errors.js';
import { differ, floorDivide, formatShape, multiplyDims } from '../ir/dims.js';
import type { Operand } from '../ir/semantics.js';
import type { Dim, Shape } from '../ir/types.js';
import type { AttributeTable, Resolved } from './attributes.js';
import { alignedTies } from './broadcast.js';
import {
  axisOf,
  defineOp,
  extent,
  type NarrowCall,
  normalizeAxis,
  operand,
  shapeOf,
  type Tie,
  type TieCall,
} from './op.js';
import { imageTies, sameType } from './pointwise.js';

const RESIZE_ATTRIBUTES = {
  antialias: { kind: 'int', default: 0 },
  axes: { kind: 'ints' },
  coordinate_transformation_mode: { kind: 'string', default: 'half_pixel' },
  cubic_coeff_a: { kind: 'float', default: -0.75 },
  exclude_outside: { kind: 'int', default: 0 },
  extrapolation_value: { kind: 'float', default: 0 },
  keep_aspect_ratio_policy: { kind: 'string', default: 'stretch' },
  mode: { kind: 'string', default: 'nearest' },
  nearest_mode: { kind: 'string', default: 'round_prefer_floor' },
} as const satisfies AttributeTable;

type ResizeAttributes = Resolved<typeof RESIZE_ATTRIBUTES>;

/** What the string attributes may be. */
const CHOICES = {
  coordinate_transformation_mode: [
    'half_pixel',
    'half_pixel_symmetric',
    'pytorch_half_pixel',
    'align_corners',
    'asymmetric',
    'tf_crop_and_resize',
  ],
  keep_aspect_ratio_policy: ['stretch', 'not_larger', 'not_smaller'],
  mode: ['nearest', 'linear', 'cubic'],
  nearest_mode: ['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'],
} as const;

const [SCALES, SIZES] = [2, 3];

/** Interpolates at other sizes of the axes `axes` (all where not given), by `scales` or to `sizes`. */
const resize = defineOp({
  name: 'Resize',
  inputs: [
    { name: 'X' },
    { name: 'roi', optional: true },
    { name: 'scales', optional: true },
    { name: 'sizes', optional: true },
  ],
  outputs: ['Y'],
  attributes: RESIZE_ATTRIBUTES,
  infer(call, attributes) {
    for (const [name, choices] of Object.entries(CHOICES) as [keyof typeof CHOICES, readonly string[]][])
      if (!choices.includes(attributes[name]))
        throw badNode(`attribute '${name}' is '${attributes[name]}'; possible are ${choices.join(', ')}`);
    const scales = given(call, SCALES);
    const sizes = given(call, SIZES);
    if (scales ? sizes : !sizes) throw badNode("needs either input 'scales' or input 'sizes', not both");
    const { dtype, shape } = sameType(call);
    if (!shape) return [{ dtype, shape }];
    const axes = resizedAxes(attributes, shape);
    const resized = sizes ? toSizes(shape, axes, sizes, attributes) : byScales(shape, axes, operand(call, SCALES));
    return [{ dtype, shape: resized }];
  },
  ties(call, attributes) {
    const { shape } = operand(call, 0).type;
    return (shape ?? []).flatMap((_, axis) => axisTies(call, attributes, axis));
  },
  narrow: (call, attributes) => ({ elements: thinnedSizes(call, attributes) }),
});

/** A grid of positions in [−1, 1] reads the image anywhere; output position and input position are not coupled. */
const gridSample = defineOp({
  name: 'GridSample',
  inputs: [{ name: 'X' }, { name: 'grid' }],
  outputs: ['Y'],
  attributes: {
    align_corners: { kind: 'int', default: 0 },
    mode: { kind: 'string', default: 'linear' },
    padding_mode: { kind: 'string', default: 'zeros' },
  },
  facts: ['zero-preserving', 'positively-homogeneous'],
  infer(call, { mode, padding_mode }) {
    // Opset 16 spelled two of the modes otherwise.
    if (!['linear', 'nearest', 'cubic', 'bilinear', 'bicubic'].includes(mode))
      throw badNode(`attribute 'mode' is '${mode}'; possible are linear, nearest, cubic`);
    if (!['zeros', 'border', 'reflection'].includes(padding_mode))
      throw badNode(`attribute 'padding_mode' is '${padding_mode}'; possible are zeros, border, reflection`);
    const { dtype, shape } = sameType(call);
    const grid = shapeOf(call, 1, shape?.length);
    if (!shape || !grid) return [{ dtype, shape: null }];
    if (shape.length < 3 || differ(shape[0], grid[0]) || differ(grid[grid.length - 1], shape.length - 2))
      throw badNode(
        `the grid of shape ${formatShape(grid)} holds no ${shape.length - 2}-D positions for the input's shape ${formatShape(shape)}`,
      );
    return [{ dtype, shape: [shape[0], shape[1], ...grid.slice(1, -1)] }];
  },
  ties(call) {
    const batchOfGrid = alignedTies(operand(call, 1), call.outputs[0]).filter(
      (tie) => tie.kind === 'same' && tie.a.axis === 0,
    );
    return [...imageTies(call), ...batchOfGrid];
  },
});

export const resizeOps = [resize, gridSample];

/** An operand that is there; files write an empty tensor for an absent one. */
function given(call: { readonly inputs: readonly (Operand | undefined)[] }, index: number): Operand | undefined {
  const found = call.inputs[index];
  return found?.type.shape?.[0] === 0 ? undefined : found;
}

/** The axis that each entry of `scales` or `sizes` stands for. */
function resizedAxes({ axes }: ResizeAttributes, shape: Shape): readonly number[] {
  const resized = axes?.map((axis) => normalizeAxis(axis, shape.length)) ?? shape.map((_, axis) => axis);
  if (new Set(resized).size !== resized.length) throw badNode(`attribute 'axes' names an axis twice: [${axes}]`);
  return resized;
}

/** The entries of an operand, as texts of their own where they are unknown. */
function entries({ name, type, known }: Operand, count: number): readonly Dim[] {
  if (type.shape && (type.shape.length !== 1 || differ(type.shape[0], count)))
    throw badNode(`input '${name}' must hold ${count} numbers, not shape ${formatShape(type.shape)}`);
  return known()?.elements ?? Array.from({ length: count }, (_, i) => `element(${name},${i})`);
}

function toSizes(shape: Shape, axes: readonly number[], operandOfSizes: Operand, attributes: ResizeAttributes): Shape {
  const sizes = entries(operandOfSizes, axes.length);
  const policy = attributes.keep_aspect_ratio_policy;
  const result = policy === 'stretch' ? sizes : fitted(shape, axes, sizes, policy === 'not_larger' ? 'min' : 'max');
  return replaced(shape, axes, result);
}

/** Sizes of the same aspect ratio as the input: the smallest or the largest of the wanted scales goes for all axes. */
function fitted(shape: Shape, axes: readonly number[], sizes: readonly Dim[], pick: 'min' | 'max'): readonly Dim[] {
  const ratios = axes.map((axis, i) => {
    const [dim, size] = [shape[axis], sizes[i]];
    return typeof dim === 'number' && typeof size === 'number' ? Math.fround(size / dim) : `${size}/${dim}`;
  });
  if (!ratios.every((ratio) => typeof ratio === 'number'))
    return axes.map((axis) => `round(${pick}(${ratios})*(${shape[axis]}))`);
  const scale = Math[pick](...ratios);
  return axes.map((axis) => Math.round(Math.fround(scale * (shape[axis] as number))));
}

function byScales(shape: Shape, axes: readonly number[], operandOfScales: Operand): Shape {
  const scales = entries(operandOfScales, axes.length);
  for (const scale of scales)
    if (typeof scale === 'number' && !(scale > 0))
      throw badNode(`input '${operandOfScales.name}' holds ${scale}; scales are above 0`);
  return replaced(
    shape,
    axes,
    axes.map((axis, i) => scaled(shape[axis], scales[i])),
  );
}

/**
 * floor(dim·scale), in single precision as runtimes compute it. The region of interest of `tf_crop_and_resize` does not
 * enter here, neither in ONNX's own shape inference nor in ONNX Runtime.
 */
function scaled(dim: Dim, scale: Dim): Dim {
  if (typeof scale === 'string') return `floor(${scale}*(${dim}))`;
  if (typeof dim === 'number') return Math.floor(Math.fround(dim * Math.fround(scale)));
  if (Number.isInteger(scale)) return multiplyDims(scale, dim);
  // Powers of two scale without rounding; for other fractions the product may fall just below a whole number.
  return Number.isInteger(Math.log2(scale)) ? floorDivide(dim, 1 / scale) : `floor(${scale}*(${dim}))`;
}

function replaced(shape: Shape, axes: readonly number[], sizes: readonly Dim[]): Shape {
  const result = [...shape];
  axes.forEach((axis, i) => {
    if (typeof sizes[i] === 'number' && sizes[i] < 1)
      throw badNode(`would make axis ${axis} of shape ${formatShape(shape)} empty`);
    result[axis] = sizes[i];
  });
  return result;
}

/** An axis is coupled where it comes out as it went in, now and after thinning. */
function axisTies(call: TieCall, attributes: ResizeAttributes, axis: number): Tie[] {
  const input = operand(call, 0);
  const size = extent(input.type, axis);
  if (size === undefined || size !== extent(call.outputs[0].type, axis)) return [];
  const kept: Tie = { kind: 'same', a: axisOf(input, axis), b: axisOf(call.outputs[0], axis) };
  const position = resizedAxes(attributes, input.type.shape ?? []).indexOf(axis);
  if (position < 0) return [kept];
  const crops = attributes.coordinate_transformation_mode === 'tf_crop_and_resize';
  if (crops || attributes.keep_aspect_ratio_policy !== 'stretch') return [];
  if (!given(call, SIZES)) return hasScaleOne(call, position) ? [kept] : [];
  const source = call.source(SIZES, position);
  if (!source) return [];
  return source.kind === 'constant' ? [kept] : [kept, { kind: 'same', a: source.axis, b: axisOf(input, axis) }];
}

/** Whether a scale is 1 and no quotient of sizes that thinning could change. */
function hasScaleOne(call: TieCall, position: number): boolean {
  const scales = operand(call, SCALES);
  const isFixed = scales.constant !== undefined || call.source(SCALES, position)?.kind === 'constant';
  return isFixed && scales.known()?.elements[position] === 1;
}

/** The new size of every thinned axis whose size the node is told. */
function thinnedSizes(call: NarrowCall, attributes: ResizeAttributes) {
  const input = operand(call, 0);
  if (!given(call, SIZES)) return [];
  return resizedAxes(attributes, input.type.shape ?? []).flatMap((axis, position) => {
    const kept = call.kept(axisOf(input, axis));
    return kept ? [{ input: SIZES, position, value: kept.length }] : [];
  });
}
