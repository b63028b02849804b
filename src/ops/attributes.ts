import { badNode } from '../errors.js';
import type { Attributes, AttributeValue } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';

/** What an attribute may hold. One without a default is `undefined` when the node does not give it. */
export type AttributeSpec =
  | { readonly kind: 'int' | 'float'; readonly default?: number }
  | { readonly kind: 'string'; readonly default?: string }
  | { readonly kind: 'ints' | 'floats'; readonly default?: readonly number[] }
  | { readonly kind: 'strings' }
  | { readonly kind: 'tensor' };

export type AttributeTable = Readonly<Record<string, AttributeSpec>>;

type Held<S extends AttributeSpec> = S extends { kind: 'int' | 'float' }
  ? number
  : S extends { kind: 'string' }
    ? string
    : S extends { kind: 'ints' | 'floats' }
      ? readonly number[]
      : S extends { kind: 'strings' }
        ? readonly string[]
        : Tensor;

/** The attributes of a node with the defaults filled in. */
export type Resolved<T extends AttributeTable> = {
  readonly [K in keyof T]: T[K] extends { default: unknown } ? Held<T[K]> : Held<T[K]> | undefined;
};

/** Fills in defaults and checks kinds; an attribute that the table does not list is refused by name. */
export function resolveAttributes<T extends AttributeTable>(table: T, given: Attributes): Resolved<T> {
  const resolved: Record<string, AttributeValue | undefined> = {};
  for (const name of Object.keys(given))
    if (!(name in table)) throw badNode(`attribute '${name}' is not one of this operator's`);
  for (const [name, spec] of Object.entries(table)) {
    const value = given[name];
    if (value !== undefined && !fits(spec, value)) throw badNode(`attribute '${name}' is not of kind ${spec.kind}`);
    resolved[name] = value ?? ('default' in spec ? spec.default : undefined);
  }
  return resolved as Resolved<T>;
}

function fits(spec: AttributeSpec, value: AttributeValue): boolean {
  switch (spec.kind) {
    case 'int':
      return Number.isInteger(value);
    case 'float':
      return typeof value === 'number';
    case 'string':
      return typeof value === 'string';
    case 'ints':
      return Array.isArray(value) && value.every(Number.isInteger);
    case 'floats':
      return Array.isArray(value) && value.every((element) => typeof element === 'number');
    case 'strings':
      return Array.isArray(value) && value.every((element) => typeof element === 'string');
    case 'tensor':
      return value instanceof Tensor;
  }
}
