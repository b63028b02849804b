import { badNode } from '../errors.js';
import { ceilDivide, differ, formatShape } from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import { type DataType, isFloat, type Shape } from '../ir/types.js';
import { carriedAxes, sameAxes, type Typed } from './axes.js';
import { dataTypeOfCode } from './data-type.js';
import { defineOp, normalizeAxis, operand, type Tie, type TieCall } from './op.js';

/**
 * How the scale spreads over x: one number for all, one for each coordinate of an axis, or one for each block of
 * coordinates of an axis (then the scale has the rank of x).
 */
type Granularity = { kind: 'tensor' } | { kind: 'axis' | 'block'; axis: number };

const AXIS = { kind: 'int', default: 1 } as const;
const BLOCK_SIZE = { kind: 'int', default: 0 } as const;

/** y = saturate(round(x / y_scale) + y_zero_point), ties to even. */
const quantizeLinear = defineOp({
  name: 'QuantizeLinear',
  inputs: [{ name: 'x' }, { name: 'y_scale' }, { name: 'y_zero_point', optional: true }],
  outputs: ['y'],
  attributes: {
    axis: AXIS,
    block_size: BLOCK_SIZE,
    output_dtype: { kind: 'int', default: 0 },
    saturate: { kind: 'int', default: 1 },
  },
  infer(call, attributes) {
    const { dtype, shape } = operand(call, 0).type;
    if (dtype !== null && dtype !== 'i32' && !isFloat(dtype))
      throw badNode(`the input is ${dtype}; only floating-point and i32 values can be quantized`);
    checkGranularity(call, attributes);
    return [{ dtype: quantizedType(call, attributes.output_dtype), shape }];
  },
  ties: quantizationTies,
});

/** y = (x − x_zero_point)·x_scale. */
const dequantizeLinear = defineOp({
  name: 'DequantizeLinear',
  inputs: [{ name: 'x' }, { name: 'x_scale' }, { name: 'x_zero_point', optional: true }],
  outputs: ['y'],
  attributes: { axis: AXIS, block_size: BLOCK_SIZE },
  infer(call, attributes) {
    const [x, scale, zeroPoint] = call.inputs;
    if (x && isFloat(x.type.dtype)) throw badNode(`the input is ${x.type.dtype}, which is not a quantized type`);
    if (x?.type.dtype && zeroPoint?.type.dtype && x.type.dtype !== zeroPoint.type.dtype)
      throw badNode(`the input is ${x.type.dtype}, its zero point ${zeroPoint.type.dtype}; they must be equal`);
    checkGranularity(call, attributes);
    return [{ dtype: scale?.type.dtype ?? null, shape: x?.type.shape ?? null }];
  },
  ties: quantizationTies,
});

function quantizedType(call: Call, code: number): DataType | null {
  const stated = code === 0 ? undefined : dataTypeOfCode('output_dtype', code);
  const zeroPoint = call.inputs[2];
  if (!zeroPoint) return stated ?? 'u8';
  const { dtype } = zeroPoint.type;
  if (stated && dtype && stated !== dtype)
    throw badNode(`attribute 'output_dtype' says ${stated}, the zero point is ${dtype}; they must be equal`);
  return dtype ?? stated ?? null;
}

interface QuantizationAttributes {
  readonly axis: number;
  readonly block_size: number;
}

/** Undefined where a shape is not known. */
function granularityOf(
  x: Shape | null,
  scale: Shape | null,
  { axis, block_size }: QuantizationAttributes,
): Granularity | undefined {
  if (!x || !scale) return undefined;
  if (scale.length === 0 || (scale.length === 1 && scale[0] === 1 && block_size === 0)) return { kind: 'tensor' };
  return { kind: block_size === 0 ? 'axis' : 'block', axis: normalizeAxis(axis, x.length) };
}

function checkGranularity(call: Call, attributes: QuantizationAttributes): void {
  const x = operand(call, 0).type.shape;
  const scale = operand(call, 1).type.shape;
  const zeroPoint = call.inputs[2]?.type.shape;
  if (attributes.block_size < 0)
    throw badNode(`attribute 'block_size' is ${attributes.block_size}; it must not be negative`);
  const granularity = granularityOf(x, scale, attributes);
  if (!x || !scale || !granularity) return;
  if (zeroPoint && (zeroPoint.length !== scale.length || zeroPoint.some((dim, i) => differ(dim, scale[i]))))
    throw badNode(`the scale has shape ${formatShape(scale)}, the zero point ${formatShape(zeroPoint)}`);
  if (granularity.kind === 'tensor') return;
  const { axis } = granularity;
  const expected =
    granularity.kind === 'axis'
      ? [x[axis]]
      : x.map((dim, i) => (i === axis ? ceilDivide(dim, attributes.block_size) : dim));
  if (scale.length !== expected.length || scale.some((dim, i) => differ(dim, expected[i])))
    throw badNode(`the scale must have shape ${formatShape(expected)}, not ${formatShape(scale)}`);
}

/** The axis that blocks are counted on is in no tie: a thinned one would have to keep whole blocks. */
function quantizationTies(call: TieCall, attributes: QuantizationAttributes): Tie[] {
  const x = operand(call, 0);
  const [y] = call.outputs;
  const granularity = granularityOf(x.type.shape, operand(call, 1).type.shape, attributes);
  if (!granularity) return [];
  const blocked = granularity.kind === 'block' ? granularity.axis : undefined;
  const carried = (value: Typed) => carriedAxes(x, value, (axis) => (axis === blocked ? undefined : axis));
  const parameters = call.inputs.slice(1).filter((input) => input !== undefined);
  if (granularity.kind === 'block') return [y, ...parameters].flatMap(carried);
  const perAxis = granularity.kind === 'axis' ? parameters.flatMap((p) => sameAxes(x, granularity.axis, p, 0)) : [];
  return [...carried(y), ...perAxis];
}

export const quantOps = [quantizeLinear, dequantizeLinear];
