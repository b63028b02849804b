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
 * Size of a file, and as gzip (level 9) and brotli (quality 9) would transfer it. Brotli's higher qualities take ten
 * times as long and win nothing on float weights.
 */
export async function fileSizes(file: string): Promise<FileSizes> {
  const { size } = await stat(file);
  if (size >= COMPRESSED_BELOW) return uncompressed(size, 'files of 8 MB and more are not compressed');
  const [gzipBytes, brotliBytes] = await Promise.all([
    countThrough(file, createGzip({ level: 9 })),
    countThrough(
      file,
      createBrotliCompress({
        params: { [constants.BROTLI_PARAM_SIZE_HINT]: size, [constants.BROTLI_PARAM_QUALITY]: 9 },
      }),
    ),
  ]);
  return { sizeBytes: size, gzipBytes, brotliBytes };
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
