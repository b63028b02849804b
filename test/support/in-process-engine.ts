import ort from 'onnxruntime-node';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { Engine, LoadedGraph, LoadedStep, Values } from '../../src/training/engine.js';

type Feeds = Record<string, ort.Tensor>;

/**
 * ONNX Runtime in this process, for graphs of float32: starting a process for each of the many graphs of a training run
 * takes longer than the run. The engine of the program itself is tested apart.
 */
export const inProcessEngine: Engine = {
  async load(graph): Promise<LoadedGraph> {
    const session = await open(graph);
    return {
      run: async (inputs) => values(await session.run(feeds(inputs))),
      close: () => session.release(),
    };
  },
  async loadStep(graph, carried): Promise<LoadedStep> {
    const session = await open(graph);
    let state: Feeds = {};
    return {
      async run(inputs) {
        const results = await session.run({ ...state, ...feeds(inputs) });
        state = Object.fromEntries([...carried].map(([output, input]) => [input, results[output]]));
        return values(Object.fromEntries(Object.entries(results).filter(([name]) => !carried.has(name))));
      },
      async setState(changed) {
        state = { ...state, ...feeds(changed) };
      },
      state: async () => values(state),
      memory: async () => ({ rssBytes: 0, peakRssBytes: 0 }),
      close: () => session.release(),
    };
  },
  shelf() {
    throw new Error('this engine has no shelf');
  },
};

function open(graph: Graph): Promise<ort.InferenceSession> {
  const options = { logSeverityLevel: 3, graphOptimizationLevel: 'extended', intraOpNumThreads: 1 } as const;
  return ort.InferenceSession.create(encodeOnnxGraph(graph), options);
}

function feeds(inputs: Values): Feeds {
  return Object.fromEntries(
    [...inputs].map(([name, tensor]) => [name, new ort.Tensor('float32', tensor.toFloat32(), tensor.shape)]),
  );
}

function values(tensors: Feeds): Values {
  return new Map(
    Object.entries(tensors).map(([name, { dims, data }]) => [name, Tensor.from(dims, data as Float32Array)]),
  );
}
