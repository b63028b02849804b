import { compressFile } from '../compress.js';
import { OPTIONS, type Options } from '../options.js';
import type { PassReport } from '../passes/run.js';
import { CHANGING } from '../recipe/provenance.js';
import { accuracySentence, resultTable } from '../report/table.js';
import type { Report } from '../report/types.js';
import { interruptSignal, openTerminal, type Terminal } from './terminal.js';

/** The main job. Returns the exit code: 2 where a stated limit is not met. */
export async function runCompress(file: string, options: Options): Promise<number> {
  const terminal = openTerminal(options);
  const { onProgress, onWarning } = terminal;
  const report = await compressFile(file, options, { signal: interruptSignal(), onProgress, onWarning });
  terminal.finish();
  printReport(report, options, terminal);
  const equivalent = report.accuracy?.tost.equivalent === true;
  return options.failIfNotEquivalent && !equivalent ? 2 : 0;
}

function printReport(report: Report, options: Options, terminal: Terminal): void {
  for (const guess of report.resolved.guesses as string[]) terminal.say(guess);
  for (const pass of report.passes) printPass(pass, options.dryRun ? terminal.result : terminal.detail);
  for (const warning of report.warnings) terminal.say(`warning: ${warning}`);
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  terminal.result(resultTable(report));
  if (options.dryRun) return;
  terminal.result(accuracySentence(report));
  terminal.result(nextCommand(report, options));
}

/** One line a layer; what stayed says why. */
function printPass({ name, changes, seconds }: PassReport, print: (text: string) => void): void {
  print(`${name} (${seconds.toFixed(2)} s)`);
  for (const { layer, action, reason, before, after, ...rest } of changes) {
    const widths = before === undefined ? '' : before === after ? ` ${before}` : ` ${before} -> ${after}`;
    const details = Object.entries(rest).flatMap(([key, value]) =>
      value === undefined ? [] : [`${key} ${formatDetail(value)}`],
    );
    print(
      `  ${layer}: ${action}${widths}${details.length ? ` (${details.join(', ')})` : ''}${reason ? `: ${reason}` : ''}`,
    );
  }
}

function formatDetail(value: unknown): string {
  return typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(3) : String(value);
}

/** The exact command that is worth running next. */
function nextCommand(report: Report, options: Options): string {
  const [artifact] = report.artifacts;
  const quote = (text: string) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  if (!artifact.accuracy)
    return `To measure what it cost: unet-compress validate ${quote(report.original.file)} ${quote(artifact.file)} --data <folder with images/ and masks/>`;
  if (artifact.accuracy.tost.equivalent)
    return `To see where the parameters are: unet-compress inspect ${quote(artifact.file)}`;
  const folders = [
    ['--data', options.data],
    ['--test-data', options.testData],
    ['--out', options.out],
  ].flatMap(([flag, folder]) => (folder === undefined ? [] : [flag, quote(folder)]));
  const teach = options.data === undefined ? ['--data <folder with images>'] : [];
  if (!options.distill && isChanged(options))
    return `To win the accuracy back: ${['unet-compress', ...sameFlags(options, quote), '--distill', ...teach, ...folders, quote(report.original.file)].join(' ')}`;
  const milder = milderFlags(options);
  if (milder === '') return `To see what is left: unet-compress inspect ${quote(artifact.file)}`;
  return `To win accuracy back, keep more: ${['unet-compress', milder, '--distill', ...folders, quote(report.original.file)].join(' ')}`;
}

function isChanged(options: Options): boolean {
  return options.thin !== undefined || options.width !== undefined || options.separable !== undefined;
}

/** What was given, as it is typed. */
function sameFlags(options: Options, quote: (text: string) => string): string[] {
  return CHANGING.flatMap((name) => {
    const value = options[name];
    const [flag] = OPTIONS[name].flags.split(' ');
    if (value === undefined || value === false) return [];
    if (value === true) return [flag];
    return [value].flat().flatMap((item) => [flag, quote(String(item))]);
  });
}

/** The same passes with less taken away: twice the channels, rank or accuracy, up to half of what is missing. */
function milderFlags({ thin, separable, rank, maxError }: Options): string {
  const flags: string[] = [];
  if (thin !== undefined && thin < 1) flags.push(`--thin ${Number(Math.min(2 * thin, (1 + thin) / 2).toPrecision(3))}`);
  if (separable) flags.push(`--separable ${separable}`);
  if (separable && maxError) flags.push(`--max-error ${maxError / 2}`);
  else if (separable) flags.push(`--rank ${2 * (typeof rank === 'number' ? rank : 1)}`);
  return flags.join(' ');
}
