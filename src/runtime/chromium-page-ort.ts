// The page's importmap resolves this name to ONNX Runtime Web, which has the same interface.
import ort from 'onnxruntime-node';
import { messageOf } from '../errors.js';
import { createSession, fromOrt, infoOf, toOrt } from './ort-session.js';
import type { LoadInPage } from './runner.js';

/** Loads an ONNX file into the WebAssembly build of ONNX Runtime, with one thread. */
export const loadOnnxModel: LoadInPage = async (model, wasm) => {
  ort.env.wasm.wasmPaths = wasm;
  ort.env.wasm.numThreads = 1;
  const options = { executionProviders: ['wasm'], graphOptimizationLevel: 'all' } as const;
  const session = await createSession(model, options).catch((error: unknown) => {
    if (!messageOf(error).includes('Failed to load external data file')) throw error;
    const message =
      'its weights lie in a file of their own, which is not read in a browser; save it with its weights inside';
    throw new Error(message, { cause: error });
  });
  return {
    info: infoOf(session),
    async run(inputs) {
      return fromOrt(await session.run(toOrt(inputs)));
    },
    repeatable(inputs) {
      const feeds = toOrt(inputs);
      return async () => {
        await session.run(feeds);
      };
    },
  };
};
