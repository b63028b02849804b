import { badModelInput } from '../errors.js';
import type { Runner, TensorData, Tensors } from '../runtime/runner.js';
import type { CandidateAccuracy, NumericAgreement } from './accuracy.js';
import type { JudgeRequest, JudgeRunners } from './judge.js';
import { syntheticInputs } from './latency.js';
import { brokenBecause, compareOutputs, outputRange } from './numeric.js';

/**
 * One run on seeded noise: enough to see a broken output and, for exact passes and conversions, the rounding. What
 * answers with classes, or takes whole pixels, is not held against the original's scores.
 */
export async function judgeOnNoise(
  request: JudgeRequest,
  { original, candidates, reference }: JudgeRunners,
): Promise<CandidateAccuracy[]> {
  const inputs = syntheticInputs(original, { shapes: { ...request.shapes }, seed: request.seed });
  const wanted = await original.run(inputs);
  const compressed = reference && (await reference.run(fittedTo(reference, inputs)));
  const accuracy: CandidateAccuracy[] = [];
  for (const candidate of candidates) {
    const actual = await candidate.run(fittedTo(candidate, inputs));
    accuracy.push({
      numeric: isAlike(original, candidate) ? compareAll(candidate.file, actual, wanted) : null,
      conversion: compressed && candidate !== reference ? compareAll(candidate.file, actual, compressed) : null,
      accuracy: null,
      broken: brokenOutput(actual),
    });
  }
  return accuracy;
}

function isAlike(original: Runner, candidate: Runner): boolean {
  const types = ({ info }: Runner) => [...info.inputs, ...info.outputs].map(({ type }) => type === 'float32').join();
  return types(original) === types(candidate);
}

/** Intensities from 0 to 1 as 8-bit pixels, for models that take those. */
function fittedTo({ info }: Runner, inputs: Tensors): Tensors {
  const fitted = info.inputs.map(({ name, type }) => {
    const given = inputs[name]!;
    if (given.type !== 'float32' || (type !== 'uint8' && type !== 'int32')) return [name, given] as const;
    const pixels = given.data.map((intensity) => Math.round(intensity * 255));
    const data = type === 'uint8' ? Uint8Array.from(pixels) : Int32Array.from(pixels);
    return [name, { ...given, type, data } as TensorData] as const;
  });
  return Object.fromEntries(fitted);
}

function compareAll(file: string, actual: Tensors, wanted: Tensors): NumericAgreement {
  let worst: NumericAgreement | undefined;
  for (const [name, reference] of Object.entries(wanted)) {
    const output = actual[name];
    if (!output || output.data.length !== reference.data.length)
      throw badModelInput(file, `its output '${name}' is missing or has another size`);
    const [a, b] = [
      Float64Array.from(output.data as ArrayLike<number>, Number),
      Float64Array.from(reference.data as ArrayLike<number>, Number),
    ];
    const { maxAbsoluteError, relativeL2, worst: index } = compareOutputs(a, b, reference.dims);
    const { minimum, maximum } = outputRange(b);
    if (!worst || maxAbsoluteError > worst.maxAbsoluteError)
      worst = {
        maxAbsoluteError,
        relativeL2,
        worst: { image: `noise, output '${name}'`, index },
        range: maximum - minimum,
      };
  }
  return worst ?? { maxAbsoluteError: 0, relativeL2: 0, worst: { image: '', index: [] }, range: 0 };
}

/** Noise may well give one class everywhere, so only values that are not finite count as broken here. */
function brokenOutput(outputs: Tensors): CandidateAccuracy['broken'] {
  const ranges = Object.values(outputs).map(({ data }) =>
    outputRange(Float64Array.from(data as ArrayLike<number>, Number)),
  );
  return ranges.some((range) => brokenBecause(range) === 'not finite') ? 'not finite' : null;
}
