import { type ByteSource, fileBytes } from '../../formats/bytes.js';
import { ExternalData } from '../../formats/onnx/external-data.js';
import { readOnnx } from '../../formats/onnx/read.js';
import type { Graph } from '../../ir/graph.js';
import { GraphImport } from './import-graph.js';

/**
 * Reads an ONNX file of operator sets 7 to 23 and lifts it to the signatures of operator set 21. Weights are not read:
 * constants are views over the file, or over files beside it. Operators without a definition come out as Opaque.
 *
 * @throws CompressError when the file cannot be read, is no model, or says something that contradicts itself
 */
export function importOnnx(file: string): Graph {
  const bytes = fileBytes(file);
  try {
    return importOnnxBytes(bytes, file);
  } catch (error) {
    bytes.close();
    throw error;
  }
}

/**
 * As `importOnnx`, for bytes that are already there.
 *
 * @param file the path that the bytes come from, else their name in error messages
 * @param folder where weights outside of the model are looked for; null for nowhere; by default the file's own
 */
export function importOnnxBytes(bytes: ByteSource, file: string, folder?: string | null): Graph {
  const external = new ExternalData(file, folder);
  try {
    return new GraphImport(readOnnx(bytes, file), bytes, external).run();
  } catch (error) {
    external.close();
    throw error;
  }
}
