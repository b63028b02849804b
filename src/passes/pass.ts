import type { Graph } from '../ir/graph.js';
import type { Semantics } from '../ir/semantics.js';

/** What a pass did, or left, at one place of the graph; goes into the report as it is. */
export interface Change {
  /** Name of the node or channel class. */
  readonly layer: string;
  /** What was done there; for what was left alone, 'kept'. */
  readonly action: string;
  /** Why it was left alone, or under which condition it was done. */
  readonly reason?: string;
  readonly [detail: string]: string | number | boolean | null | undefined | readonly (string | number)[];
}

/** What a pass may ask of its surroundings; it reads no file and no clock and prints nothing. */
export interface PassContext {
  /** The operator table, for builders. */
  readonly semantics: Semantics;
  readonly seed: number;
  /** Aborted on Ctrl-C; long passes look at it between steps. */
  readonly signal?: AbortSignal;
  note(change: Change): void;
  warn(message: string): void;
  /** How far a long pass has come, 0 to 1. */
  progress(fraction: number, detail?: string): void;
}

export interface Pass<Options> {
  /** Also the name of its file, its docs page, its golden folder and its row in the report. */
  readonly name: string;
  readonly summary: string;
  /** 'exact': outputs equal within float rounding, and running it twice changes nothing. */
  readonly keeps: 'exact' | 'approximate';
  run(graph: Graph, options: Options, context: PassContext): Graph | Promise<Graph>;
}
