import { basename, extname } from 'node:path';
import { badOption } from './errors.js';
import type { ArtifactFormat } from './formats/metadata.js';
import type { Graph } from './ir/graph.js';
import { type Options, withDefaults } from './options.js';
import { planArtifacts } from './recipe/artifacts.js';
import { checkOptions } from './recipe/check-options.js';

/**
 * Writes a graph in the format that the path's ending names: `.onnx`, `.tflite`, or `model.json` for TensorFlow.js, whose
 * weights come into files beside it. Formats with fixed shapes take them from `inputShape`.
 *
 * @returns the files written, that of `path` first
 * @throws CompressError when a file cannot be written, or the format cannot say what a node does
 */
export async function save(
  graph: Graph,
  path: string,
  options: Pick<Options, 'inputShape' | 'layout' | 'externalData'> = {},
): Promise<string[]> {
  const full = withDefaults(checkOptions({ ...options }, 'compress', 'options'));
  const [artifact] = planArtifacts([{ format: formatOf(path), path }], graph, full);
  return artifact.write(path);
}

function formatOf(path: string): ArtifactFormat {
  if (basename(path) === 'model.json') return 'tfjs';
  const ending = extname(path);
  if (ending === '.onnx' || ending === '.tflite') return ending === '.onnx' ? 'onnx' : 'tflite';
  throw badOption('path', `must end in .onnx, .tflite or model.json, not '${path}'`);
}
