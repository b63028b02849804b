import type { GraphBuilder } from '../../ir/builder.js';
import type { Graph } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import { semantics } from '../../ops/index.js';
import type { Engine, StepOptions } from '../engine.js';
import { Kernels } from '../kernels.js';
import { BlockedKernels } from './kernels.js';
import { blockProbe, readBlock } from './probe.js';
import { halvesAgree, selfCheckGraph } from './self-check.js';

export interface ChosenKernels {
  /** 'plain', or 'blocked' with the number of channels in a block. */
  readonly name: 'plain' | `blocked${number}`;
  /** How far the runtime should rewrite what is made of them. */
  readonly optimization: NonNullable<StepOptions['optimization']>;
  create(builder: GraphBuilder): Kernels;
}

const PLAIN: ChosenKernels = {
  name: 'plain',
  optimization: 'extended',
  create: (builder) => new Kernels(builder),
};

/**
 * The fastest kernels that compute the right numbers here. The blocked ones use operators of the runtime that come
 * without any promise, so that each runs and is compared with the plain ones before it is used. The engine loads graphs
 * in processes of their own: even one that crashes only means that the plain kernels are taken.
 */
export async function chooseKernels(engine: Engine): Promise<ChosenKernels> {
  try {
    const [layout] = await outputsOf(engine, blockProbe(semantics));
    const block = readBlock(layout);
    if (block === undefined) return PLAIN;
    const blocked: ChosenKernels = {
      name: `blocked${block}`,
      // Nothing is left to rewrite; the step then loads faster and takes less memory.
      optimization: 'disabled',
      create: (builder) => new BlockedKernels(builder, block),
    };
    const outputs = await outputsOf(engine, selfCheckGraph(semantics, [PLAIN.create, blocked.create]));
    return halvesAgree(outputs) ? blocked : PLAIN;
  } catch {
    return PLAIN;
  }
}

async function outputsOf(engine: Engine, graph: Graph): Promise<Tensor[]> {
  const loaded = await engine.load(graph);
  try {
    const outputs = await loaded.run(new Map());
    return graph.outputs.map((name) => outputs.get(name) as Tensor);
  } finally {
    await loaded.close();
  }
}
