import { badGraph } from '../errors.js';
import { GraphBuilder } from './builder.js';
import { bytesInMemory } from './bytes.js';
import { type AttributeValue, type Graph, type Node, OPAQUE } from './graph.js';
import type { Semantics } from './semantics.js';
import { elementCount, Tensor } from './tensor.js';
import { DATA_TYPES, type DataType, type ValueType } from './types.js';

/**
 * Makes the values of a constant that is written as a generator, e.g. `normal(seed=1)`; ir has no random numbers of
 * its own, so the caller brings them.
 */
export type Generator = (
  name: string,
  parameters: Readonly<Record<string, number>>,
  count: number,
) => ArrayLike<number>;

const TOKEN =
  /\s*(?:("(?:[^"\\]|\\.)*")|(-?(?:\d+\.?\d*(?:e[+-]?\d+)?|Infinity)|NaN)|([A-Za-z_][\w.]*)|([%(){}[\],:=?]))/y;

/**
 * Reads the text form that `printGraph` writes. Types after nodes are inferred, so they may be left out, except behind
 * opaque nodes. Digests stand for values that the text does not hold and are refused.
 */
export function parseGraph(text: string, semantics: Semantics, generate?: Generator): Graph {
  return new Parser(text, semantics, generate).graph();
}

const UNKNOWN: ValueType = { dtype: null, shape: null };

class Parser {
  private readonly tokens: string[] = [];
  private next = 0;
  private builder: GraphBuilder;

  constructor(
    text: string,
    private readonly semantics: Semantics,
    private readonly generate: Generator | undefined,
  ) {
    TOKEN.lastIndex = 0;
    while (text.slice(TOKEN.lastIndex).trim() !== '') {
      const at = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (!match) throw badGraph(`the graph's text cannot be read at '${text.slice(at).trim().slice(0, 30)}'`);
      this.tokens.push(match[1] ?? match[2] ?? match[3] ?? match[4]);
    }
    this.builder = new GraphBuilder(semantics);
  }

  graph(): Graph {
    this.expect('graph');
    this.builder = new GraphBuilder(this.semantics, { name: this.identifier() });
    this.list('(', ')', () => {
      const name = this.value();
      this.expect(':');
      this.builder.input(name, this.type());
    });
    this.expect('{');
    while (this.peek() !== 'return') this.statement();
    this.expect('return');
    const outputs = this.separated(() => this.value());
    this.expect('}');
    return this.builder.build(outputs);
  }

  private statement(): void {
    const outputs = this.separated(() => this.value());
    this.expect('=');
    if (this.accept('const')) {
      this.builder.constant(outputs[0], this.tensor());
      return;
    }
    const op = this.identifier();
    const inputs: string[] = [];
    this.list('(', ')', () => inputs.push(this.value()));
    const captures: string[] = [];
    if (this.accept('reads')) this.list('(', ')', () => captures.push(this.value()));
    const attributes: Record<string, AttributeValue> = {};
    if (this.peek() === '{') {
      this.list('{', '}', () => {
        const name = this.identifier();
        this.expect('=');
        attributes[name] = this.attribute();
      });
    }
    const types = this.accept(':') ? this.separated(() => (this.accept('_') ? UNKNOWN : this.type())) : undefined;
    const name = outputs.find((output) => output !== '') ?? op;
    const node = { name, inputs, outputs, attributes, ...(captures.length ? { captures } : {}) };
    this.builder.add({ ...node, ...operator(op) }, types);
  }

  private tensor(): Tensor {
    const { dtype, shape } = this.type();
    if (dtype === null || !shape?.every((dim) => typeof dim === 'number'))
      throw badGraph('a constant needs a full type');
    const extents = shape as readonly number[];
    if (this.peek() === '{') {
      const isWide = dtype === 'i64' || dtype === 'u64';
      const integers: bigint[] = [];
      const numbers: number[] = [];
      this.list('{', '}', () => (isWide ? integers.push(this.integer()) : numbers.push(this.number())));
      if (!isWide) return Tensor.encode(dtype, extents, numbers);
      return Tensor.from(extents, dtype === 'i64' ? BigInt64Array.from(integers) : BigUint64Array.from(integers));
    }
    const generator = this.identifier();
    if (generator === 'sha256' || !this.generate) throw badGraph(`the values of a constant are not in the text`);
    const parameters: Record<string, number> = {};
    this.list('(', ')', () => {
      const name = this.identifier();
      this.expect('=');
      parameters[name] = this.number();
    });
    return Tensor.encode(dtype, extents, this.generate(generator, parameters, elementCount(extents)));
  }

  private attribute(): AttributeValue {
    const token = this.peek();
    if (token === '[') {
      const held: (number | string)[] = [];
      this.list('[', ']', () => held.push(this.scalar()));
      return held as readonly number[] | readonly string[];
    }
    return DATA_TYPES.includes(token as DataType) ? this.tensor() : this.scalar();
  }

  private scalar(): number | string {
    return this.peek().startsWith('"') ? this.identifier() : this.number();
  }

  private type(): ValueType {
    const dtype = this.take();
    if (dtype !== '?' && !DATA_TYPES.includes(dtype as DataType)) throw badGraph(`'${dtype}' is no data type`);
    const dims: (number | string)[] = [];
    let unknown = false;
    this.list('[', ']', () => {
      if (this.accept('?')) unknown = true;
      else dims.push(/^\d/.test(this.peek()) ? this.number() : this.identifier());
    });
    return { dtype: dtype === '?' ? null : (dtype as DataType), shape: unknown ? null : dims };
  }

  private value(): string {
    if (this.accept('_')) return '';
    this.expect('%');
    return this.identifier();
  }

  private identifier(): string {
    const token = this.take();
    return token.startsWith('"') ? (JSON.parse(token) as string) : token;
  }

  private number(): number {
    const token = this.take();
    const number = Number(token);
    if (Number.isNaN(number) && token !== 'NaN') throw badGraph(`'${token}' stands where a number is wanted`);
    return number;
  }

  /** To its last digit, beyond what a double holds. */
  private integer(): bigint {
    const token = this.take();
    if (!/^-?\d+$/.test(token)) throw badGraph(`'${token}' stands where a whole number is wanted`);
    return BigInt(token);
  }

  private separated<T>(item: () => T): T[] {
    const items = [item()];
    while (this.accept(',')) items.push(item());
    return items;
  }

  private list(open: string, close: string, item: () => void): void {
    this.expect(open);
    if (!this.accept(close)) {
      this.separated(item);
      this.expect(close);
    }
  }

  private peek(): string {
    return this.tokens[this.next] ?? '';
  }

  private take(): string {
    const token = this.peek();
    if (token === '') throw badGraph("the graph's text ends too early");
    this.next++;
    return token;
  }

  private accept(token: string): boolean {
    if (this.peek() !== token) return false;
    this.next++;
    return true;
  }

  private expect(token: string): void {
    const found = this.take();
    if (found !== token) throw badGraph(`the graph's text has '${found}' where '${token}' is wanted`);
  }
}

/** `Opaque.TopK` is an opaque node that was a TopK in its file. */
function operator(text: string): Pick<Node, 'op' | 'origin'> {
  if (!text.startsWith(`${OPAQUE}.`)) return { op: text };
  const op = text.slice(`${OPAQUE}.`.length);
  return { op: OPAQUE, origin: { format: 'text', op, domain: '', encoded: bytesInMemory(new Uint8Array()) } };
}
