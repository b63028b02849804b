import type { GraphModel } from '@tensorflow/tfjs-converter';
import { engine, getBackend, getKernel, profile } from '@tensorflow/tfjs-core';
import type { NodeTime } from './runner.js';

/** Before nodes are timed: by then the engine has compiled what they call with all its optimizations. */
const WARM_UP_RUNS = 5;

/** The times of the kernels that each node runs, the mean over `runs` runs of the graph after some that are left out. */
export async function profileNodes(graph: GraphModel, run: () => void, runs: number): Promise<NodeTime[]> {
  for (let count = 0; count < WARM_UP_RUNS; count++) run();
  const times = new Map<string, NodeTime>();
  const watch = new Watch(graph);
  try {
    for (let count = 0; count < runs; count++) {
      watch.started.length = 0;
      await profile(run);
      for (const { node, milliseconds } of watch.times()) {
        const time = times.get(node.name) ?? { node: node.name, op: node.op, microseconds: 0 };
        time.microseconds += (milliseconds * 1000) / runs;
        times.set(node.name, time);
      }
    }
  } finally {
    watch.end();
  }
  return [...times.values()];
}

interface GraphNode {
  readonly name: string;
  readonly op: string;
  category: unknown;
}

/**
 * Notices which node of a graph is running. The profiler names kernels only, without the nodes that they run for; but
 * the executor looks up a node's category right before it runs it, and nowhere else.
 */
class Watch {
  readonly started: { node: GraphNode; kernels: number }[] = [];
  private readonly categories = new Map<GraphNode, unknown>();

  constructor(graph: GraphModel) {
    const { nodes } = (graph as unknown as { executor: { graph: { nodes: Record<string, GraphNode> } } }).executor
      .graph;
    for (const node of Object.values(nodes)) {
      const { category } = node;
      this.categories.set(node, category);
      Object.defineProperty(node, 'category', { configurable: true, get: () => this.onStart(node, category) });
    }
  }

  /** The time of each node's kernels in the run that was profiled last. */
  *times(): Generator<{ node: GraphNode; milliseconds: number }> {
    const { kernels } = engine().state.activeProfile;
    for (const [index, { node, kernels: first }] of this.started.entries()) {
      const own = kernels.slice(first, this.started[index + 1]?.kernels);
      // What has a gradient is listed once more under the name of the function around it.
      const timed = own.filter(({ name }) => getKernel(name, getBackend()) !== undefined);
      const milliseconds = timed.reduce((sum, { kernelTimeMs }) => sum + Number(kernelTimeMs), 0);
      if (timed.length > 0) yield { node, milliseconds };
    }
  }

  end(): void {
    for (const [node, value] of this.categories) {
      Object.defineProperty(node, 'category', { value, configurable: true, writable: true, enumerable: true });
    }
  }

  private onStart(node: GraphNode, category: unknown): unknown {
    this.started.push({ node, kernels: engine().state.activeProfile.kernels.length });
    return category;
  }
}
