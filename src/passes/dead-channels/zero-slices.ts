import type { Layer } from '../../analysis/layers.js';
import type { Node } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import { bitsOf } from '../../ir/types.js';

/** Channels of a layer at which its weight is 0 throughout: 1 marks them. */
export interface ZeroSlices {
  /** Output channels that nothing but the bias goes into. */
  readonly made: Uint8Array;
  /** Input channels that no output of their group reads. */
  readonly read: Uint8Array;
}

/** Looks for zero slices of weights, once for each tensor. */
export class ZeroSliceFinder {
  private readonly found = new Map<Tensor, Map<number, ZeroRowsAndColumns>>();

  of({ node, weight: { tensor }, outAxis }: Layer): ZeroSlices {
    const groups = groupsOf(node);
    const byGroups = this.found.get(tensor) ?? new Map<number, ZeroRowsAndColumns>();
    const slices = byGroups.get(groups) ?? zeroRowsAndColumns(tensor, groups);
    this.found.set(tensor, byGroups.set(groups, slices));
    const { rows, columns } = slices;
    return outAxis === 0 ? { made: rows, read: columns } : { made: columns, read: rows };
  }
}

interface ZeroRowsAndColumns {
  readonly rows: Uint8Array;
  /** Group after group. */
  readonly columns: Uint8Array;
}

export function groupsOf({ attributes }: Node): number {
  return (attributes.group as number | undefined) ?? 1;
}

/**
 * Marks the zero slices along the first two axes. A row shows in its first
 * kernel that it is not zero, and the first such row which columns cannot be, so of an ordinary weight little is read.
 */
function zeroRowsAndColumns(weight: Tensor, groups: number): ZeroRowsAndColumns {
  const [rowCount, columnCount] = weight.shape;
  const rows = Uint8Array.from({ length: rowCount }, (_, row) => Number(isZeroRow(weight, row)));
  const columns = new Uint8Array(groups * columnCount);
  const block = rowCount / groups;
  for (let group = 0; group < groups; group++)
    for (const column of zeroColumns(weight, rows, group * block, (group + 1) * block))
      columns[group * columnCount + column] = 1;
  return { rows, columns };
}

function isZeroRow(weight: Tensor, row: number): boolean {
  const whole = weight.rows(row, row + 1);
  return isZero(whole.slice(1, 0, Math.min(1, weight.shape[1]))) && isZero(whole);
}

/** Columns that are 0 in all rows from `first` to `end`. */
function zeroColumns(weight: Tensor, zeroRows: Uint8Array, first: number, end: number): number[] {
  let left = Array.from({ length: weight.shape[1] }, (_, column) => column);
  const kernel = weight.shape.slice(2).reduce((product, size) => product * size, 1);
  for (let row = first; row < end && left.length > 0; row++) {
    if (zeroRows[row]) continue;
    const values = weight.rows(row, row + 1).toNumbers();
    left = left.filter((column) => {
      for (let at = column * kernel; at < (column + 1) * kernel; at++) if (values[at] !== 0) return false;
      return true;
    });
  }
  return left;
}

/** Looks at bytes, so that nothing is rounded to 0; the sign of a zero does not matter. */
function isZero(tensor: Tensor): boolean {
  const width = bitsOf(tensor.dtype) / 8;
  for (const chunk of tensor.chunks())
    for (let i = 0; i < chunk.length; i++)
      if (chunk[i] !== 0 && !(chunk[i] === 0x80 && i % width === width - 1)) return false;
  return true;
}
