import { joinParts, totalLength } from '../../formats/files.js';
import { encodeOnnx, writeOnnx } from '../../formats/onnx/write.js';
import type { Graph } from '../../ir/graph.js';
import { Assembly } from './assemble.js';
import { graphOrigin } from './source.js';

export interface OnnxExportOptions {
  /** Puts weights of a kilobyte and more into `<path>.data`; happens by itself where they pass what one file may hold. */
  readonly externalData?: boolean;
}

/** A file may hold 2 GiB; some is left for all that is not weights. */
const MOST_WEIGHT_BYTES = 2 ** 31 - 2 ** 26;

/**
 * Writes a graph as an ONNX file, whole or not at all. What a pass has not touched is written as the source file had
 * it; the source's operator set is kept, or raised to 13 where an older one does not suffice; graphs from elsewhere are
 * written with operator set 17. Weights go through memory one piece at a time.
 *
 * @returns the files written, the model first
 * @throws CompressError when a file cannot be written, or ONNX cannot say what a node does
 */
export function exportOnnx(graph: Graph, path: string, options: OnnxExportOptions = {}): Promise<string[]> {
  const externalData = options.externalData || weightBytes(graph) > MOST_WEIGHT_BYTES;
  return writeOnnx(path, new Assembly(graph, externalData).model(), { externalData });
}

/** As `exportOnnx`, into memory and with all weights within. */
export function encodeOnnxGraph(graph: Graph): Uint8Array {
  return joinParts(encodeOnnx(new Assembly(graph, false).model()).model);
}

/** Bytes of the file that `exportOnnx` would write with all weights within. */
export function sizeOfOnnx(graph: Graph): number {
  return totalLength(encodeOnnx(new Assembly(graph, false).model()).model);
}

/** Paths of the files beside the file that a graph came from in which its weights lie. */
export function externalFiles(graph: Graph): readonly string[] {
  return graphOrigin(graph)?.externalFiles ?? [];
}

function weightBytes(graph: Graph): number {
  return [...graph.constants.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0);
}
