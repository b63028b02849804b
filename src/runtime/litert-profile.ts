import { CompiledTflite, filled, removeAll } from './litert-model.js';
import { isTrap, type LiteRtModule } from './litert-module.js';
import type { NodeTime, TensorType } from './runner.js';
import { cutOperators } from './tflite-operators.js';

/**
 * Times each operator of a TFLite file alone, since LiteRT.js tells no times: the mean of `runs` runs after one that is
 * left out. Operators that LiteRT does not take alone are left out.
 */
export async function profileOperators(litert: LiteRtModule, file: Uint8Array, runs: number): Promise<NodeTime[]> {
  const times: NodeTime[] = [];
  for (const { node, op, bytes } of cutOperators(file)) {
    const milliseconds = await timeAlone(litert, bytes, runs);
    if (milliseconds !== null) times.push({ node, op, microseconds: milliseconds * 1000 });
  }
  return times;
}

/** The mean time of a run in milliseconds; null where LiteRT refuses. */
async function timeAlone(litert: LiteRtModule, bytes: Uint8Array, runs: number): Promise<number | null> {
  try {
    const model = await CompiledTflite.compile(litert, bytes);
    try {
      return await meanTime(model, runs);
    } finally {
      model.release();
    }
  } catch (error) {
    if (isTrap(error)) throw error;
    return null;
  }
}

async function meanTime(model: CompiledTflite, runs: number): Promise<number> {
  const random = randomNumbers();
  const inputs = model.put(filled(model.inputs, (type) => randomElement(type, random)));
  try {
    removeAll(await model.run(inputs));
    let sum = 0;
    for (let run = 0; run < runs; run++) {
      const before = performance.now();
      const outputs = await model.run(inputs);
      sum += performance.now() - before;
      removeAll(outputs);
    }
    return sum / runs;
  } finally {
    removeAll(inputs);
  }
}

function randomElement(type: TensorType, random: () => number): number {
  switch (type) {
    case 'float32':
    case 'float64':
      return random() * 2 - 1;
    case 'int8':
    case 'uint8':
    case 'int16':
      return random() * 2 ** 16;
    case 'float16':
      return HALF_ONE;
    default:
      // What is neither real nor quantized is a size, an axis, a place or a truth, of which 1 is a likely one.
      return 1;
  }
}

const HALF_ONE = 0x3c00;

/** Uniform in [0, 1), the same ones every time (Numerical Recipes' linear congruential generator). */
function randomNumbers(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
