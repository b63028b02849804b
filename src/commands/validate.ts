import { validateFiles } from '../compress.js';
import type { Options } from '../options.js';
import { accuracySentence, resultTable } from '../report/table.js';
import { interruptSignal, openTerminal } from './terminal.js';

/** Compares two model files; the images of `--data` count as test images. */
export async function runValidate(original: string, compressed: string, options: Options): Promise<number> {
  const terminal = openTerminal(options);
  const report = await validateFiles(original, compressed, options, {
    signal: interruptSignal(),
    onProgress: terminal.onProgress,
  });
  terminal.finish();
  for (const guess of report.resolved.guesses as string[]) terminal.say(guess);
  for (const warning of report.warnings) terminal.say(`warning: ${warning}`);
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  terminal.result(resultTable(report));
  const { numeric } = report.artifacts[0];
  if (numeric) {
    const where = `${numeric.worst.image} at [${numeric.worst.index.join(', ')}]`;
    terminal.result(
      `Largest difference of the raw output ${numeric.maxAbsoluteError.toPrecision(3)} (relative L2 ${numeric.relativeL2.toPrecision(3)}, range ${numeric.range.toPrecision(3)}), in ${where}`,
    );
  }
  terminal.result(accuracySentence(report));
  return options.failIfNotEquivalent && report.accuracy?.tost.equivalent !== true ? 2 : 0;
}
