import { afterAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { elementCount, Tensor } from '../../../src/ir/tensor.js';
import { createRandom } from '../../../src/math/random.js';
import { semantics } from '../../../src/ops/index.js';
import { openEngine } from '../../../src/recipe/engine.js';
import { chooseKernels } from '../../../src/training/blocked/choose.js';
import { tinyNet } from '../../../src/training/blocked/self-check.js';
import type { Engine, Values } from '../../../src/training/engine.js';
import { Kernels } from '../../../src/training/kernels.js';
import { pack } from '../../../src/training/parameters.js';
import { buildStep, LOSSES, NUMBERS } from '../../../src/training/step.js';
import { probedBlock } from '../../support/compare-kernels.js';

const block = await probedBlock();
const engine = await openEngine({ threads: 1 });
afterAll(() => engine.close());

/** The real engine with other results, or none, for graphs that use the runtime's operators on blocks. */
function engineThat(changes: (outputs: Values) => Values): Engine {
  return {
    ...engine,
    async load(graph) {
      const loaded = await engine.load(graph);
      const usesBlocks = graph.nodes.some(({ foreign }) => foreign?.op === 'Conv');
      return {
        ...loaded,
        run: async (inputs) => (usesBlocks ? changes : (same: Values) => same)(await loaded.run(inputs)),
      };
    },
  };
}

describe('chooseKernels', () => {
  it('takes blocks where they compute the right numbers', async () => {
    expect((await chooseKernels(engine)).name).toBe(block === undefined ? 'plain' : `blocked${block}`);
  });

  it('takes plain kernels where a result differs', async () => {
    const wrong = engineThat((outputs) => {
      const [[name, tensor]] = [...outputs].slice(-1) as [string, Tensor][];
      const values = tensor.toFloat32().map((value, i) => (i === 3 ? value * 1.1 : value));
      return new Map([...outputs, [name, Tensor.from(tensor.shape, values)]]);
    });
    expect((await chooseKernels(wrong)).name).toBe('plain');
  });

  it('takes plain kernels where the operators fail', async () => {
    const failing = engineThat(() => {
      throw new Error('the process ended');
    });
    const chosen = await chooseKernels(failing);
    expect(chosen.name).toBe('plain');
    expect(chosen.create(new GraphBuilder(semantics))).toBeInstanceOf(Kernels);
  });
});

describe.skipIf(block === undefined)('a whole step', () => {
  it('gives the same losses and the same next state in both kernels', async () => {
    const graph = tinyNet(semantics);
    const [output] = graph.outputs;
    const feature = graph.nodes.filter(({ op }) => op === 'Tanh')[1].outputs[0];
    const random = createRandom(4);
    const results = [];
    const inputs = new Map<string, Tensor>();
    for (const create of [(builder: GraphBuilder) => new Kernels(builder), (await chooseKernels(engine)).create]) {
      const builder = new GraphBuilder(semantics);
      const plan = {
        graph,
        outputs: [{ value: output, reading: 'binary' as const, weight: 1 }],
        features: [{ value: feature, distance: 'squares' as const, weight: 0.5 }],
      };
      const step = buildStep(plan, builder, create(builder));
      const { parameters, statistics } = pack(graph, step.layout);
      for (const name of step.graph.inputs) {
        const shape = step.graph.type(name).shape as number[];
        if (!inputs.has(name))
          inputs.set(
            name,
            Tensor.floats(
              Float32Array.from({ length: elementCount(shape) }, () => Math.abs(random.normal())),
              shape,
            ),
          );
      }
      inputs.set('parameters', Tensor.from([parameters.length], parameters));
      inputs.set('statistics', Tensor.from([statistics.length], statistics));
      inputs.set(NUMBERS, Tensor.floats([1e-3, 0.1, 0.001, 0.9, 0.1]));
      const loaded = await engine.load(step.graph);
      results.push(await loaded.run(inputs));
      await loaded.close();
    }
    const [expected, actual] = results;
    expect([...actual.keys()].sort()).toContain(LOSSES);
    for (const [name, tensor] of expected) {
      const [a, b] = [tensor.toFloat64(), (actual.get(name) as Tensor).toFloat64()];
      const error = Math.hypot(...a.map((value, i) => value - b[i])) / Math.hypot(...a);
      expect(error, name).toBeLessThan(1e-4);
    }
  });
});
