/**
 * Greedy choice of variables from which linear functions of all of them can be predicted best (forward selection with
 * Cholesky updates; for ThiNet's purpose, Luo et al. 2017, with the best linear reconstruction instead of none).
 */

/** Predict the variables x, of covariance C, where an error e costs eᵀ A e. */
export interface PredictionTask {
  /** C, symmetric, row-major; overwritten. */
  readonly covariance: Float64Array;
  /** A, symmetric, row-major. */
  readonly cost: Float64Array;
  /** The variables of each unit; units are chosen as a whole. */
  readonly units: readonly (readonly number[])[];
}

/**
 * Chooses `count` units, one after another, such that the sum over the tasks of the expected cost of the best linear
 * prediction falls most each time. Equal gains take the earlier unit. Returns the units in the order of choice.
 */
export function selectUnits(tasks: readonly PredictionTask[], unitCount: number, count: number): number[] {
  const states = tasks.map((task) => new Prediction(task));
  const chosen: number[] = [];
  const isOpen = new Uint8Array(unitCount).fill(1);
  while (chosen.length < count) {
    let best = -1;
    let most = -1;
    for (let unit = 0; unit < unitCount; unit++) {
      if (!isOpen[unit]) continue;
      const gain = states.reduce((sum, state) => sum + state.gain(unit), 0);
      if (gain > most) [best, most] = [unit, gain];
    }
    isOpen[best] = 0;
    chosen.push(best);
    if (chosen.length < count) for (const state of states) state.know(best);
  }
  return chosen;
}

/** A pivot below this part of a variable's own variance says that the variable is predicted already. */
const PREDICTED = 1e-9;

/** The errors of the best linear prediction from the units that are known so far. */
class Prediction {
  private readonly size: number;
  /** Covariance E of the errors. */
  private readonly errors: Float64Array;
  /** E A. */
  private readonly costs: Float64Array;
  private readonly variances: Float64Array;

  constructor(private readonly task: PredictionTask) {
    this.errors = task.covariance;
    this.size = Math.round(Math.sqrt(this.errors.length));
    this.variances = Float64Array.from({ length: this.size }, (_, i) => this.errors[i * this.size + i]);
    this.costs = product(this.errors, task.cost, this.size);
  }

  /** By how much the expected cost falls when the unit is known too: tr(E_JJ⁻¹ (E A E)_JJ). */
  gain(unit: number): number {
    const variables = this.task.units[unit];
    const { size, errors } = this;
    if (variables.length === 1) {
      const [j] = variables;
      const pivot = errors[j * size + j];
      return pivot > PREDICTED * this.variances[j] ? this.#costOf(j, j) / pivot : 0;
    }
    const block = variables.map((i) => variables.map((j) => errors[i * size + j]));
    const saved = variables.map((i) => variables.map((j) => this.#costOf(i, j)));
    let gain = 0;
    for (const [p, variable] of variables.entries()) {
      const pivot = block[p][p];
      if (!(pivot > PREDICTED * this.variances[variable])) continue;
      gain += saved[p][p] / pivot;
      eliminate(block, saved, p);
    }
    return gain;
  }

  /** Takes the unit's variables as known: E ← E − e eᵀ / E_jj for each. */
  know(unit: number): void {
    const { size, errors, costs } = this;
    for (const j of this.task.units[unit]) {
      const pivot = errors[j * size + j];
      if (!(pivot > PREDICTED * this.variances[j])) continue;
      const known = errors.slice(j * size, (j + 1) * size);
      const knownCosts = costs.slice(j * size, (j + 1) * size);
      for (let i = 0; i < size; i++) {
        const factor = known[i] / pivot;
        if (factor === 0) continue;
        for (let k = 0, at = i * size; k < size; k++, at++) {
          errors[at] -= factor * known[k];
          costs[at] -= factor * knownCosts[k];
        }
      }
    }
  }

  /** (E A E)_ij. */
  #costOf(i: number, j: number): number {
    const { size, errors, costs } = this;
    let sum = 0;
    for (let k = 0; k < size; k++) sum += costs[i * size + k] * errors[j * size + k];
    return sum;
  }
}

/** Conditions a unit's own matrices E and E A E on its variable p: E′ = E − e eᵀ/π, and E′ A E′ accordingly. */
function eliminate(block: number[][], saved: number[][], p: number): void {
  const pivot = block[p][p];
  const row = block[p].slice();
  const savedRow = saved[p].slice();
  const size = block.length;
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      saved[i][j] +=
        (row[i] * row[j] * savedRow[p]) / pivot ** 2 - (row[i] * savedRow[j] + savedRow[i] * row[j]) / pivot;
      block[i][j] -= (row[i] * row[j]) / pivot;
    }
}

function product(a: Float64Array, b: Float64Array, size: number): Float64Array {
  const out = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let k = 0; k < size; k++) {
      const factor = a[i * size + k];
      if (factor === 0) continue;
      for (let j = 0, from = k * size, to = i * size; j < size; j++, from++, to++) out[to] += factor * b[from];
    }
  return out;
}
