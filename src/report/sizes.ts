import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createBrotliCompress, createGzip } from 'node:zlib';

/** Files above this are not compressed for the report: it takes seconds and says little of float weights. */
const COMPRESSED_BELOW = 8e6;

export interface FileSizes {
  readonly sizeBytes: number;
  readonly gzipBytes: number | null;
  readonly brotliBytes: number | null;
  /** Why the last two are null. */
  readonly reason?: string;
}

/**
 * Size of a model's files together, and as gzip (level 9) and brotli (quality 9) would transfer them. Brotli's higher
 * qualities take ten times as long and win nothing on float weights.
 */
export async function fileSizes(files: readonly string[]): Promise<FileSizes> {
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  const sizeBytes = sum(sizes);
  if (sizeBytes >= COMPRESSED_BELOW) return uncompressed(sizeBytes, 'files of 8 MB and more are not compressed');
  const brotli = (size: number) =>
    createBrotliCompress({
      params: { [constants.BROTLI_PARAM_SIZE_HINT]: size, [constants.BROTLI_PARAM_QUALITY]: 9 },
    });
  const [gzipBytes, brotliBytes] = await Promise.all([
    Promise.all(files.map((file) => countThrough(file, createGzip({ level: 9 })))),
    Promise.all(files.map((file, i) => countThrough(file, brotli(sizes[i])))),
  ]);
  return { sizeBytes, gzipBytes: sum(gzipBytes), brotliBytes: sum(brotliBytes) };
}

function sum(bytes: readonly number[]): number {
  return bytes.reduce((total, count) => total + count, 0);
}

/** The size alone. */
export function uncompressed(sizeBytes: number, reason: string): FileSizes {
  return { sizeBytes, gzipBytes: null, brotliBytes: null, reason };
}

async function countThrough(file: string, compressor: NodeJS.ReadWriteStream): Promise<number> {
  let bytes = 0;
  const count = new Writable({
    write(chunk: Buffer, _, done) {
      bytes += chunk.length;
      done();
    },
  });
  await pipeline(createReadStream(file), compressor, count);
  return bytes;
}
