import type { Dim, Shape } from './types.js';

/**
 * Arithmetic on dimensions. Numbers are computed; anything symbolic becomes the text of an expression that serves for
 * display and for equality only: two equal texts are equal sizes, two different texts may still be equal.
 */

const ATOM = /^[A-Za-z_][\w.:/-]*$|^[a-z]+\(.*\)$|^\(.*\)$/;

function atom(dim: Dim): string {
  const text = String(dim);
  return ATOM.test(text) || typeof dim === 'number' ? text : `(${text})`;
}

/** `base + offset` of a text that ends in a constant, so that (H+2)-2 comes out as H. */
function splitOffset(dim: string): [string, number] {
  const match = /^(.*?)([+-]\d+)$/.exec(dim);
  return match?.[1] && ATOM.test(match[1]) ? [match[1], Number(match[2])] : [dim, 0];
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (typeof a === 'string' && typeof b === 'string') return `${atom(a)}+${atom(b)}`;
  const [symbol, constant] = typeof a === 'string' ? [a, b as number] : [b as string, a];
  const [base, offset] = splitOffset(symbol);
  const sum = offset + constant;
  if (sum === 0) return base;
  return `${atom(base)}${sum > 0 ? '+' : ''}${sum}`;
}

export function subtractDims(a: Dim, b: Dim): Dim {
  if (typeof b === 'number') return addDims(a, -b);
  if (a === b) return 0;
  return `${atom(a)}-${atom(b)}`;
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  if (a === 0 || b === 0) return 0;
  if (a === 1) return b;
  if (b === 1) return a;
  return typeof a === 'number'
    ? `${a}*${atom(b)}`
    : `${typeof b === 'number' ? `${b}*${atom(a)}` : `${atom(a)}*${atom(b)}`}`;
}

function divide(rounding: 'floor' | 'ceil', a: Dim, b: Dim): Dim {
  if (b === 1) return a;
  if (typeof a === 'number' && typeof b === 'number') return Math[rounding](a / b);
  if (a === b) return 1;
  if (typeof a === 'string' && typeof b === 'number' && a.startsWith(`${b}*`)) {
    const rest = a.slice(`${b}*`.length);
    if (ATOM.test(rest)) return rest.startsWith('(') ? rest.slice(1, -1) : rest;
  }
  return `${rounding}(${atom(a)}/${atom(b)})`;
}

export function floorDivide(a: Dim, b: Dim): Dim {
  return divide('floor', a, b);
}

export function ceilDivide(a: Dim, b: Dim): Dim {
  return divide('ceil', a, b);
}

/** The product of dimensions, symbolic where one of them is. */
export function productOf(dims: Shape): Dim {
  return dims.reduce<Dim>(multiplyDims, 1);
}

/** Whether two dimensions are certainly different (two numbers that differ). */
export function differ(a: Dim, b: Dim): boolean {
  return typeof a === 'number' && typeof b === 'number' && a !== b;
}

/** Of two dimensions that must be equal, the one that says more. */
export function moreKnown(a: Dim, b: Dim): Dim {
  return typeof a === 'number' ? a : typeof b === 'number' ? b : a;
}

/** The shape if all its dimensions are numbers. */
export function staticShape(shape: Shape | null): readonly number[] | null {
  return shape?.every((dim) => typeof dim === 'number') ? (shape as readonly number[]) : null;
}

export function formatShape(shape: Shape | null): string {
  return shape === null ? '?' : `[${shape.join(',')}]`;
}
