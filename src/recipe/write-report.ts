import { join } from 'node:path';
import { writeAtomically } from '../formats/files.js';
import type { Report } from '../report/types.js';
import type { JudgedArtifact } from '../validate/judge.js';
import { writeWorstImages } from '../validate/worst-images.js';
import type { Judged } from './judge-artifacts.js';

export interface ReportPlace {
  readonly folder: string;
  readonly judged: Judged | null;
  readonly original: string;
  readonly artifact: JudgedArtifact;
  readonly signal?: AbortSignal;
}

/**
 * Writes `report.json`, and `worst.png` where masks were compared.
 * @returns the files written, the report last
 */
export async function writeReport(report: Report, place: ReportPlace): Promise<string[]> {
  const { folder, judged, original, artifact, signal } = place;
  const [image, file] = [join(folder, 'worst.png'), join(folder, 'report.json')];
  const accuracy = judged?.accuracy[0]?.accuracy;
  const hasImage =
    accuracy &&
    judged?.data &&
    (await writeWorstImages(image, {
      original,
      artifact,
      dataset: judged.data.dataset,
      interpretation: judged.data.interpretation,
      perImage: accuracy.perImage,
      signal,
    }));
  const json = `${JSON.stringify(report, null, 2)}\n`;
  await writeAtomically(file, (sink) => sink.write(Buffer.from(json)));
  return hasImage ? [image, file] : [file];
}
