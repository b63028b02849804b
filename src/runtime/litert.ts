import { readFile } from 'node:fs/promises';
import { CompiledTflite, filled, removeAll } from './litert-model.js';
import { LiteRtModule } from './litert-module.js';
import { profileOperators } from './litert-profile.js';
import type { LoadedModel, LoadModel } from './runner.js';

/** Before operators are timed: by then the engine has compiled what they call with all its optimizations. */
const WARM_UP_RUNS = 5;

/**
 * Loads a TFLite file into LiteRT, with XNNPACK, on one thread, and runs it once. Meant for a process of its own, as a
 * run blocks.
 */
export const loadTfliteModel: LoadModel = async (file) => {
  const litert = await LiteRtModule.start();
  const compiled = await CompiledTflite.compile(litert, await readFile(file));
  const infoOf = ({ name, type, dims }: CompiledTflite['inputs'][number]) => ({ name, type, shape: dims });
  let repeated: ReturnType<CompiledTflite['put']> = [];
  const model: LoadedModel = {
    info: {
      inputs: compiled.inputs.map(infoOf),
      outputs: compiled.outputs.map(infoOf),
      fullyDelegated: compiled.fullyDelegated,
    },
    async run(inputs) {
      const given = compiled.put(inputs);
      try {
        const outputs = await compiled.run(given);
        const taken = compiled.take(outputs);
        removeAll(outputs);
        return taken;
      } finally {
        removeAll(given);
      }
    },
    repeatable(inputs) {
      const given = compiled.put(inputs);
      removeAll(repeated);
      repeated = given;
      return async () => removeAll(await compiled.run(given));
    },
    async profile(inputs, runs) {
      for (let run = 0; run < WARM_UP_RUNS; run++) await model.run(inputs);
      return profileOperators(litert, await readFile(file), runs);
    },
  };
  // What LiteRT cannot run, such as an operator that it does not know, it notices at the first run only.
  await model.run(filled(compiled.inputs, () => 0));
  return model;
};
