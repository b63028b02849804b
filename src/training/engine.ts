import type { Graph } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';

/** Tensors by the name of a graph's input or output. */
export type Values = ReadonlyMap<string, Tensor>;

/** A graph that a runtime has loaded, in a process of its own. */
export interface LoadedGraph {
  run(inputs: Values): Promise<Values>;
  close(): Promise<void>;
}

export interface StepOptions {
  /** How far the runtime may rewrite the graph; 'all' includes changes of the memory layout. By default 'extended'. */
  readonly optimization?: 'disabled' | 'extended' | 'all';
}

/** What a process holds in memory: now, and at most so far. */
interface MemoryUse {
  readonly rssBytes: number;
  readonly peakRssBytes: number;
}

/** A graph that is run again and again on its own results; those stay in its process between the runs. */
export interface LoadedStep {
  /**
   * One step. Takes the inputs that are not carried and returns the outputs that are not; a step that fails leaves the
   * state as it was. All carried inputs must have been set before the first step.
   */
  run(inputs: Values): Promise<Values>;
  /** Sets carried inputs, by the input's name; those that are not named keep their values. */
  setState(values: Values): Promise<void>;
  /** A copy of all carried inputs as the next step will read them, by the input's name. */
  state(): Promise<Values>;
  memory(): Promise<MemoryUse>;
  close(): Promise<void>;
}

/** Tensors that lie on disk instead of in memory. */
export interface Shelf {
  /** An equal tensor that reads its values from disk; it must not be read after `clear`. */
  put(tensor: Tensor): Tensor;
  clear(): void;
}

/** Computes graphs for passes. The same graph and inputs give the same bits. */
export interface Engine {
  load(graph: Graph): Promise<LoadedGraph>;
  /** @param carried the input that each carried output becomes in the next step, by the output's name */
  loadStep(graph: Graph, carried: ReadonlyMap<string, string>, options?: StepOptions): Promise<LoadedStep>;
  shelf(): Shelf;
}
