import type { ValueType } from '../ir/types.js';
import type { AxisRef } from '../ops/op.js';

/** Axes longer than this are never numbered: they are spatial or index tables, not channels. */
const LONGEST_AXIS = 1 << 17;

/** An axis with its coordinates `first` to `first + extent − 1`; none where its size is open. */
export interface NumberedAxis {
  readonly ref: AxisRef;
  readonly first: number;
  readonly extent: number;
}

/** Why a coordinate is fixed, and the axis where that reason stands. */
export interface Explanation {
  readonly reason: string;
  readonly at: AxisRef;
}

/** What all fixed coordinates are joined to. */
export const PIN = 0;
const NOWHERE = -1;

/** Numbers every coordinate of every axis and joins those that hang together (union-find); the fixed ones to one PIN. */
export class Coordinates {
  readonly axes: NumberedAxis[] = [];
  private readonly indices = new Map<string, number>();
  private readonly parent: Int32Array;
  /** Pairs of joined coordinates. */
  private edges = new Int32Array(1 << 12);
  private edgeEnd = 0;
  private readonly reasons: string[] = [];
  /** Which of `reasons` stands at each coordinate, counted from 1. */
  private readonly reasonOf: Int32Array;
  private origins?: Int32Array;

  constructor(types: ReadonlyMap<string, ValueType>) {
    let count = PIN + 1;
    for (const [value, { shape }] of types)
      for (const [axis, size] of (shape ?? []).entries()) {
        const extent = typeof size === 'number' && size <= LONGEST_AXIS ? size : 0;
        this.indices.set(keyOf({ value, axis }), this.axes.length);
        this.axes.push({ ref: { value, axis }, first: count, extent });
        count += extent;
      }
    this.parent = new Int32Array(count).map((_, i) => i);
    this.reasonOf = new Int32Array(count);
  }

  axis(ref: AxisRef): NumberedAxis | undefined {
    const index = this.indices.get(keyOf(ref));
    return index === undefined ? undefined : this.axes[index];
  }

  join(a: number, b: number): void {
    if (this.edgeEnd === this.edges.length) this.edges = doubled(this.edges);
    this.edges[this.edgeEnd++] = a;
    this.edges[this.edgeEnd++] = b;
    this.union(a, b);
  }

  pin({ first, extent }: NumberedAxis, reason: string, isLeftOut?: (c: number) => boolean): void {
    this.reasons.push(reason);
    for (let c = 0; c < extent; c++) {
      if (isLeftOut?.(c)) continue;
      this.reasonOf[first + c] ||= this.reasons.length;
      this.union(PIN, first + c);
    }
  }

  isPinned(coordinate: number): boolean {
    return this.root(coordinate) === PIN;
  }

  /** For each coordinate a number that is the same for all that are joined, and `PIN` for the fixed ones. */
  roots(): Int32Array {
    // A parent is never the larger number, so it is flat already when its children are reached.
    for (let c = 0; c < this.parent.length; c++) this.parent[c] = this.parent[this.parent[c]];
    return this.parent;
  }

  /** The nearest reason, along ties, why some coordinate of the axis is fixed; undefined where none is. */
  explain({ first, extent }: NumberedAxis): Explanation | undefined {
    this.origins ??= this.nearestReasons();
    for (let c = first; c < first + extent; c++) {
      const origin = this.origins[c];
      if (origin !== NOWHERE)
        return { reason: this.reasons[this.reasonOf[origin] - 1], at: this.axisAround(origin).ref };
    }
    return undefined;
  }

  /** For each coordinate the one with a reason that is the fewest ties away. */
  private nearestReasons(): Int32Array {
    const origins = new Int32Array(this.parent.length).fill(NOWHERE);
    const { starts, neighbours } = this.adjacency();
    const queue = new Int32Array(this.parent.length);
    let end = 0;
    const visit = (coordinate: number, origin: number) => {
      origins[coordinate] = origin;
      queue[end++] = coordinate;
    };
    for (const [coordinate, reason] of this.reasonOf.entries()) if (reason > 0) visit(coordinate, coordinate);
    for (let next = 0; next < end; next++) {
      const at = queue[next];
      for (let i = starts[at]; i < starts[at + 1]; i++)
        if (origins[neighbours[i]] === NOWHERE) visit(neighbours[i], origins[at]);
    }
    return origins;
  }

  /** The neighbours of coordinate c stand in `neighbours` from `starts[c]` to `starts[c + 1]`. */
  private adjacency(): { starts: Int32Array; neighbours: Int32Array } {
    const edges = this.edges.subarray(0, this.edgeEnd);
    const starts = new Int32Array(this.parent.length + 1);
    for (const coordinate of edges) starts[coordinate + 1]++;
    for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
    const free = starts.slice();
    const neighbours = new Int32Array(edges.length);
    for (let i = 0; i < edges.length; i++) neighbours[free[edges[i]]++] = edges[i ^ 1];
    return { starts, neighbours };
  }

  private axisAround(coordinate: number): NumberedAxis {
    let [low, high] = [0, this.axes.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.axes[middle].first <= coordinate) low = middle;
      else high = middle - 1;
    }
    return this.axes[low];
  }

  private root(coordinate: number): number {
    let root = coordinate;
    while (this.parent[root] !== root) root = this.parent[root];
    for (let at = coordinate; at !== root; ) {
      const up = this.parent[at];
      this.parent[at] = root;
      at = up;
    }
    return root;
  }

  /** The smaller number becomes the root, so the PIN stays the root of all that is fixed. */
  private union(a: number, b: number): void {
    const [rootA, rootB] = [this.root(a), this.root(b)];
    if (rootA < rootB) this.parent[rootB] = rootA;
    else this.parent[rootA] = rootB;
  }
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}

function keyOf(ref: AxisRef): string {
  return `${ref.axis} ${ref.value}`;
}
