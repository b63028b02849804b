import type { Layer } from '../../analysis/layers.js';
import type { Node } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';

/** Channels of a layer at which its weight is 0 throughout: 1 marks them. */
export interface ZeroSlices {
  /** Output channels that nothing but the bias goes into. */
  readonly made: Uint8Array;
  /** Input channels that no output of their group reads. */
  readonly read: Uint8Array;
}

/** Looks for zero slices of weights, once for each tensor. */
export class ZeroSliceFinder {
  private readonly found = new Map<Tensor, Map<number, Marks>>();

  of({ node, weight: { tensor }, outAxis }: Layer): ZeroSlices {
    const groups = groupsOf(node);
    const byGroups = this.found.get(tensor) ?? new Map<number, Marks>();
    const { rows, columns } = byGroups.get(groups) ?? markedSlices(tensor, groups);
    this.found.set(tensor, byGroups.set(groups, { rows, columns }));
    return outAxis === 0 ? { made: rows, read: columns } : { made: columns, read: rows };
  }
}

export function groupsOf({ attributes }: Node): number {
  return (attributes.group as number | undefined) ?? 1;
}

/** Which slices along the first two axes of a weight are 0. */
interface Marks {
  readonly rows: Uint8Array;
  /** Group after group. */
  readonly columns: Uint8Array;
}

/** Reads the weight once: to look at the beginning of each row alone takes as long. */
function markedSlices(weight: Tensor, groups: number): Marks {
  const [rowCount, columnCount] = weight.shape;
  const marker = new SliceMarker(rowCount, columnCount, groups);
  const length = weight.size / Math.max(1, rowCount);
  let row = 0;
  for (const values of weight.float32Pieces())
    for (let at = 0; at < values.length; at += length) marker.look(row++, values, at, at + length);
  return marker;
}

class SliceMarker implements Marks {
  readonly rows: Uint8Array;
  readonly columns: Uint8Array;
  /** Columns of each group that were 0 in all rows so far. */
  private readonly candidates: Uint32Array;
  private readonly rowsPerGroup: number;

  constructor(
    rowCount: number,
    private readonly columnCount: number,
    groups: number,
  ) {
    this.rows = new Uint8Array(rowCount);
    this.columns = new Uint8Array(groups * columnCount).fill(1);
    this.candidates = new Uint32Array(groups).fill(columnCount);
    this.rowsPerGroup = rowCount / groups;
  }

  /** Takes in a row, which is `values` from `start` to `end`. */
  look(row: number, values: Float32Array, start: number, end: number): void {
    let first = start;
    while (first < end && values[first] === 0) first++;
    const group = Math.floor(row / this.rowsPerGroup);
    if (first === end) this.rows[row] = 1;
    else if (this.candidates[group] > 0) this.strikeOut(group, values, start, end);
  }

  private strikeOut(group: number, values: Float32Array, start: number, end: number): void {
    const kernel = (end - start) / this.columnCount;
    for (let column = 0, at = start; column < this.columnCount; column++, at += kernel) {
      const mark = group * this.columnCount + column;
      if (!this.columns[mark]) continue;
      let tap = 0;
      while (tap < kernel && values[at + tap] === 0) tap++;
      if (tap === kernel) continue;
      this.columns[mark] = 0;
      this.candidates[group]--;
    }
  }
}
