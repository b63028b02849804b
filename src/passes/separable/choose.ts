import { type Kernel, type Unfolding, unfold, unfoldedShape } from '../../analysis/unfolding.js';
import type { DataType } from '../../ir/types.js';
import { decompositionCost, singularValues } from '../../math/svd.js';
import type { Form } from './forms.js';

/** What is wanted of a layer: forms in order of preference, and a fixed rank or the largest error. */
export type Goal =
  | { readonly kind: 'rank'; readonly rank: number; readonly pick: 'first' | 'best' }
  | { readonly kind: 'error'; readonly maxError: number };

export interface Choice {
  readonly form: Form;
  readonly rank: number;
  /** ‖W − Ŵ‖ / ‖W‖, from the singular values. */
  readonly relativeError: number;
}

/** Floating-point operations that the search for a rank may take in one form of one layer: some seconds. */
const AFFORDABLE = 3e9;

const PRECISION: Partial<Record<DataType, number>> = { f16: 2 ** -11, bf16: 2 ** -8, f32: 2 ** -24, f64: 2 ** -46 };

/**
 * A kernel of exact rank r whose entries were rounded to `dtype` lies within one unit roundoff of a matrix of rank r;
 * twice that leaves room for a later folding. For double it is what the decomposition itself can tell.
 */
function exactTolerance(dtype: DataType): number {
  return 2 * (PRECISION[dtype] ?? 0);
}

/** The factorization of one kernel, or the reason why it stays. */
export function choose(kernel: Kernel, forms: readonly Form[], goal: Goal): Choice | string {
  if (goal.kind === 'error') return cheapestWithin(kernel, forms, goal.maxError);
  return goal.pick === 'first' ? preferredOfRank(kernel, forms, goal.rank) : closestOfRank(kernel, forms, goal.rank);
}

/**
 * The first form, at the given rank or the lower one at which it is exact. Where a later form is exact and the first is
 * not, that one; a kernel whose exact form saves nothing stays, since it is as good as factorized.
 */
function preferredOfRank(kernel: Kernel, [preferred, ...others]: readonly Form[], rank: number): Choice | string {
  const tolerance = exactTolerance(kernel.weight.dtype);
  const first = atRank(kernel, preferred, rank);
  if (typeof first === 'string') return first;
  const exactForm =
    first.relativeError > tolerance &&
    others.find((form) => rank < form.fullRank && isExact(kernel, form, rank, tolerance));
  const choice = exactForm ? atRank(kernel, exactForm, rank) : first;
  return typeof choice === 'string' || saves(kernel, choice) ? choice : noSaving(choice);
}

/** Of the forms that save work at this rank the one with the smallest error; of exact ones the cheapest. */
function closestOfRank(kernel: Kernel, forms: readonly Form[], rank: number): Choice | string {
  const tolerance = exactTolerance(kernel.weight.dtype);
  const choices = forms.map((form) => atRank(kernel, form, rank));
  const failed = choices.find((choice) => typeof choice === 'string');
  if (failed) return failed;
  const error = ({ relativeError }: Choice) => Math.max(relativeError, tolerance);
  const best = choices
    .filter((choice) => typeof choice !== 'string' && saves(kernel, choice))
    .map((choice) => choice as Choice)
    .sort((a, b) => error(a) - error(b) || macsOf(a) - macsOf(b));
  return best[0] ?? `at rank ${rank} no form saves anything`;
}

function atRank(kernel: Kernel, form: Form, rank: number): Choice | string {
  const most = Math.min(rank, form.fullRank);
  const tails = tailEnergies(kernel, form.unfolding, most);
  if (!tails) return NOT_FINITE;
  const exact = smallestRank(tails, exactTolerance(kernel.weight.dtype));
  return { form, rank: exact ?? most, relativeError: relativeError(tails, exact ?? most) };
}

