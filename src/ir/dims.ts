import { createHash } from 'node:crypto';
import type { Dim, Shape } from './types.js';

/**
 * Arithmetic on dimensions. Numbers are computed; anything symbolic becomes the text of an expression that serves for
 * display and for equality only: two equal texts are equal sizes, two different texts may still be equal.
 */

const NAME = /^[A-Za-z_][\w.]*$/;

/** Whether a text can stand beside an operator without brackets: a name, a call, or one pair of brackets. */
function isAtom(text: string): boolean {
  if (NAME.test(text)) return true;
  const open = text.indexOf('(');
  if (!text.endsWith(')') || !/^[a-z]*$/.test(text.slice(0, open))) return false;
  let depth = 0;
  for (let i = open; i < text.length - 1; i++) {
    if (text[i] === '(') depth++;
    else if (text[i] === ')') depth--;
    if (depth === 0) return false;
  }
  return true;
}

/** Nested arithmetic can double a text at every step; beyond this a name made of its digest stands for it. */
const LONGEST_TEXT = 500;

function bounded(text: string): string {
  if (text.length <= LONGEST_TEXT) return text;
  return `size.${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
}

function atom(dim: Dim): string {
  const text = String(dim);
  return isAtom(text) || typeof dim === 'number' ? text : `(${text})`;
}

/** `base + offset` of a text that ends in a constant, so that (H+2)-2 comes out as H. */
function splitOffset(dim: string): [string, number] {
  const match = /^(.*?)([+-]\d+)$/.exec(dim);
  return match?.[1] && isAtom(match[1]) ? [match[1], Number(match[2])] : [dim, 0];
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (typeof a === 'string' && typeof b === 'string')
    return a === b ? multiplyDims(2, a) : bounded(`${atom(a)}+${atom(b)}`);
  const [symbol, constant] = typeof a === 'string' ? [a, b as number] : [b as string, a];
  const [base, offset] = splitOffset(symbol);
  const sum = offset + constant;
  if (sum === 0) return base;
  return bounded(`${atom(base)}${sum > 0 ? '+' : ''}${sum}`);
}

export function subtractDims(a: Dim, b: Dim): Dim {
  if (typeof b === 'number') return addDims(a, -b);
  if (a === b) return 0;
  return bounded(`${atom(a)}-${atom(b)}`);
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  if (a === 0 || b === 0) return 0;
  if (a === 1) return b;
  if (b === 1) return a;
  const [first, second] = typeof b === 'number' ? [b, a] : [a, b];
  return bounded(`${atom(first)}*${atom(second)}`);
}

function divide(rounding: 'floor' | 'ceil', a: Dim, b: Dim): Dim {
  if (b === 1) return a;
  if (typeof a === 'number' && typeof b === 'number') return Math[rounding](a / b);
  if (a === b) return 1;
  if (typeof a === 'string' && typeof b === 'number' && a.startsWith(`${b}*`)) {
    const rest = a.slice(`${b}*`.length);
    if (isAtom(rest)) return rest.startsWith('(') ? rest.slice(1, -1) : rest;
  }
  return bounded(`${rounding}(${atom(a)}/${atom(b)})`);
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
