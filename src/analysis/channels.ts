import { knownConstant } from '../ir/builder.js';
import type { Graph, Node } from '../ir/graph.js';
import type { Operand } from '../ir/semantics.js';
import { resolveAttributes } from '../ops/attributes.js';
import { operators } from '../ops/index.js';
import type { AxisRef, OpDefinition, Tie, TieCall } from '../ops/op.js';
import { elementSource } from './shape-source.js';

/**
 * Which channels hang together (algorithms, A.1): every coordinate of every axis is a number; operators tie numbers
 * together; what remains free are the units that thinning may remove, and classes are units that lie on the same axes.
 */

/** Coordinates that are kept or dropped as one: on axis `axes[i]` of the class the coordinates `coordinates[i]`. */
export interface Unit {
  readonly coordinates: readonly (readonly number[])[];
}

export interface ChannelClass {
  readonly axes: readonly AxisRef[];
  readonly units: readonly Unit[];
}

/** An axis that must keep all (or some) of its coordinates, and how that follows from the nodes between. */
export interface FixedAxis {
  readonly axis: AxisRef;
  readonly reason: string;
}

export interface ChannelAnalysis {
  readonly classes: readonly ChannelClass[];
  /** Why an axis is fixed; undefined where it is free. */
  whyFixed(axis: AxisRef): string | undefined;
}

/** Axes longer than this are never numbered: they are spatial or index tables, not channels. */
const LONGEST_AXIS = 1 << 17;

export function analyseChannels(graph: Graph): ChannelAnalysis {
  const coupling = new Coupling(graph);
  for (const value of graph.inputs) coupling.pinValue(value, 'it is an input of the model');
  for (const value of graph.outputs) coupling.pinValue(value, 'it is an output of the model');
  const late: Node[] = [];
  for (const node of graph.nodes) {
    const definition = operators.get(node.op);
    if (definition?.tiesAfterOthers) late.push(node);
    else coupling.couple(node, definition);
  }
  for (const node of late) coupling.couple(node, operators.get(node.op));
  return { classes: coupling.classes(), whyFixed: (axis) => coupling.whyFixed(axis) };
}

class Coupling {
  private readonly axes: { ref: AxisRef; first: number; extent: number }[] = [];
  private readonly axisIndex = new Map<string, number>();
  private readonly parent: Int32Array;
  private readonly pinReasons = new Map<number, string>();
  private readonly neighbours = new Map<number, Set<number>>();
  private chains?: Map<number, { reason: string; from: number | null }>;

  constructor(private readonly graph: Graph) {
    let count = 1; // number 0 is the PIN
    for (const [value, type] of graph.types)
      for (const [axis, extent] of (type.shape ?? []).entries()) {
        const counted = typeof extent === 'number' && extent <= LONGEST_AXIS;
        this.axisIndex.set(keyOf({ value, axis }), this.axes.length);
        this.axes.push({ ref: { value, axis }, first: count, extent: counted ? extent : 0 });
        if (counted) count += extent;
      }
    this.parent = Int32Array.from({ length: count }, (_, i) => i);
  }

  pinValue(value: string, reason: string): void {
    const rank = this.graph.type(value).shape?.length ?? 0;
    for (let axis = 0; axis < rank; axis++) this.pin({ value, axis }, reason);
  }

  /** Joins what the operator ties and pins, on every axis of its operands, what it does not mention. */
  couple(node: Node, definition: OpDefinition | undefined): void {
    const call = tieCall(this.graph, node, (axis) => this.isPinned(axis));
    const ties = definition ? definition.ties(call, resolveAttributes(definition.attributes, node.attributes)) : [];
    const covered = new Map<number, Uint8Array>();
    for (const tie of ties) this.tie(tie, covered);
    const reason = definition
      ? `${node.op} '${node.name}' needs it whole`
      : `what ${node.origin?.op ?? node.op} '${node.name}' does with it is not known`;
    const inputs = [...node.inputs, ...(node.captures ?? [])];
    for (const value of inputs) this.pinUncovered(value, covered, reason, 'if unmentioned');
    for (const value of node.outputs) this.pinUncovered(value, covered, reason, 'each coordinate');
  }

