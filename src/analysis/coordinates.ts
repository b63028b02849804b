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
const PIN = 0;
const NOWHERE = -1;

/** Numbers every coordinate of every axis and joins those that hang together (union-find); the fixed ones to one PIN. */
export class Coordinates {
  readonly axes: NumberedAxis[] = [];
  private readonly indices = new Map<string, number>();
  private readonly parent: Int32Array;
  private readonly edges: number[] = [];
  private readonly reasons = new Map<number, string>();
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
    this.parent = Int32Array.from({ length: count }, (_, i) => i);
  }

  axis(ref: AxisRef): NumberedAxis | undefined {
    const index = this.indices.get(keyOf(ref));
    return index === undefined ? undefined : this.axes[index];
  }

  join(a: number, b: number): void {
    this.edges.push(a, b);
    this.union(a, b);
  }

  pin(coordinate: number, reason: string): void {
    if (!this.reasons.has(coordinate)) this.reasons.set(coordinate, reason);
    this.union(PIN, coordinate);
  }

  isPinned(coordinate: number): boolean {
    return this.root(coordinate) === PIN;
  }

  /** The same number for all coordinates that are joined. */
  root(coordinate: number): number {
    let root = coordinate;
    while (this.parent[root] !== root) root = this.parent[root];
    for (let at = coordinate; at !== root; ) {
      const up = this.parent[at];
      this.parent[at] = root;
      at = up;
    }
    return root;
  }

  /** The nearest reason, along ties, why some coordinate of the axis is fixed; undefined where none is. */
  explain({ first, extent }: NumberedAxis): Explanation | undefined {
    this.origins ??= this.nearestReasons();
    for (let c = first; c < first + extent; c++) {
      const reason = this.reasons.get(this.origins[c]);
      if (reason !== undefined) return { reason, at: this.axisAround(this.origins[c]).ref };
    }
    return undefined;
  }

  /** For each coordinate the one with a reason that is the fewest ties away. */
  private nearestReasons(): Int32Array {
    const origins = new Int32Array(this.parent.length).fill(NOWHERE);
    const { starts, neighbours } = this.adjacency();
    const queue = [...this.reasons.keys()];
    for (const seed of queue) origins[seed] = seed;
    for (const at of queue)
      for (let i = starts[at]; i < starts[at + 1]; i++)
        if (origins[neighbours[i]] === NOWHERE) {
          origins[neighbours[i]] = origins[at];
          queue.push(neighbours[i]);
        }
    return origins;
  }

  /** The neighbours of coordinate c stand in `neighbours` from `starts[c]` to `starts[c + 1]`. */
  private adjacency(): { starts: Int32Array; neighbours: Int32Array } {
    const starts = new Int32Array(this.parent.length + 1);
    for (const coordinate of this.edges) starts[coordinate + 1]++;
    for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
    const free = starts.slice();
    const neighbours = new Int32Array(this.edges.length);
    for (let i = 0; i < this.edges.length; i += 2) {
      const [a, b] = [this.edges[i], this.edges[i + 1]];
      neighbours[free[a]++] = b;
      neighbours[free[b]++] = a;
    }
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

  /** The smaller number becomes the root, so the PIN stays the root of all that is fixed. */
  private union(a: number, b: number): void {
    const [rootA, rootB] = [this.root(a), this.root(b)];
    if (rootA < rootB) this.parent[rootB] = rootA;
    else this.parent[rootA] = rootB;
  }
}

function keyOf(ref: AxisRef): string {
  return `${ref.axis} ${ref.value}`;
}
