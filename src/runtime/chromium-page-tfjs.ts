import { setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { dispose, type NamedTensorMap, setBackend, tidy } from '@tensorflow/tfjs-core';
import type { LoadInPage, Tensors } from './runner.js';
import type { Signature } from './tfjs-files.js';
import { inputInfos, outputInfos } from './tfjs-infos.js';
import { fromTfjs, toTfjs } from './tfjs-tensors.js';

/** Loads a graph model into TensorFlow.js with its WebAssembly backend and one thread. */
export const loadTfjsModel: LoadInPage = async (model, wasm) => {
  setWasmPaths(wasm);
  setThreadsCount(1);
  if (!(await setBackend('wasm'))) throw new Error('its WebAssembly backend does not start here');
  const graph = await loadGraphModel(model);
  const signature = graph.modelSignature as Signature | undefined;
  const inputs = inputInfos(graph, signature);
  const outputs = outputInfos(graph, signature, inputs);
  const names = outputs.map(({ name }) => name);
  const execute = (given: NamedTensorMap) => [graph.execute(given, names)].flat();
  let repeated: NamedTensorMap = {};
  return {
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
      return async () => tidy(() => void execute(kept));
    },
  };
};
