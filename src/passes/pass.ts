import type { Graph } from '../ir/graph.js';
import type { Semantics } from '../ir/semantics.js';
import type { Engine, Values } from '../training/engine.js';
import type { TrainingMaterial } from '../training/material.js';
import type { Observation } from './calibration/observation.js';

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

/** What passes may look at to choose and to fit: images without their masks. */
export interface Calibration {
  readonly engine: Engine;
  /** The model's inputs for one image each, read when asked for. */
  readonly images: readonly (() => Promise<Values>)[];
  /** What the network did before anything was removed; `observe` sets it. */
  observation?: Observation;
}

/** What `distil` teaches with. */
export interface Teaching {
  /** The original network, tidied, so that what the student still has bears the same names. */
  readonly teacher: Graph;
  readonly material: TrainingMaterial;
}

/** What a pass may ask of its surroundings; it reads no file and no clock and prints nothing. */
export interface PassContext {
  /** The operator table, for builders. */
  readonly semantics: Semantics;
  readonly seed: number;
  /** Aborted on Ctrl-C; long passes look at it between steps. */
  readonly signal?: AbortSignal;
  /** Absent where no images are given. */
  readonly calibration?: Calibration;
  /** Present where the network is to be trained. */
  readonly teaching?: Teaching;
  note(change: Change): void;
  /** Tells what a default, the data or the clock has decided, so that the run can be replayed. */
  resolve(values: Readonly<Record<string, unknown>>): void;
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
