/**
 * Whether memory stays the same however many images there are: peak resident memory of distilling the sample from 500
 * and from 10,000 images of noise, all processes added up.
 *
 *   node bench/many-images.mjs [--images 500,10000] [--steps 40]
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { encodePng } from '../dist/formats/images.js';
import { createRandom } from '../dist/math/random.js';
import { runTree } from './process-tree.mjs';

/** The larger number of images may take so many times the memory: what differs from run to run. */
const MOST_RATIO = 1.1;
const SIZE = 128;
/** Room for all answers: for those without room the original stays loaded, in a process more. */
const CACHE_MEGABYTES = '20000';

const { values: options } = parseArgs({
  options: { images: { type: 'string', default: '500,10000' }, steps: { type: 'string', default: '40' } },
});
const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
const model = fileURLToPath(new URL('../fixtures/sample/model.onnx', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'unet-compress-bench-'));
try {
  const peaks = [];
  for (const count of options.images.split(',').map(Number)) {
    const data = join(folder, String(count));
    await writeImages(data, count);
    const args = ['--thin', '0.25', '--distill', '--distill-steps', options.steps, '--latency', 'none', '--quiet'];
    const files = ['--cache-size', CACHE_MEGABYTES, '--data', data, '--out', join(data, 'out'), model];
    const run = await runTree(process.execPath, [cli, ...args, ...files]);
    peaks.push(run.peakBytes);
    console.log(`${count} images: peak ${(run.peakBytes / 2 ** 20).toFixed(0)} MiB, ${run.seconds.toFixed(0)} s`);
    rmSync(data, { recursive: true });
  }
  const ratio = peaks.at(-1) / peaks[0];
  console.log(`ratio ${ratio.toFixed(2)}: ${ratio <= MOST_RATIO ? 'reached' : 'MISSED'} (at most ${MOST_RATIO})`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function writeImages(data, count) {
  mkdirSync(join(data, 'images'), { recursive: true });
  for (let index = 0; index < count; index++) {
    const random = createRandom(index);
    const pixels = Uint8Array.from({ length: SIZE * SIZE }, () => 256 * random.next());
    const png = await encodePng({ width: SIZE, height: SIZE, channels: 1, depth: 8, data: pixels });
    writeFileSync(join(data, 'images', `${index}.png`), png);
  }
}
