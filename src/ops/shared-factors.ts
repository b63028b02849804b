import type { Dim, Shape } from '../ir/types.js';
import { productKey, productOfDims } from './product.js';

/**
 * A factor that an input axis and an output axis of a Reshape have in common: row-major, coordinate c of either axis
 * has coordinate `floor(c / inner) mod size` in it.
 */
export interface Factor {
  readonly inputAxis: number;
  readonly outputAxis: number;
  readonly size: number;
  /** Product of the factors that stand after this one in its input axis, and in its output axis. */
  readonly innerOfInput: number;
  readonly innerOfOutput: number;
  /** Whether the factor is the whole axis. */
  readonly isInputAxis: boolean;
  readonly isOutputAxis: boolean;
}

interface Axis {
  readonly axis: number;
  readonly size: Dim;
}

/**
 * The factors of static axes that a Reshape leaves together; axes of extent 1 have none. Input and output are cut
 * where the products before (or behind) agree, and each stretch is taken apart from the front as far as numbers divide.
 */
export function commonFactors(input: Shape, output: Shape): Factor[] {
  if (input.includes(0) || output.includes(0)) return [];
  const inputs = withoutOnes(input);
  const outputs = withoutOnes(output);
  const cuts = commonCuts(inputs, outputs);
  return cuts
    .slice(1)
    .flatMap(([i, j], n) => factorsOfStretch(inputs.slice(cuts[n][0], i), outputs.slice(cuts[n][1], j)));
}

function withoutOnes(shape: Shape): Axis[] {
  return shape.map((size, axis) => ({ axis, size })).filter(({ size }) => size !== 1);
}

/** Pairs (i, j) such that the first i input axes hold as many elements as the first j output axes. */
function commonCuts(inputs: readonly Axis[], outputs: readonly Axis[]): [number, number][] {
  const keys = (axes: readonly Axis[], stretch: (i: number) => [number, number?]) =>
    axes.map((_, i) => productKey(productOfDims(axes.slice(...stretch(i)).map(({ size }) => size))));
  const [before, behind] = [(i: number): [number, number] => [0, i], (i: number): [number] => [i]];
  const [inputsBefore, inputsBehind] = [keys(inputs, before), keys(inputs, behind)];
  const [outputsBefore, outputsBehind] = [keys(outputs, before), keys(outputs, behind)];
  const cuts: [number, number][] = [[0, 0]];
  for (let i = 1; i < inputs.length; i++)
    for (let j = cuts[cuts.length - 1][1] + 1; j < outputs.length; j++)
      if (inputsBefore[i] === outputsBefore[j] || inputsBehind[i] === outputsBehind[j]) {
        cuts.push([i, j]);
        break;
      }
  cuts.push([inputs.length, outputs.length]);
  return cuts;
}

function factorsOfStretch(inputs: readonly Axis[], outputs: readonly Axis[]): Factor[] {
  const factors: Factor[] = [];
  let [i, j] = [0, 0];
  let [leftOfInput, leftOfOutput] = [inputs[0]?.size, outputs[0]?.size];
  while (typeof leftOfInput === 'number' && typeof leftOfOutput === 'number') {
    const size = Math.min(leftOfInput, leftOfOutput);
    if (leftOfInput % size !== 0 || leftOfOutput % size !== 0) break;
    leftOfInput /= size;
    leftOfOutput /= size;
    factors.push({
      inputAxis: inputs[i].axis,
      outputAxis: outputs[j].axis,
      size,
      innerOfInput: leftOfInput,
      innerOfOutput: leftOfOutput,
      isInputAxis: size === inputs[i].size,
      isOutputAxis: size === outputs[j].size,
    });
    if (leftOfInput === 1) leftOfInput = inputs[++i]?.size;
    if (leftOfOutput === 1) leftOfOutput = outputs[++j]?.size;
  }
  return factors;
}
