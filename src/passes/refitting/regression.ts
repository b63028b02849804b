import { GraphBuilder } from '../../ir/builder.js';
import type { Graph } from '../../ir/graph.js';
import type { Semantics } from '../../ir/semantics.js';
import { Tensor } from '../../ir/tensor.js';
import { solveNormalEquations } from '../../math/least-squares.js';
import type { LoadedGraph } from '../../training/engine.js';

/** λ as a part of the mean of the Gram matrix's diagonal (algorithms, A.3). */
const RIDGE = 1e-3;

/** Sums over samples for one group and one phase of a layer: x are inputs, r what the present weights leave of the targets. */
export class Sums {
  count = 0;
  readonly gram: Float64Array;
  readonly inputResidual: Float64Array;
  readonly inputs: Float64Array;
  readonly residuals: Float64Array;
  /** Σ r² over all outputs. */
  energy = 0;

  constructor(
    readonly unknowns: number,
    readonly outputs: number,
  ) {
    this.gram = new Float64Array(unknowns * unknowns);
    this.inputResidual = new Float64Array(unknowns * outputs);
    this.inputs = new Float64Array(unknowns);
    this.residuals = new Float64Array(outputs);
  }
}

/** A change of the weights, unknowns × outputs for each phase, and of the bias. */
export interface Correction {
  readonly weights: readonly Float64Array[];
  readonly bias: Float64Array;
  /** Σ r² that is left, over Σ r² before. */
  readonly left: number;
}

/**
 * The least-squares correction of one group: minimizes Σ_φ ‖R_φ − X_φ D_φ − 1 bᵀ‖² + λ_φ ‖D_φ‖² over the phases φ,
 * which share the bias. With A_φ = G_φ + λ_φ I it is D_φ = A_φ⁻¹ (B_φ − s_φ bᵀ) and
 * b = Σ_φ (t_φ − B_φᵀ v_φ) / Σ_φ (N_φ − s_φᵀ v_φ), v_φ = A_φ⁻¹ s_φ. The ridge draws towards the present weights, so
 * what fits already stays. Undefined where the equations cannot be solved in double precision.
 */
export function correctionOf(phases: readonly Sums[], hasBias: boolean): Correction | undefined {
  const { outputs } = phases[0];
  const solved: { sums: Sums; particular: Float64Array; perBias: Float64Array }[] = [];
  for (const sums of phases) {
    const solution = solvePhase(sums);
    if (!solution) return undefined;
    solved.push({ sums, ...solution });
  }
  const bias = new Float64Array(outputs);
  if (hasBias) {
    let weight = 0;
    for (const { sums, perBias } of solved) {
      weight += sums.count - dot(sums.inputs, perBias);
      for (let o = 0; o < outputs; o++) {
        bias[o] += sums.residuals[o];
        for (let d = 0; d < sums.unknowns; d++) bias[o] -= sums.inputResidual[d * outputs + o] * perBias[d];
      }
    }
    for (let o = 0; o < outputs; o++) bias[o] = weight > 0 ? bias[o] / weight : 0;
  }
  let saved = 0;
  const weights = solved.map(({ sums, particular, perBias }) => {
    for (let d = 0; d < sums.unknowns; d++)
      for (let o = 0; o < outputs; o++) {
        particular[d * outputs + o] -= perBias[d] * bias[o];
        saved += particular[d * outputs + o] * sums.inputResidual[d * outputs + o];
      }
    return particular;
  });
  for (const { sums } of solved) saved += dot(sums.residuals, bias);
  const energy = phases.reduce((sum, phase) => sum + phase.energy, 0);
  return { weights, bias, left: energy > 0 ? Math.max(0, 1 - saved / energy) : 1 };
}

/** A⁻¹ B and A⁻¹ s. */
function solvePhase({ gram, inputResidual, inputs, unknowns, outputs }: Sums) {
  let trace = 0;
  for (let d = 0; d < unknowns; d++) trace += gram[d * unknowns + d];
  if (trace === 0) return { particular: new Float64Array(unknowns * outputs), perBias: new Float64Array(unknowns) };
  const columns = outputs + 1;
  const targets = new Float64Array(unknowns * columns);
  for (let d = 0; d < unknowns; d++) {
    targets.set(inputResidual.subarray(d * outputs, (d + 1) * outputs), d * columns);
    targets[d * columns + outputs] = inputs[d];
  }
  const solution = solveNormalEquations(gram, targets, unknowns, (RIDGE * trace) / unknowns);
  if (!solution) return undefined;
  const particular = new Float64Array(unknowns * outputs);
  const perBias = new Float64Array(unknowns);
  for (let d = 0; d < unknowns; d++) {
    particular.set(solution.subarray(d * columns, d * columns + outputs), d * outputs);
    perBias[d] = solution[d * columns + outputs];
  }
  return { particular, perBias };
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Samples of all groups of a layer in one phase: x [groups, n, unknowns], y [groups, n, outputs], w [groups, unknowns, outputs]. */
export interface Samples {
  readonly x: Tensor;
  readonly y: Tensor;
  readonly w: Tensor;
}

/** Computes for `addSamples`: r = y − x w and the sums over n of x xᵀ, x rᵀ, x, r and r². */
export function sumsGraph(semantics: Semantics): Graph {
  const builder = new GraphBuilder(semantics, { name: 'sums' });
  builder.input('x', { dtype: 'f32', shape: ['groups', 'n', 'unknowns'] });
  builder.input('y', { dtype: 'f32', shape: ['groups', 'n', 'outputs'] });
  builder.input('w', { dtype: 'f32', shape: ['groups', 'unknowns', 'outputs'] });
  const axes = builder.constant('axes', Tensor.integers([1]));
  const residual = builder.apply('Sub', ['y', builder.apply('MatMul', ['x', 'w'])], {}, 'residual');
  const transposed = builder.apply('Transpose', ['x'], { perm: [0, 2, 1] }, 'transposed');
  const squares = builder.apply('Mul', [residual, residual], {}, 'squares');
  const sum = (value: string, name: string) => builder.apply('ReduceSum', [value, axes], { keepdims: 0 }, name);
  return builder.build([
    builder.apply('MatMul', [transposed, 'x'], {}, 'gram'),
    builder.apply('MatMul', [transposed, residual], {}, 'inputResidual'),
    sum('x', 'inputs'),
    sum(residual, 'residuals'),
    sum(squares, 'energy'),
  ]);
}

/** Adds the sums over samples to those of each group. */
export async function addSamples(groups: readonly Sums[], { x, y, w }: Samples, sums: LoadedGraph): Promise<void> {
  const found = await sums.run(new Map(Object.entries({ x, y, w })));
  const numbers = (name: string) => found.get(name)?.toFloat32() as Float32Array;
  const add = (to: (sums: Sums) => Float64Array, name: string) => {
    const values = numbers(name);
    let at = 0;
    for (const group of groups) {
      const total = to(group);
      for (let i = 0; i < total.length; i++) total[i] += values[at++];
    }
  };
  add(({ gram }) => gram, 'gram');
  add(({ inputResidual }) => inputResidual, 'inputResidual');
  add((group) => group.inputs, 'inputs');
  add(({ residuals }) => residuals, 'residuals');
  const energies = numbers('energy');
  for (const [g, group] of groups.entries()) {
    group.count += x.shape[1];
    for (let o = 0; o < group.outputs; o++) group.energy += energies[g * group.outputs + o];
  }
}
