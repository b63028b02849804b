import { RUNTIME_TITLES } from '../runtime/runner.js';
import type { Accuracy } from '../validate/equivalence.js';
import { textTable } from './text-table.js';
import type { ArtifactReport, ModelReport, Ratios, Report } from './types.js';

/** The before/after table that a run prints. */
export function resultTable(report: Report): string {
  return report.artifacts.length === 1 ? tableOfOne(report) : tableOfMany(report);
}

/** A column an artefact; in brackets how many times better than the original, which always runs in ONNX Runtime. */
function tableOfMany({ original, artifacts }: Report): string {
  const row = (title: string, of: (model: ModelReport) => string, gain?: keyof Ratios) => [
    title,
    of(original),
    ...artifacts.map((artifact) => withGain(of(artifact), gain && artifact.ratios[gain])),
  ];
  return textTable(
    ['', 'original', ...artifacts.map(({ format }) => format)],
    [
      row('runs in', ({ runtime }) => RUNTIME_TITLES[runtime]),
      row('parameters', ({ parameters }) => count(parameters), 'parameters'),
      row('MACs', ({ macs }) => count(macs), 'macs'),
      row('file', ({ sizeBytes }) => bytes(sizeBytes), 'sizeBytes'),
      row('latency, 1 thread', milliseconds, 'latency'),
      row('frames/s, 1 thread', perSecond),
      ...diceRows(artifacts),
      ['off the same net in ONNX', '', ...artifacts.map(conversionShare)],
    ],
  );
}

function withGain(text: string, ratio: number | null | undefined): string {
  return ratio === null || ratio === undefined ? text : `${text} (${times(ratio)})`;
}

function diceRows(artifacts: readonly ArtifactReport[]): string[][] {
  const judged = artifacts.map(({ accuracy }) => accuracy);
  const known = judged.find((accuracy) => accuracy !== null);
  if (!known) return [['accuracy', '', ...artifacts.map(({ broken }) => (broken ? `broken: ${broken}` : 'unknown'))]];
  const dice = artifacts.map(({ accuracy, broken }) =>
    accuracy ? `${accuracy.compressed.mean.toFixed(4)} (${signed(accuracy.difference.mean)})` : `broken: ${broken}`,
  );
  return [[diceTitle(known), known.original.mean.toFixed(4), ...dice]];
}

/** The largest difference of the raw output as a share of its range. */
function conversionShare({ conversion }: ArtifactReport): string {
  return conversion ? (conversion.maxAbsoluteError / (conversion.range || 1)).toExponential(1) : '';
}

function tableOfOne(report: Report): string {
  const [artifact] = report.artifacts;
  const { original, ratios } = report;
  return textTable(
    ['', 'original', 'compressed', 'gain'],
    [
      ['parameters', count(original.parameters), count(artifact.parameters), times(ratios.parameters)],
      ['MACs', count(original.macs), count(artifact.macs), times(ratios.macs)],
      ['file', bytes(original.sizeBytes), bytes(artifact.sizeBytes), times(ratios.sizeBytes)],
      ['latency, 1 thread', milliseconds(original), milliseconds(artifact), times(ratios.latency)],
      ['frames/s, 1 thread', perSecond(original), perSecond(artifact), ''],
      ...threadRows(original, artifact),
      ...accuracyRows(artifact),
    ],
  );
}

function threadRows(original: ModelReport, artifact: ArtifactReport): string[][] {
  const [before, after] = [original.latencyMs?.threadsN, artifact.latencyMs?.threadsN];
  if (!before || !after) return [];
  return [
    [
      `latency, ${after.threads} threads`,
      `${fixed(before.median)} ms`,
      `${fixed(after.median)} ms`,
      times(before.median / after.median),
    ],
  ];
}

function accuracyRows(artifact: ArtifactReport): string[][] {
  const { accuracy } = artifact;
  if (!accuracy) return [['accuracy', '', artifact.broken ? `broken: ${artifact.broken}` : 'unknown', '']];
  const what = diceTitle(accuracy);
  const hd95 = (value: number | null) => (value === null ? '–' : `${fixed(value)} ${accuracy.hd95.unit}`);
  return [
    [what, accuracy.original.mean.toFixed(4), accuracy.compressed.mean.toFixed(4), signed(accuracy.difference.mean)],
    ['HD95', hd95(accuracy.hd95.original), hd95(accuracy.hd95.compressed), ''],
  ];
}

function diceTitle({ reference, split }: Accuracy): string {
  return reference === 'masks' ? `Dice (${split})` : `Dice to the original (${split})`;
}

/** What the accuracy figures mean, in one sentence. */
export function accuracySentence(report: Report): string {
  const [artifact] = report.artifacts;
  const { accuracy } = artifact;
  if (artifact.broken) return `The output is ${artifact.broken}: the compressed model is broken.`;
  if (!accuracy) return `Accuracy is ${artifact.reasons.accuracy}.`;
  const interval = accuracy.difference.ci90;
  const band = interval ? ` (90 % interval ${signed(interval[0])} to ${signed(interval[1])})` : '';
  const change = `Mean Dice changed by ${signed(accuracy.difference.mean)}${band} over ${accuracy.images} ${accuracy.split} images of ${accuracy.groups} groups`;
  const { equivalent, margin } = accuracy.tost;
  if (equivalent === null) return `${change}; equivalence is judged on test images only (--test-data).`;
  return `${change}: ${equivalent ? 'equivalent' : 'not shown to be equivalent'} at a margin of ${margin}.`;
}

function times(ratio: number | null): string {
  return ratio === null ? '' : `${ratio >= 100 ? ratio.toFixed(0) : ratio.toPrecision(3)}x`;
}

export function count(value: number | null): string {
  return value === null ? 'unknown' : value.toLocaleString('en-US');
}

function bytes(value: number | null): string {
  if (value === null) return 'unknown';
  const units = ['B', 'kB', 'MB', 'GB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3));
  return power === 0 ? `${value} B` : `${(value / 1000 ** power).toFixed(1)} ${units[power]}`;
}

function milliseconds({ latencyMs }: ModelReport): string {
  return latencyMs ? `${fixed(latencyMs.threads1.median)} ms` : 'not measured';
}

function perSecond({ latencyMs }: ModelReport): string {
  return latencyMs ? framesPerSecond(latencyMs.threads1.median) : '';
}

/** Of runs that take so many milliseconds, to three digits. */
export function framesPerSecond(milliseconds: number): string {
  return fixed(1000 / milliseconds);
}

function fixed(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`;
}
