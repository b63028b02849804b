import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { dispose, type NamedTensorMap, setBackend, tidy } from '@tensorflow/tfjs-core';
import type { LoadedModel, LoadModel, Tensors } from './runner.js';
import { readGraphModel } from './tfjs-files.js';
import { inputInfos, outputInfos } from './tfjs-infos.js';
import { profileNodes } from './tfjs-profile.js';
import { fromTfjs, toTfjs } from './tfjs-tensors.js';

/**
 * Loads the model.json of a graph model into TensorFlow.js, with its WebAssembly backend, which has one thread in Node.
 * Meant for a process of its own, as a run blocks.
 */
export const loadTfjsModel: LoadModel = async (file) => {
  await startBackend();
  const { graph, signature, inputs } = await loadGraph(file);
  const outputs = outputInfos(graph, signature, inputs);
  const names = outputs.map(({ name }) => name);
  const execute = (given: NamedTensorMap) => [graph.execute(given, names)].flat();
  // A tidy removes what was made in it, and so leaves inputs and weights, which may be outputs as well.
  const repeat = (given: NamedTensorMap) => tidy(() => void execute(given));

  let repeated: NamedTensorMap = {};
  const model: LoadedModel = {
    info: { inputs, outputs },
    async run(given) {
      const taken: Tensors = {};
      tidy(() => {
        for (const [index, tensor] of execute(toTfjs(given)).entries()) {
          taken[names[index]] = fromTfjs(names[index], tensor);
        }
      });
      return taken;
    },
    repeatable(given) {
      const kept = toTfjs(given);
      dispose(repeated);
      repeated = kept;
      return async () => repeat(kept);
    },
    async profile(given, runs) {
      const kept = toTfjs(given);
      try {
        return await profileNodes(graph, () => repeat(kept), runs);
      } finally {
        dispose(kept);
      }
    },
  };
  return model;
};

async function loadGraph(file: string) {
  try {
    const artifacts = await readGraphModel(file);
    const graph = await loadGraphModel({ load: async () => artifacts });
    return { graph, signature: artifacts.signature, inputs: inputInfos(graph, artifacts.signature) };
  } catch (error) {
    // The library takes the form of the file for granted.
    if (error instanceof TypeError) throw new Error(`it is not in the form of a graph model: ${error.message}`);
    throw error;
  }
}

async function startBackend(): Promise<void> {
  const packageFile = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json');
  setWasmPaths(join(dirname(packageFile), 'dist', sep));
  if (!(await setBackend('wasm'))) throw new Error('its WebAssembly backend does not start here');
}
