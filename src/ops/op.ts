import { badNode } from '../errors.js';
import type { Attributes } from '../ir/graph.js';
import type { Call, Operand } from '../ir/semantics.js';
import type { Tensor } from '../ir/tensor.js';
import type { Dim, KnownValue, Shape, ValueType } from '../ir/types.js';
import { type AttributeTable, type Resolved, resolveAttributes } from './attributes.js';

/** One axis of one value. */
export interface AxisRef {
  readonly value: string;
  readonly axis: number;
}

/**
 * Which coordinates hang together: tied coordinates are kept or dropped as one. An axis that an operator mentions in
 * no tie is fixed ("pinned") by it.
 */
export type Tie =
  /** Coordinate c of one axis is coordinate c of the other. */
  | { readonly kind: 'same'; readonly a: AxisRef; readonly b: AxisRef }
  /** Coordinate c of `part` is coordinate `offset + c` of `whole`. */
  | { readonly kind: 'part'; readonly whole: AxisRef; readonly part: AxisRef; readonly offset: number }
  /** Coordinate c of `narrow` is coordinates c·by … c·by+by−1 of `wide`. */
  | { readonly kind: 'spread'; readonly narrow: AxisRef; readonly wide: AxisRef; readonly by: number }
  /** Equal places in each of `groups` blocks go together, so that the blocks stay equal. */
  | { readonly kind: 'lockstep'; readonly axis: AxisRef; readonly groups: number }
  /** Coordinate j of `to` is coordinate `indices[j]` of `from` (−1: of none). */
  | { readonly kind: 'map'; readonly from: AxisRef; readonly to: AxisRef; readonly indices: readonly number[] };

/** Where one element of a computed shape comes from. */
export type ElementSource =
  /** A constant, in which it can be rewritten. */
  | { readonly kind: 'constant' }
  /** The size of an axis, which follows by itself when that axis is thinned. */
  | { readonly kind: 'size'; readonly axis: AxisRef };

export interface TieCall {
  readonly inputs: readonly (Operand | undefined)[];
  readonly outputs: readonly { readonly name: string; readonly type: ValueType }[];
  /** Where element `position` of the shape operand `input` comes from; undefined where that cannot be followed. */
  source(input: number, position: number): ElementSource | undefined;
  /** Whether every coordinate of the axis is fixed by now. Only operators with `tiesAfterOthers` may ask. */
  isPinned(axis: AxisRef): boolean;
}

/** What thinning asks of an operator: which coordinates of an axis stay; null where all do. */
export interface NarrowCall {
  readonly inputs: readonly (Operand | undefined)[];
  readonly outputs: readonly { readonly name: string; readonly type: ValueType }[];
  kept(axis: AxisRef): readonly number[] | null;
}

/** What must change in a node when its operands were thinned, beside the constants that are tied by their axes. */
export interface Narrowing {
  /** Replace the node's attributes of these names. */
  readonly attributes?: Attributes;
  readonly removeAttributes?: readonly string[];
  /** New constants for operands that hold indices or sizes, by input number. */
  readonly constants?: ReadonlyMap<number, Tensor>;
  /** New values for single elements of a shape operand, wherever they are computed from. */
  readonly elements?: readonly { readonly input: number; readonly position: number; readonly value: number }[];
}

/** Facts that passes ask for. */
export type OpFact =
  /** Output element i depends on input element i (and on constants broadcast to it) only. */
  | 'elementwise'
  /** Non-decreasing in its first input, so that it commutes with a maximum. */
  | 'monotone'
  /** f(0) = 0. */
  | 'zero-preserving'
  /** f(s·x) = s·f(x) for s > 0. */
  | 'positively-homogeneous';

interface OperandSpec {
  readonly name: string;
  readonly optional?: boolean;
  /** Only the last: takes any number, at least one. */
  readonly variadic?: boolean;
}

/** The meaning of one operator, in ONNX semantics at the canonical opset; no wire format and no numeric loop in it. */
export interface OpDefinition<T extends AttributeTable = AttributeTable> {
  readonly name: string;
  readonly inputs: readonly OperandSpec[];
  /** Names of the outputs; those after the first may be absent. */
  readonly outputs: readonly string[] | 'variadic';
  readonly attributes: T;
  readonly facts?: readonly OpFact[];
  /** Types of the outputs, with symbolic dimensions; throws badNode with the reason, never guesses. */
  infer(call: Call, attributes: Resolved<T>): ValueType[];
  /** Elements of small outputs in shape arithmetic. */
  evaluate?(call: Call, attributes: Resolved<T>): (KnownValue | undefined)[];
  ties(call: TieCall, attributes: Resolved<T>): Tie[];
  /** Ties that depend on what is fixed already (a Reshape chooses the axis that carries channels). */
  readonly tiesAfterOthers?: boolean;
  narrow?(call: NarrowCall, attributes: Resolved<T>): Narrowing;
  /** Multiply–accumulates of one call; every dimension is a number. Memory-bound operators count none. */
  macs?(call: Call, outputs: readonly ValueType[], attributes: Resolved<T>): number;
}

/** Erases the attribute types so that definitions of all operators fit one table. */
export function defineOp<const T extends AttributeTable>(definition: OpDefinition<T>): OpDefinition {
  return definition as unknown as OpDefinition;
}

/** Infers the outputs of a node: operand count, attribute kinds, types and known elements. */
export function inferWith(definition: OpDefinition, call: Call) {
  checkOperands(definition, call);
  const attributes = resolveAttributes(definition.attributes, call.attributes);
  const types = definition.infer(call, attributes);
  const known = definition.evaluate?.(call, attributes);
  return types.map((type, i) => ({ type, known: known?.[i] }));
}

function checkOperands(definition: OpDefinition, call: Call): void {
  const { inputs } = definition;
  const variadic = inputs.at(-1)?.variadic ?? false;
  if (call.inputs.length > inputs.length && !variadic)
    throw badNode(`takes at most ${inputs.length} inputs, not ${call.inputs.length}`);
  for (const [i, spec] of inputs.entries())
    if (!spec.optional && !call.inputs[i]) throw badNode(`input '${spec.name}' is missing`);
  const most = definition.outputs === 'variadic' ? Number.POSITIVE_INFINITY : definition.outputs.length;
  if (call.outputCount > most) throw badNode(`has at most ${most} outputs, not ${call.outputCount}`);
}

/** The operand that `checkOperands` has made sure of. */
export function operand(call: { readonly inputs: readonly (Operand | undefined)[] }, index: number): Operand {
  const found = call.inputs[index];
  if (!found) throw badNode(`input ${index} is missing`);
  return found;
}

/** The shape of an operand, or null; a rank other than the given one is refused. */
export function shapeOf(call: Call, index: number, rank?: number): Shape | null {
  const { name, type } = operand(call, index);
  if (type.shape && rank !== undefined && type.shape.length !== rank)
    throw badNode(`input '${name}' must have rank ${rank}, not shape [${type.shape}]`);
  return type.shape;
}

/** `axis` counted from the front; out of range is refused. */
export function normalizeAxis(axis: number, rank: number): number {
  if (axis < -rank || axis >= rank) throw badNode(`axis ${axis} is outside rank ${rank}`);
  return axis < 0 ? axis + rank : axis;
}

/** The static extent of an axis; undefined where unknown or symbolic. */
export function extent(type: ValueType, axis: number): number | undefined {
  const dim: Dim | undefined = type.shape?.[axis];
  return typeof dim === 'number' ? dim : undefined;
}

export function axisOf(value: { readonly name: string }, axis: number): AxisRef {
  return { value: value.name, axis };
}
