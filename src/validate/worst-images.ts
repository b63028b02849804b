import { writeAtomically } from '../formats/files.js';
import type { Runner } from '../runtime/runner.js';
import { openRunner } from '../runtime/spawn.js';
import { runImage } from './accuracy.js';
import { withChannelsFirst } from './channels-first.js';
import type { Dataset } from './dataset.js';
import type { ImageAccuracy } from './equivalence.js';
import type { Interpretation } from './interpretation.js';
import type { JudgedArtifact } from './judge.js';
import { type ClassMap, loadMask } from './masks.js';
import { boundary } from './surface-distance.js';

export interface WorstImagesRequest {
  readonly original: string;
  readonly artifact: JudgedArtifact;
  readonly dataset: Dataset;
  readonly interpretation: Interpretation;
  readonly perImage: readonly ImageAccuracy[];
  readonly signal?: AbortSignal;
}

const MOST_SHOWN = 5;
const GAP = 4;

/** Outlines: what the mask (or, without masks, the original) says in green, what the compressed model says in red. */
const REFERENCE = [64, 220, 96] as const;
const COMPRESSED = [255, 72, 72] as const;

/**
 * Writes a PNG of the images that lost most Dice, side by side: green the reference, red the compressed model. Only
 * for flat images; volumes are left out.
 * @returns whether there was anything to show
 */
export async function writeWorstImages(path: string, request: WorstImagesRequest): Promise<boolean> {
  const worst = [...request.perImage].sort((a, b) => a.difference - b.difference).slice(0, MOST_SHOWN);
  const panels: Panel[] = [];
  const runners: Runner[] = [];
  const { file, runtime, channelsLast } = request.artifact;
  try {
    const options = { threads: 1, signal: request.signal };
    runners.push(await openRunner(request.original, { runtime: 'onnxruntime', ...options }));
    runners.push(withChannelsFirst(await openRunner(file, { runtime, ...options }), new Set(channelsLast)));
    const [original, artifact] = runners;
    for (const { name } of worst) {
      const sample = request.dataset.samples.find((candidate) => candidate.name === name)!;
      const before = await runImage(request.interpretation, original, sample);
      const after = await runImage(request.interpretation, artifact, sample);
      if (!before.mask || !after.mask || before.mask.shape.length !== 2) return false;
      const truth = sample.maskFile && request.interpretation.labels;
      const reference = truth ? await loadMask(sample.maskFile!, truth, before.mask.shape, before.sizes) : before.mask;
      panels.push(drawPanel(before.pixels, reference, after.mask));
    }
  } finally {
    await Promise.all(runners.map((runner) => runner.close()));
  }
  if (panels.length === 0) return false;
  const png = await encodePng(joinPanels(panels));
  await writeAtomically(path, (sink) => sink.write(png));
  return true;
}

interface Panel {
  readonly width: number;
  readonly height: number;
  /** RGB, row-major. */
  readonly data: Uint8Array;
}

/** `pixels` is the first channel of the model's input, stretched to the full range of gray. */
function drawPanel(pixels: Float32Array, reference: ClassMap, compressed: ClassMap): Panel {
  const [height, width] = reference.shape;
  const data = new Uint8Array(height * width * 3);
  const low = pixels.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = pixels.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  for (let i = 0; i < height * width; i++)
    data.fill((255 * (pixels[i] - low)) / Math.max(1e-12, high - low), 3 * i, 3 * i + 3);
  for (const [mask, colour] of [
    [reference, REFERENCE],
    [compressed, COMPRESSED],
  ] as const) {
    const outline = boundary(
      mask.data.map((label) => (label > 0 ? 1 : 0)),
      mask.shape,
    );
    for (const [i, on] of outline.entries()) if (on) data.set(colour, 3 * i);
  }
  return { width, height, data };
}

function joinPanels(panels: readonly Panel[]): Panel {
  const height = Math.max(...panels.map((panel) => panel.height));
  const width = panels.reduce((sum, panel) => sum + panel.width + GAP, -GAP);
  const data = new Uint8Array(height * width * 3).fill(255);
  let left = 0;
  for (const panel of panels) {
    for (let y = 0; y < panel.height; y++)
      data.set(panel.data.subarray(3 * y * panel.width, 3 * (y + 1) * panel.width), 3 * (y * width + left));
    left += panel.width + GAP;
  }
  return { width, height, data };
}

async function encodePng({ width, height, data }: Panel): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
