import { Tensor } from '../../ir/tensor.js';

/** About how many bytes of inputs are gathered before their sums are taken. */
const BYTES = 64 << 20;

/** Rows of inputs and targets of one phase, gathered over images: x [groups, n, unknowns] and y [groups, n, outputs]. */
export class Batch {
  private readonly capacity: number;
  private readonly x: Float32Array;
  private readonly y: Float32Array;
  private rows = 0;

  /** @param mostRows how many rows an image has at most, and how many there are over all images */
  constructor(
    private readonly groups: number,
    private readonly unknowns: number,
    private readonly outputs: number,
    mostRows: { readonly image: number; readonly all: number },
  ) {
    const fitting = Math.floor(BYTES / (4 * groups * Math.max(1, unknowns)));
    this.capacity = Math.min(mostRows.all, Math.max(mostRows.image, fitting));
    this.x = new Float32Array(groups * this.capacity * unknowns);
    this.y = new Float32Array(groups * this.capacity * outputs);
  }

  hasRoomFor(rows: number): boolean {
    return this.rows + rows <= this.capacity;
  }

  /** Adds a row that `fill` writes: inputs of group g from `x(g)`, targets from `y(g)`. */
  add(
    fill: (x: Float32Array, y: Float32Array, starts: { x: (g: number) => number; y: (g: number) => number }) => void,
  ) {
    const row = this.rows++;
    fill(this.x, this.y, {
      x: (g) => (g * this.capacity + row) * this.unknowns,
      y: (g) => (g * this.capacity + row) * this.outputs,
    });
  }

  /** What has been gathered, and starts anew; undefined where there is nothing. */
  take(): { x: Tensor; y: Tensor } | undefined {
    const { rows, groups, unknowns, outputs } = this;
    if (rows === 0 || unknowns === 0) return undefined;
    this.rows = 0;
    return {
      x: Tensor.from([groups, rows, unknowns], this.compact(this.x, rows, unknowns)),
      y: Tensor.from([groups, rows, outputs], this.compact(this.y, rows, outputs)),
    };
  }

  private compact(values: Float32Array, rows: number, width: number): Float32Array {
    if (this.groups === 1) return values.subarray(0, rows * width);
    const out = new Float32Array(this.groups * rows * width);
    for (let g = 0; g < this.groups; g++) {
      const start = g * this.capacity * width;
      out.set(values.subarray(start, start + rows * width), g * rows * width);
    }
    return out;
  }
}