/** The form and rank with the fewest multiply–accumulates at that error, where it has fewer than the kernel itself. */
function cheapestWithin(kernel: Kernel, forms: readonly Form[], maxError: number): Choice | string {
  let best: Choice | undefined;
  let unsearched = '';
  for (const form of forms) {
    const macs = best ? macsOf(best) : kernel.weight.size;
    const limit = Math.min(form.fullRank, Math.ceil(macs / form.macsPerRank) - 1);
    const most = affordableRank(kernel, form, limit);
    if (most < limit) unsearched += `; ranks above ${most} of the form '${form.name}' were not searched`;
    if (most < 1) continue;
    const found = searchRank(kernel, form, most, maxError);
    if (found === NOT_FINITE) return found;
    if (typeof found !== 'string') best = found;
  }
  return best ?? `no rank within a relative error of ${maxError} saves multiply–accumulates${unsearched}`;
}

/** Looks at more and more singular values, until the error is met or what is left to gain is too little. */
function searchRank(kernel: Kernel, form: Form, most: number, maxError: number): Choice | string {
  const allowed = Math.max(maxError, exactTolerance(kernel.weight.dtype));
  for (let looked = Math.min(16, most); ; looked = Math.min(2 * looked, most)) {
    const tails = tailEnergies(kernel, form.unfolding, looked);
    if (!tails) return NOT_FINITE;
    const rank = smallestRank(tails, allowed);
    if (rank !== undefined) return { form, rank, relativeError: relativeError(tails, rank) };
    // No later singular value is above the last one seen; a tenth more because that one is estimated from below.
    const gain = 1.1 * (most - looked) * (tails[looked - 1] - tails[looked]);
    if (looked === most || tails[looked] - gain > allowed ** 2 * tails[0]) return 'no rank is close enough';
  }
}

/** The largest rank up to `limit` whose singular values can be found in reasonable time. */
function affordableRank(kernel: Kernel, form: Form, limit: number): number {
  const { count, rows, columns } = unfoldedShape(kernel, form.unfolding);
  const cost = (rank: number) => count * decompositionCost(rows, columns, rank);
  if (cost(limit) <= AFFORDABLE) return limit;
  let [low, high] = [0, limit];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (cost(middle) <= AFFORDABLE) low = middle;
    else high = middle;
  }
  return low;
}

/** Squared error at rank 0 … most, summed over all matrices; undefined where a weight is not finite. */
function tailEnergies(kernel: Kernel, by: Unfolding, most: number): Float64Array | undefined {
  const { rows, columns } = unfoldedShape(kernel, by);
  const tails = new Float64Array(most + 1);
  for (const matrix of unfold(kernel, by)) {
    if (!isFiniteMatrix(matrix)) return undefined;
    const { values, rest } = singularValues(matrix, rows, columns, most);
    let tail = rest;
    for (let rank = most; rank >= 0; rank--) {
      tails[rank] += tail;
      if (rank > 0) tail += values[rank - 1] ** 2;
    }
  }
  return tails;
}

/** Whether every single matrix is of that rank; stops at the first that is not. */
function isExact(kernel: Kernel, { unfolding }: Form, rank: number, tolerance: number): boolean {
  const { rows, columns } = unfoldedShape(kernel, unfolding);
  for (const matrix of unfold(kernel, unfolding)) {
    const { values, rest } = singularValues(matrix, rows, columns, rank);
    const energy = values.reduce((sum, value) => sum + value ** 2, rest);
    if (!(rest <= tolerance ** 2 * energy)) return false;
  }
  return true;
}

function smallestRank(tails: Float64Array, maxError: number): number | undefined {
  for (let rank = 1; rank < tails.length; rank++) if (relativeError(tails, rank) <= maxError) return rank;
  return undefined;
}

function relativeError(tails: Float64Array, rank: number): number {
  return tails[0] > 0 ? Math.sqrt(tails[rank] / tails[0]) : 0;
}

const NOT_FINITE = 'its weight holds values that are not finite';

function isFiniteMatrix(matrix: Float64Array): boolean {
  let sum = 0;
  for (let i = 0; i < matrix.length; i++) sum += matrix[i] * matrix[i];
  return Number.isFinite(sum);
}

function macsOf({ form, rank }: Choice): number {
  return rank * form.macsPerRank;
}

function saves(kernel: Kernel, { form, rank }: Choice): boolean {
  return rank * Math.min(form.macsPerRank, form.parametersPerRank) < kernel.weight.size;
}

function noSaving({ form, rank }: Choice): string {
  return `at rank ${rank} the form '${form.name}' saves neither multiply–accumulates nor parameters`;
}
