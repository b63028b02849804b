import { encodeTfjs, sizeOfTfjsModel, writeTfjs } from '../../formats/tfjs/write.js';
import type { Graph } from '../../ir/graph.js';
import { type LoweringOptions, lower } from '../lowering/index.js';
import { tfjsModel } from './model.js';
import { TFJS } from './target.js';

export interface TfjsExportOptions extends LoweringOptions {
  /** Of the tool, for `generatedBy`. */
  readonly version: string;
}

/**
 * Writes a graph as a graph model of TensorFlow.js into a folder: model.json and the files with its weights, all of
 * them or none. Weights go through memory one piece at a time.
 *
 * @returns the files written, model.json first
 * @throws CompressError when a file cannot be written, or TensorFlow.js cannot say what a node does
 */
export async function exportTfjs(graph: Graph, folder: string, options: TfjsExportOptions): Promise<string[]> {
  return writeTfjs(folder, modelOf(graph, options));
}

/** The files of `exportTfjs` by name, in memory. */
export function encodeTfjsGraph(graph: Graph, options: TfjsExportOptions): Map<string, Uint8Array> {
  return encodeTfjs(modelOf(graph, options));
}

/** Bytes of the files that `exportTfjs` would write. */
export function sizeOfTfjs(graph: Graph, options: TfjsExportOptions): number {
  return sizeOfTfjsModel(modelOf(graph, options));
}

function modelOf(graph: Graph, { version, layout }: TfjsExportOptions) {
  return tfjsModel(lower(graph, TFJS, { layout }), version);
}
