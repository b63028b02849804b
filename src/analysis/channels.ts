import { knownConstant } from '../ir/builder.js';
import type { Graph, Node } from '../ir/graph.js';
import type { Operand } from '../ir/semantics.js';
import { resolveAttributes } from '../ops/attributes.js';
import { operators } from '../ops/index.js';
import type { AxisRef, OpDefinition, Tie, TieCall } from '../ops/op.js';
import { Coordinates, type NumberedAxis, PIN } from './coordinates.js';
import { elementSource, SizeReaders } from './shape-source.js';

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

export interface ChannelAnalysis {
  readonly classes: readonly ChannelClass[];
  /** Why an axis must keep all or some of its coordinates; undefined where it is free. */
  whyFixed(axis: AxisRef): string | undefined;
}

export function analyseChannels(graph: Graph): ChannelAnalysis {
  const coupling = new Coupling(graph);
  coupling.pinInterface();
  const late: Node[] = [];
  for (const node of graph.nodes) {
    const definition = operators.get(node.op);
    if (definition?.tiesAfterOthers) late.push(node);
    else coupling.couple(node, definition);
  }
  for (const node of late) coupling.couple(node, operators.get(node.op));
  return { classes: coupling.classes(), whyFixed: (axis) => coupling.whyFixed(axis) };
}

interface FreeUnit {
  readonly axes: number[];
  readonly lists: number[][];
}

interface UnitGroup {
  readonly model: FreeUnit;
  readonly units: Unit[];
}

class Coupling {
  private readonly coordinates: Coordinates;
  private readonly sizes: SizeReaders;

  constructor(private readonly graph: Graph) {
    this.coordinates = new Coordinates(graph.types);
    this.sizes = new SizeReaders(graph);
  }

  pinInterface(): void {
    for (const value of this.graph.inputs) this.pinValue(value, 'it is an input of the model');
    for (const value of this.graph.outputs) {
      this.pinValue(value, 'it is an output of the model');
      for (const axis of this.sizes.within(value)) this.pin(axis, `its size goes into the output '${value}'`);
    }
  }

  /** Joins what the operator ties and pins, on every axis of its operands, what it does not mention. */
  couple(node: Node, definition: OpDefinition | undefined): void {
    const call = tieCall(this.graph, node, (axis) => this.isPinned(axis));
    const ties = definition ? definition.ties(call, resolveAttributes(definition.attributes, node.attributes)) : [];
    const covered = new Map<NumberedAxis, Uint8Array>();
    for (const tie of ties) this.tie(tie, covered);
    const reason = definition
      ? `${node.op} '${node.name}' needs it whole`
      : `what ${node.origin?.op ?? node.op} '${node.name}' does with it is not known`;
    const inputs = [...node.inputs, ...(node.captures ?? [])];
    for (const value of inputs) this.pinUncovered(value, covered, reason, 'if unmentioned');
    for (const value of node.outputs) this.pinUncovered(value, covered, reason, 'each coordinate');
    for (const axis of this.sizes.readBy(node)) {
      const numbered = this.coordinates.axis(axis);
      if (numbered && !covered.has(numbered))
        this.coordinates.pin(numbered, `${node.op} '${node.name}' computes with its size`);
    }
    for (const value of this.activationsReadTwice(node, definition))
      this.pinValue(value, `${node.op} '${node.name}' reads it in two places`);
  }

  classes(): ChannelClass[] {
    const groups = new Map<number, UnitGroup[]>();
    for (const unit of this.units()) {
      const candidates = groups.get(unit.axes[0]) ?? [];
      groups.set(unit.axes[0], candidates);
      const group = candidates.find(({ model }) => liesAlike(model, unit));
      if (group) group.units.push({ coordinates: unit.lists });
      else candidates.push({ model: unit, units: [{ coordinates: unit.lists }] });
    }
    return [...groups.values()].flat().map(({ model, units }) => ({
      axes: model.axes.map((axis) => this.coordinates.axes[axis].ref),
      units,
    }));
  }

  /** The free units, each with its axes by index. */
  private units(): FreeUnit[] {
    const units: FreeUnit[] = [];
    const byRoot = new Map<number, FreeUnit>();
    const roots = this.coordinates.roots();
    for (const [index, { first, extent }] of this.coordinates.axes.entries())
      for (let c = 0; c < extent; c++) {
        const root = roots[first + c];
        if (root === PIN) continue;
        let unit = byRoot.get(root);
        if (!unit) {
          unit = { axes: [], lists: [] };
          byRoot.set(root, unit);
          units.push(unit);
        }
        if (unit.axes[unit.axes.length - 1] === index) unit.lists[unit.lists.length - 1].push(c);
        else {
          unit.axes.push(index);
          unit.lists.push([c]);
        }
      }
    return units;
  }

