import { floorDivide, multiplyDims, productOf } from '../ir/dims.js';
import type { Dim, Shape } from '../ir/types.js';

/** Longer texts stand for themselves; only a hostile file has them. */
const LONGEST_TEXT = 4096;

/** A product of dimensions in a form that is equal for equal products: a coefficient and sorted symbols. */
interface Product {
  readonly coefficient: number;
  readonly symbols: readonly string[];
}

export function productOfDims(dims: Shape): Product {
  let coefficient = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    if (typeof dim === 'number') coefficient *= dim;
    else
      for (const factor of factorsOf(dim))
        if (/^\d+$/.test(factor)) coefficient *= Number(factor);
        else symbols.push(factor);
  }
  return { coefficient, symbols: symbols.sort() };
}

/** Equal keys are equal products. */
export function productKey({ coefficient, symbols }: Product): string {
  return [coefficient, ...symbols].join('*');
}

export function dimOfProduct({ coefficient, symbols }: Product): Dim {
  return multiplyDims(coefficient, productOf(symbols));
}

/** What is left of two products when their common symbols are struck out. */
function withoutCommon(a: Product, b: Product): [Product, Product] {
  const left = [...a.symbols];
  const right = b.symbols.filter((symbol) => {
    const at = left.indexOf(symbol);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return [
    { coefficient: a.coefficient, symbols: left },
    { coefficient: b.coefficient, symbols: right },
  ];
}

/** `whole / part`, which must come out even; undefined where numbers show that it does not. */
export function exactQuotient(whole: Product, part: Product): Dim | undefined {
  if (part.coefficient === 0) return whole.coefficient === 0 ? 1 : undefined;
  const [above, below] = withoutCommon(whole, part);
  if (below.symbols.length === 0 && above.coefficient % below.coefficient === 0)
    return dimOfProduct({ coefficient: above.coefficient / below.coefficient, symbols: above.symbols });
  if (below.symbols.length === 0 && above.symbols.length === 0) return undefined;
  return floorDivide(dimOfProduct(above), dimOfProduct(below));
}

/** The factors of a text such as `2*(h*w)`; a text that is no product stands for itself. */
function factorsOf(text: string): string[] {
  if (text.length > LONGEST_TEXT) return [text];
  const inner = withoutParentheses(text);
  const parts = splitAtTopLevel(inner);
  return parts.length > 1 ? parts.flatMap(factorsOf) : [inner];
}

function withoutParentheses(text: string): string {
  if (!text.startsWith('(') || !text.endsWith(')')) return text;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    depth += text[i] === '(' ? 1 : text[i] === ')' ? -1 : 0;
    if (depth === 0 && i < text.length - 1) return text;
  }
  return text.slice(1, -1);
}

/** The parts between the outermost `*`; one part where another operator stands beside them. */
function splitAtTopLevel(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '(') depth++;
    else if (character === ')') depth--;
    else if (depth === 0 && '+-/'.includes(character)) return [text];
    else if (depth === 0 && character === '*') {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return depth === 0 && !parts.includes('') ? parts : [text];
}