  isPinned(ref: AxisRef): boolean {
    const axis = this.axisOf(ref);
    if (!axis || axis.extent === 0) return true;
    for (let c = 0; c < axis.extent; c++) if (!this.isPinnedAt(axis.first + c)) return false;
    return true;
  }

  classes(): ChannelClass[] {
    const units = new Map<number, Map<number, number[]>>();
    for (const [index, axis] of this.axes.entries())
      for (let c = 0; c < axis.extent; c++) {
        if (this.isPinnedAt(axis.first + c)) continue;
        const root = this.find(axis.first + c);
        const unit = units.get(root) ?? new Map<number, number[]>();
        units.set(root, unit);
        const list = unit.get(index);
        if (list) list.push(c);
        else unit.set(index, [c]);
      }
    const classes = new Map<string, { axes: number[]; units: Unit[] }>();
    for (const unit of units.values()) {
      // Units of one class lie on the same axes with equally many coordinates on each.
      const signature = [...unit].map(([axis, list]) => `${axis}x${list.length}`).join();
      const found = classes.get(signature) ?? { axes: [...unit.keys()], units: [] };
      classes.set(signature, found);
      found.units.push({ coordinates: [...unit.values()] });
    }
    return [...classes.values()].map(({ axes, units }) => ({ axes: axes.map((axis) => this.axes[axis].ref), units }));
  }

  whyFixed(ref: AxisRef): string | undefined {
    const index = this.axisIndex.get(keyOf(ref));
    if (index === undefined) return 'its size is not known';
    const { first, extent } = this.axes[index];
    if (extent === 0) return 'its size is not a number';
    let fixed = false;
    for (let c = 0; c < extent; c++) fixed ||= this.isPinnedAt(first + c);
    return fixed ? this.chainFrom(index) : undefined;
  }

  private chainFrom(index: number): string {
    this.chains ??= this.buildChains();
    const passed: string[] = [];
    let at = this.chains.get(index);
    for (let from = at?.from; at && from !== null && from !== undefined; from = at?.from) {
      passed.push(this.axes[from].ref.value);
      at = this.chains.get(from);
    }
    const last = passed.at(-1);
    return last === undefined ? (at?.reason ?? 'a value it is tied to is fixed') : `tied to '${last}': ${at?.reason}`;
  }

  /** Breadth first from the pinned axes along ties, so that the shortest explanation is found. */
  private buildChains(): Map<number, { reason: string; from: number | null }> {
    const chains = new Map<number, { reason: string; from: number | null }>();
    for (const [index, reason] of this.pinReasons) chains.set(index, { reason, from: null });
    const queue = [...chains.keys()];
    for (const index of queue)
      for (const neighbour of this.neighbours.get(index) ?? [])
        if (!chains.has(neighbour)) {
          chains.set(neighbour, { reason: chains.get(index)?.reason ?? '', from: index });
          queue.push(neighbour);
        }
    return chains;
  }

  private tie(tie: Tie, covered: Map<number, Uint8Array>): void {
    const { over, onto, coordinate } = pairing(tie, (axis) => this.axisOf(axis)?.extent ?? 0);
    const a = this.axisOf(over);
    const b = this.axisOf(onto);
    if (!a || !b || a.extent === 0 || b.extent === 0) return;
    const coveredA = this.coverage(over, covered);
    const coveredB = this.coverage(onto, covered);
    for (let i = 0; i < a.extent; i++) {
      const j = coordinate(i);
      if (j < 0 || j >= b.extent) continue;
      this.union(a.first + i, b.first + j);
      coveredA[i] = 1;
      coveredB[j] = 1;
    }
    this.link(over, onto);
  }

  private coverage(ref: AxisRef, covered: Map<number, Uint8Array>): Uint8Array {
    const index = this.axisIndex.get(keyOf(ref)) ?? -1;
    const found = covered.get(index) ?? new Uint8Array(this.axes[index].extent);
    covered.set(index, found);
    return found;
  }

