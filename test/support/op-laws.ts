import { expect } from 'vitest';
import { messageOf } from '../../src/errors.js';
import type { Attributes } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { resolveAttributes } from '../../src/ops/attributes.js';
import { operators } from '../../src/ops/index.js';
import type { AxisRef, Narrowing, Tie, TieCall } from '../../src/ops/op.js';
import { constant, inferCase, type NodeCase, runNode } from './run-node.js';

/** The table must infer what ONNX Runtime computes, and follow the same elements where it follows any. */
export async function expectAgreement(node: NodeCase): Promise<void> {
  const inferred = inferCase(node);
  const computed = await runNode(node);
  expect(inferred.map(({ type }) => type)).toEqual(computed.map(({ dtype, shape }) => ({ dtype, shape })));
  for (const [i, { known }] of inferred.entries())
    if (known) expect([...known.shape, ...known.elements]).toEqual([...computed[i].shape, ...computed[i].toFloat64()]);
}

/** Where ONNX Runtime refuses a node, the table must too, in one sentence. */
export async function expectRefusal(node: NodeCase, reason: RegExp): Promise<void> {
  await expect(runNode(node)).rejects.toThrow();
  expect(() => inferCase(node)).toThrow(reason);
}

export interface LawOptions {
  readonly seed: number;
  /** Names (`in_0`, `out_0`, …) and axes that are fixed for other reasons. */
  readonly pinned?: readonly string[];
  /** Operands that are computed; all others are constants. */
  readonly computed?: readonly number[];
}

/**
 * The law of ties and narrowing: drop random units of tied coordinates, and the narrowed node computes on the narrowed
 * operands what the original computes, on operands that are zero there, for the coordinates that stay. Returns the
 * axes that were thinned, so that a test can say that something was.
 */
export async function expectThinningLaw(node: NodeCase, options: LawOptions): Promise<string[]> {
  const call = tieCall(node, options);
  const definition = operators.get(node.op);
  if (!definition) throw new Error(`no operator ${node.op}`);
  const attributes = resolveAttributes(definition.attributes, node.attributes ?? {});
  const kept = dropUnits(call, definition.ties(call, attributes), options);
  const narrowing =
    definition.narrow?.({ ...call, kept: ({ value, axis }) => kept.get(`${value} ${axis}`) ?? null }, attributes) ?? {};

  const names = node.inputs.map((_, i) => `in_${i}`);
  const zeroed = node.inputs.map((tensor, i) => tensor && zeroedOutside(tensor, names[i], kept));
  const narrowed = node.inputs.map((tensor, i) => tensor && taken(tensor, names[i], kept));
  const original = await runNode({ ...node, inputs: zeroed });
  const thinned = await runNode({ ...node, ...narrowedNode(narrowed, node.attributes ?? {}, narrowing) }).catch(
    (error: unknown) => expect.fail(`the narrowed node does not run: ${messageOf(error)}`),
  );
  const expected = original.map((tensor, i) => taken(tensor, `out_${i}`, kept));
  for (const [i, tensor] of thinned.entries()) {
    expect(tensor.shape).toEqual(expected[i].shape);
    const values = [...expected[i].toFloat64()];
    for (const [j, value] of tensor.toFloat64().entries()) expect(value).toBeCloseTo(values[j], 3);
  }
  return [...kept.keys()];
}

function tieCall(node: NodeCase, { pinned = [], computed = [0] }: LawOptions): TieCall {
  return {
    inputs: node.inputs.map((tensor, i) => {
      const operand = tensor && constant(`in_${i}`, tensor);
      return operand && computed.includes(i) ? { ...operand, constant: undefined } : operand;
    }),
    outputs: inferCase(node).map(({ type }, i) => ({ name: `out_${i}`, type })),
    source: (input) => (node.inputs[input] && !computed.includes(input) ? { kind: 'constant' } : undefined),
    isPinned: ({ value, axis }) => pinned.includes(`${value} ${axis}`),
  };
}

function narrowedNode(inputs: readonly (Tensor | undefined)[], attributes: Attributes, narrowing: Narrowing) {
  const operands = [...inputs];
  for (const [i, tensor] of narrowing.constants ?? []) operands[i] = tensor;
  for (const { input, position, value } of narrowing.elements ?? []) {
    const old = operands[input];
    if (!old) throw new Error(`input ${input} is rewritten but absent`);
    const numbers = old.toFloat64();
    numbers[position] = value;
    operands[input] = Tensor.encode(old.dtype, old.shape, numbers);
  }
  const changed = Object.entries({ ...attributes, ...narrowing.attributes });
  const left = changed.filter(([name]) => !narrowing.removeAttributes?.includes(name));
  return { inputs: operands, attributes: Object.fromEntries(left) };
}

