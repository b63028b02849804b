import { encodeTflite, sizeOfTfliteModel, writeTflite } from '../../formats/tflite/write.js';
import type { Graph } from '../../ir/graph.js';
import { type LoweringOptions, lower } from '../lowering/index.js';
import { tfliteModel } from './model.js';
import { TFLITE } from './target.js';

/**
 * Writes a graph of fixed shapes as a TFLite file, whole or not at all. Weights go through memory one piece at a time.
 *
 * @returns the file written
 * @throws CompressError when the file cannot be written, or TFLite cannot say what a node does
 */
export async function exportTflite(graph: Graph, path: string, options: LoweringOptions = {}): Promise<string[]> {
  return writeTflite(path, modelOf(graph, options));
}

/** As `exportTflite`, into memory. */
export function encodeTfliteGraph(graph: Graph, options: LoweringOptions = {}): Uint8Array {
  return encodeTflite(modelOf(graph, options));
}

/** Bytes of the file that `exportTflite` would write. */
export function sizeOfTflite(graph: Graph, options: LoweringOptions = {}): number {
  return sizeOfTfliteModel(modelOf(graph, options));
}

function modelOf(graph: Graph, options: LoweringOptions) {
  return tfliteModel(lower(graph, TFLITE, options));
}