  /**
   * What an operator does not mention is fixed. Of an input's axis that is mentioned, coordinates that reach no output
   * (cut off by a Slice) stay free; of an output's axis every coordinate needs its own tie (padding has none).
   */
  private pinUncovered(
    value: string,
    covered: Map<number, Uint8Array>,
    reason: string,
    rule: 'if unmentioned' | 'each coordinate',
  ): void {
    const rank = value === '' ? 0 : (this.graph.type(value).shape?.length ?? 0);
    for (let axis = 0; axis < rank; axis++) {
      const index = this.axisIndex.get(keyOf({ value, axis })) ?? -1;
      const marks = covered.get(index);
      if (!marks) this.pin({ value, axis }, reason);
      else if (rule === 'each coordinate' && marks.includes(0)) {
        this.pinReasons.set(index, this.pinReasons.get(index) ?? reason);
        for (const [c, mark] of marks.entries()) if (!mark) this.union(0, this.axes[index].first + c);
      }
    }
  }

  private pin(ref: AxisRef, reason: string): void {
    const index = this.axisIndex.get(keyOf(ref));
    if (index === undefined) return;
    const { first, extent } = this.axes[index];
    for (let c = 0; c < extent; c++) this.union(0, first + c);
    if (!this.pinReasons.has(index)) this.pinReasons.set(index, reason);
  }

  private link(a: AxisRef, b: AxisRef): void {
    const i = this.axisIndex.get(keyOf(a)) ?? -1;
    const j = this.axisIndex.get(keyOf(b)) ?? -1;
    for (const [from, to] of [
      [i, j],
      [j, i],
    ]) {
      const set = this.neighbours.get(from) ?? new Set();
      this.neighbours.set(from, set.add(to));
    }
  }

  private axisOf(ref: AxisRef) {
    return this.axes[this.axisIndex.get(keyOf(ref)) ?? -1];
  }

  private isPinnedAt(number: number): boolean {
    return this.find(number) === this.find(0);
  }

  private find(number: number): number {
    let root = number;
    while (this.parent[root] !== root) root = this.parent[root];
    for (let at = number; at !== root; ) {
      const up = this.parent[at];
      this.parent[at] = root;
      at = up;
    }
    return root;
  }

  /** The smaller number becomes the root, so the PIN stays the root of all that is fixed. */
  private union(a: number, b: number): void {
    const [low, high] = [this.find(a), this.find(b)].sort((x, y) => x - y);
    this.parent[high] = low;
  }
}

/** A tie as a walk over one axis, which says for each coordinate the one of the other axis (−1: none). */
function pairing(
  tie: Tie,
  extentOf: (axis: AxisRef) => number,
): { over: AxisRef; onto: AxisRef; coordinate: (c: number) => number } {
  switch (tie.kind) {
    case 'same':
      return { over: tie.a, onto: tie.b, coordinate: (c) => c };
    case 'part':
      return { over: tie.part, onto: tie.whole, coordinate: (c) => tie.offset + c };
    case 'spread':
      return { over: tie.wide, onto: tie.narrow, coordinate: (c) => Math.floor(c / tie.by) };
    case 'lockstep': {
      const block = extentOf(tie.axis) / tie.groups;
      return { over: tie.axis, onto: tie.axis, coordinate: (c) => c % block };
    }
    case 'map':
      return { over: tie.to, onto: tie.from, coordinate: (c) => tie.indices[c] ?? -1 };
  }
}

function keyOf(ref: AxisRef): string {
  return `${ref.axis}\u0000${ref.value}`;
}

/** A node of a finished graph as `ties` and `narrow` see it. */
export function tieCall(graph: Graph, node: Node, isPinned: (axis: AxisRef) => boolean): TieCall {
  return {
    inputs: node.inputs.map((name) => (name === '' ? undefined : operandOf(graph, name))),
    outputs: node.outputs.map((name) => ({ name, type: graph.type(name) })),
    source: (input, position) => elementSource(graph, node.inputs[input], position),
    isPinned,
  };
}

function operandOf(graph: Graph, name: string): Operand {
  const constant = graph.constants.get(name);
  return { name, type: graph.type(name), constant, known: () => graph.known.get(name) ?? knownConstant(constant) };
}
