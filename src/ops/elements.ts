import { addDims, ceilDivide, floorDivide, multiplyDims, subtractDims } from '../ir/dims.js';
import { bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat } from '../ir/half.js';
import { bitsOf, type DataType, type Dim, isFloat, isInteger } from '../ir/types.js';

/**
 * Arithmetic on single elements of shape tensors. Numbers come out as a runtime would store them in the tensor's type.
 * Symbolic elements stand for sizes, which are integers and never negative unless a minus sign shows; an expression
 * that need not be an integer holds `real(…)`. Undefined means that the element cannot be told.
 */
export type Element = Dim | undefined;

export type BinaryRule = (a: Dim, b: Dim, dtype: DataType | null) => Element;
export type UnaryRule = (a: Dim, dtype: DataType | null) => Element;

/** A number as the type holds it; integers know no −0, and those that would wrap around are not followed. */
export function stored(value: Element, dtype: DataType | null): Element {
  if (typeof value !== 'number') return value;
  switch (dtype) {
    case 'f64':
      return value;
    case 'f32':
      return Math.fround(value);
    case 'f16':
      return halfToFloat(floatToHalf(value));
    case 'bf16':
      return bfloatToFloat(floatToBfloat(value));
    case 'bool':
      return value === 0 ? 0 : 1;
    default:
      return isInteger(dtype) && fitsInteger(value, dtype as DataType) ? value + 0 : undefined;
  }
}

function fitsInteger(value: number, dtype: DataType): boolean {
  const unsigned = dtype.startsWith('u');
  const limit = 2 ** (bitsOf(dtype) - (unsigned ? 0 : 1));
  return Number.isSafeInteger(value) && value < limit && value >= (unsigned ? 0 : -limit);
}

/** Marks the text of a sum or product as possibly fractional where one of the operands was. */
function withFractions(result: Dim, a: Dim, b: Dim): Dim {
  const fractional = [a, b].some((operand) => typeof operand === 'number' && !Number.isInteger(operand));
  return typeof result === 'string' && fractional ? `real(${result})` : result;
}

export const add: BinaryRule = (a, b) => withFractions(addDims(a, b), a, b);
export const subtract: BinaryRule = (a, b) => withFractions(subtractDims(a, b), a, b);

export const multiply: BinaryRule = (a, b, dtype) => {
  const [factor, other] = typeof a === 'number' ? [a, b] : [b, a];
  // A scale of 0.5 then reads as the division that a stride of 2 makes.
  if (typeof factor === 'number' && typeof other === 'string' && !Number.isInteger(factor))
    return Number.isInteger(1 / factor) ? divide(other, 1 / factor, dtype) : withFractions(multiplyDims(a, b), a, b);
  return multiplyDims(a, b);
};

/** ONNX Div: truncates for integers. */
export const divide: BinaryRule = (a, b, dtype) => {
  if (b === 0) return undefined;
  const bothNumbers = typeof a === 'number' && typeof b === 'number';
  if (!isFloat(dtype)) return bothNumbers ? Math.trunc(a / b) : floorDivide(a, b);
  if (bothNumbers) return a / b;
  const floor = floorDivide(a, b);
  return floor === ceilDivide(a, b) ? floor : `real(${floor.toString().slice('floor('.length)}`;
};

/** ONNX Mod with `fmod` 0: the result has the sign of the divisor. */
export const modulo: BinaryRule = (a, b) => {
  if (b === 0) return undefined;
  if (typeof a === 'number' && typeof b === 'number') return a - b * Math.floor(a / b);
  return a === b || b === 1 ? 0 : `mod(${a},${b})`;
};

export const minimum: BinaryRule = (a, b) => extremum('min', a, b);
export const maximum: BinaryRule = (a, b) => extremum('max', a, b);

function extremum(which: 'min' | 'max', a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return Math[which](a, b);
  return a === b ? a : `${which}(${[a, b].map(String).sort().join()})`;
}

/** A size is never a negative number; everything else about a symbol is open. */
export const equal: BinaryRule = (a, b) => {
  if (a === b) return 1;
  if (typeof a === 'number' && typeof b === 'number') return 0;
  const [symbol, number] = typeof a === 'string' ? [a, b] : [b as string, a];
  return typeof number === 'number' && number < 0 && !symbol.includes('-') ? 0 : undefined;
};

/** A rule that is followed for numbers only. */
export function forNumbers(rule: (a: number, b: number) => number | boolean): BinaryRule {
  return (a, b) => (typeof a === 'number' && typeof b === 'number' ? Number(rule(a, b)) : undefined);
}

export function forNumber(rule: (a: number) => number): UnaryRule {
  return (a) => (typeof a === 'number' ? rule(a) : undefined);
}

export const negate: UnaryRule = (a) => multiplyDims(-1, a);

export const floor: UnaryRule = (a) => (typeof a === 'number' ? Math.floor(a) : rounded('floor', a));
export const ceil: UnaryRule = (a) => (typeof a === 'number' ? Math.ceil(a) : rounded('ceil', a));
export const round: UnaryRule = (a) => (typeof a === 'number' ? roundHalfToEven(a) : rounded('round', a));

function rounded(how: 'floor' | 'ceil' | 'round', text: string): string {
  if (!text.includes('real(')) return text;
  const simple = /^real\(([^()]*)\)$/.exec(text);
  return `${how}(${simple ? simple[1] : text})`;
}

function roundHalfToEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** Cast: numbers are cut off towards zero for integers, and so are sizes, which are not negative. */
export function cast(a: Dim, from: DataType | null, to: DataType): Element {
  if (to === 'bool') return typeof a === 'number' ? Number(a !== 0) : undefined;
  if (!isInteger(to)) return isFloat(to) ? stored(a, to) : undefined;
  if (!isFloat(from)) return stored(a, to);
  return stored(typeof a === 'number' ? Math.trunc(a) : rounded('floor', a), to);
}
