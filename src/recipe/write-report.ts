import { join } from 'node:path';
import { writeAtomically } from '../formats/files.js';
import type { FullOptions } from '../options.js';
import type { Report } from '../report/types.js';
import { writeWorstImages } from '../validate/worst-images.js';
import type { Judged } from './judge-artifact.js';

export interface ReportPlace {
  readonly options: FullOptions;
  readonly judged: Judged | null;
  readonly original: string;
  readonly artifact: string;
}

/** Writes `report.json`, and `worst.png` where masks were compared. */
export async function writeReport(report: Report, { options, judged, original, artifact }: ReportPlace): Promise<void> {
  const json = `${JSON.stringify(report, null, 2)}\n`;
  await writeAtomically(join(options.out, 'report.json'), (sink) => sink.write(Buffer.from(json)));
  const accuracy = judged?.accuracy[0]?.accuracy;
  if (!accuracy || !judged?.data) return;
  await writeWorstImages(join(options.out, 'worst.png'), {
    original,
    artifact,
    dataset: judged.data.dataset,
    interpretation: judged.data.interpretation,
    perImage: accuracy.perImage,
  });
}