/**
 * Random units of coordinates to drop, by the rules of the analysis: an axis in no tie is fixed, and so is a coordinate
 * of an output that no tie covers. At least one coordinate stays on every axis.
 */
function dropUnits(call: TieCall, ties: readonly Tie[], { seed, pinned = [] }: LawOptions) {
  const units = new Units();
  for (const tie of ties) for (const [a, b] of pairs(tie, call)) units.join(a, b);
  const axes = [...call.inputs.filter((input) => input !== undefined), ...call.outputs].flatMap(({ name, type }) =>
    (type.shape ?? []).map((extent, axis) => ({ name, axis, extent: Number(extent) })),
  );
  for (const { name, axis, extent } of axes) {
    const coordinates = Array.from({ length: extent }, (_, c) => `${name} ${axis} ${c}`);
    const mentioned = coordinates.some((c) => units.has(c));
    const fixed = pinned.includes(`${name} ${axis}`) || !mentioned;
    for (const c of coordinates) units.join(c, fixed || (name.startsWith('out') && !units.has(c)) ? 'fixed' : c);
  }
  const random = createRandom(seed);
  const dropped = new Set<string>();
  const left = (name: string, axis: number, extent: number, without: string) =>
    Array.from({ length: extent }, (_, c) => units.of(`${name} ${axis} ${c}`)).filter(
      (unit) => unit !== without && !dropped.has(unit),
    ).length;
  for (const unit of units.all())
    if (unit !== units.of('fixed') && random.next() < 0.5)
      if (axes.every(({ name, axis, extent }) => extent === 0 || left(name, axis, extent, unit) > 0)) dropped.add(unit);
  const kept = new Map<string, number[]>();
  for (const { name, axis, extent } of axes) {
    const stays = Array.from({ length: extent }, (_, c) => c).filter(
      (c) => !dropped.has(units.of(`${name} ${axis} ${c}`)),
    );
    if (stays.length < extent) kept.set(`${name} ${axis}`, stays);
  }
  return kept;
}

class Units {
  private readonly parent = new Map<string, string>();

  has(coordinate: string): boolean {
    return this.parent.has(coordinate);
  }

  of(coordinate: string): string {
    const up = this.parent.get(coordinate) ?? coordinate;
    return up === coordinate ? up : this.of(up);
  }

  join(a: string, b: string): void {
    for (const c of [a, b]) if (!this.parent.has(c)) this.parent.set(c, c);
    this.parent.set(this.of(a), this.of(b));
  }

  all(): Set<string> {
    return new Set([...this.parent.keys()].map((c) => this.of(c)));
  }
}

function pairs(tie: Tie, call: TieCall): [string, string][] {
  const extentOf = ({ value, axis }: AxisRef) => {
    const found = [...call.inputs, ...call.outputs].find((typed) => typed?.name === value);
    return Number(found?.type.shape?.[axis]);
  };
  const walk = (over: AxisRef, onto: AxisRef, coordinate: (c: number) => number): [string, string][] =>
    Array.from({ length: extentOf(over) }, (_, c) => [c, coordinate(c)])
      .filter(([, other]) => other >= 0)
      .map(([c, other]) => [`${over.value} ${over.axis} ${c}`, `${onto.value} ${onto.axis} ${other}`]);
  switch (tie.kind) {
    case 'same':
      return walk(tie.a, tie.b, (c) => c);
    case 'part':
      return walk(tie.part, tie.whole, (c) => c + tie.offset);
    case 'spread':
      return walk(tie.wide, tie.narrow, (c) => Math.floor(c / tie.by));
    case 'lockstep':
      return walk(tie.axis, tie.axis, (c) => c % (extentOf(tie.axis) / tie.groups));
    case 'map':
      return walk(tie.to, tie.from, (c) => tie.indices[c]);
  }
}

function taken(tensor: Tensor, name: string, kept: ReadonlyMap<string, readonly number[]>): Tensor {
  return tensor.shape.reduce((view, _, axis) => {
    const coordinates = kept.get(`${name} ${axis}`);
    return coordinates ? view.take(axis, coordinates) : view;
  }, tensor);
}

function zeroedOutside(tensor: Tensor, name: string, kept: ReadonlyMap<string, readonly number[]>): Tensor {
  const values = tensor.toFloat64();
  let inner = 1;
  for (let axis = tensor.shape.length - 1; axis >= 0; axis--) {
    const stays = kept.get(`${name} ${axis}`);
    const extent = tensor.shape[axis];
    for (const i of values.keys()) if (stays && !stays.includes(Math.floor(i / inner) % extent)) values[i] = 0;
    inner *= extent;
  }
  return Tensor.encode(tensor.dtype, tensor.shape, values);
}