  whyFixed(ref: AxisRef): string | undefined {
    const axis = this.coordinates.axis(ref);
    if (!axis) return 'its size is not known';
    if (axis.extent === 0) return 'its size is not a number';
    const found = this.coordinates.explain(axis);
    return found && (found.at.value === ref.value ? found.reason : `tied to '${found.at.value}': ${found.reason}`);
  }

  private isPinned(ref: AxisRef): boolean {
    const axis = this.coordinates.axis(ref);
    if (!axis || axis.extent === 0) return true;
    for (let c = 0; c < axis.extent; c++) if (!this.coordinates.isPinned(axis.first + c)) return false;
    return true;
  }

  private tie(tie: Tie, covered: Map<NumberedAxis, Uint8Array>): void {
    const { over, onto, coordinate } = pairing(tie, (axis) => this.coordinates.axis(axis)?.extent ?? 0);
    const a = this.coordinates.axis(over);
    const b = this.coordinates.axis(onto);
    if (!a || !b || a.extent === 0 || b.extent === 0) return;
    const coveredA = coverage(a, covered);
    const coveredB = coverage(b, covered);
    for (let i = 0; i < a.extent; i++) {
      const j = coordinate(i);
      if (j < 0 || j >= b.extent) continue;
      this.coordinates.join(a.first + i, b.first + j);
      coveredA[i] = 1;
      coveredB[j] = 1;
    }
  }

  /**
   * What an operator does not mention is fixed. Of an input's axis that is mentioned, coordinates that reach no output
   * (cut off by a Slice) stay free; of an output's axis every coordinate needs its own tie (padding has none).
   */
  private pinUncovered(
    value: string,
    covered: ReadonlyMap<NumberedAxis, Uint8Array>,
    reason: string,
    rule: 'if unmentioned' | 'each coordinate',
  ): void {
    for (const axis of this.axesOf(value)) {
      const marks = covered.get(axis);
      if (marks && rule === 'if unmentioned') continue;
      this.coordinates.pin(axis, reason, marks && ((c) => marks[c] === 1));
    }
  }

  /**
   * Ties name values, not operands: where one value is two operands with different roles (a matrix times itself), what
   * one operand lets change the other may need whole. Constants in two places (the 0 of two parameters) have one role.
   */
  private activationsReadTwice(node: Node, definition: OpDefinition | undefined): string[] {
    if (definition?.facts?.includes('elementwise') || node.op === 'Concat') return [];
    const { constants } = this.graph;
    return node.inputs.filter((value, i) => value !== '' && node.inputs.indexOf(value) !== i && !constants.has(value));
  }

  private pinValue(value: string, reason: string): void {
    for (const axis of this.axesOf(value)) this.coordinates.pin(axis, reason);
  }

  private pin(ref: AxisRef, reason: string): void {
    const axis = this.coordinates.axis(ref);
    if (axis) this.coordinates.pin(axis, reason);
  }

  private axesOf(value: string): NumberedAxis[] {
    const shape = value === '' ? null : this.graph.type(value).shape;
    return (shape ?? []).flatMap((_, axis) => this.coordinates.axis({ value, axis }) ?? []);
  }
}

/** Whether two units lie on the same axes with equally many coordinates on each. */
function liesAlike(a: FreeUnit, b: FreeUnit): boolean {
  return (
    a.axes.length === b.axes.length &&
    a.axes.every((axis, i) => axis === b.axes[i] && a.lists[i].length === b.lists[i].length)
  );
}

function coverage(axis: NumberedAxis, covered: Map<NumberedAxis, Uint8Array>): Uint8Array {
  const found = covered.get(axis) ?? new Uint8Array(axis.extent);
  covered.set(axis, found);
  return found;
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

/** A node of a finished graph as `ties` and `narrow` see it. */
export function tieCall(graph: Graph, node: Node, isPinned: (axis: AxisRef) => boolean): TieCall {
  return {
    inputs: node.inputs.map((name) => (name === '' ? undefined : operandOf(graph, name))),
    outputs: node.outputs.map((name) => ({ name, type: graph.type(name) })),
    source: (index, position) => elementSource(graph, { node, index }, position),
    isPinned,
  };
}

function operandOf(graph: Graph, name: string): Operand {
  const constant = graph.constants.get(name);
  return { name, type: graph.type(name), constant, known: () => graph.known.get(name) ?? knownConstant(constant) };
}
