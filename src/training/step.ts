import type { GraphBuilder } from '../ir/builder.js';
import type { Graph } from '../ir/graph.js';
import { replay, type Tape } from './differentiate.js';
import type { Kernels, Value } from './kernels.js';
import { absoluteError, type OutputReading, outputLoss, squaredError } from './losses.js';
import { ADAMW, adamW, type OptimizerSettings } from './optimizer.js';
import { type ParameterLayout, parametersOf } from './parameters.js';

/** An output of the training graph with a target of its shape. */
interface OutputTerm {
  readonly value: string;
  readonly reading: OutputReading;
  readonly weight: number;
}

/** A value of the training graph that should recreate a map of the teacher. */
interface FeatureTerm {
  readonly value: string;
  readonly distance: 'squares' | 'absolute';
  readonly weight: number;
}

export interface StepPlan {
  /** In training form, with all shapes fixed, batch included. */
  readonly graph: Graph;
  readonly outputs: readonly OutputTerm[];
  readonly features: readonly FeatureTerm[];
  readonly optimizer?: OptimizerSettings;
}

/** The training step as one graph: (batch, targets, state, numbers) -> (state', losses). */
export interface Step {
  readonly graph: Graph;
  readonly layout: ParameterLayout;
  /** Input by the output that takes its place in the next step. */
  readonly carried: ReadonlyMap<string, string>;
  /** What stands at each place of the output `losses`. */
  readonly terms: readonly string[];
}

/** Names of the step's inputs that hold its state, with the vector each starts from. */
const STATE = ['parameters', 'momentum', 'squares', 'average', 'statistics'] as const;

/** The input with the numbers of a step, in this order; see `StepNumbers`, and the weight of a batch's statistics. */
export const NUMBERS = 'numbers';

export const LOSSES = 'losses';

/** The term of `losses` that is no loss: the norm of the gradient before it is clipped. */
export const GRADIENT_NORM = 'gradient norm';

/** Name of the input that takes the target of an output or feature. */
export function targetName(value: string): string {
  return `target/${value}`;
}

/** Builds the step; `kernelsFor` chooses in which operators it is written. */
export function buildStep(plan: StepPlan, builder: GraphBuilder, kernels: Kernels): Step {
  const { graph } = plan;
  const layout = parametersOf(graph);
  const input = (name: string, shape: readonly number[]) => kernels.wrap(builder.input(name, { dtype: 'f32', shape }));
  for (const name of graph.inputs) builder.input(name, graph.type(name));
  const [parameters, momentum, squares, average] = STATE.slice(0, 4).map((name) => input(name, [layout.size]));
  const statistics = input('statistics', [2 * layout.channels]);
  const numbers = kernels.split(input(NUMBERS, [5]), [1, 1, 1, 1, 1], 0);
  kernels.scope = 'state/';
  const variables = unpacked(kernels, parameters, layout);
  const runningMeans = unpackedMeans(kernels, statistics, layout);
  const given = new Map([...variables, ...graph.inputs.map((name) => [name, kernels.wrap(name)] as const)]);
  const tape = replay(graph, kernels, given, { runningMeans });
  const losses = lossesOf(plan, kernels, tape, input);
  const gradients = tape.backward(losses.seeds, [...variables.keys()]);
  kernels.scope = 'update/';
  const gradient = packed(kernels, gradients, layout);
  const [rate, momentumCorrection, squaresCorrection, averaging, mixing] = numbers;
  const { state, norm } = adamW(
    kernels,
    { parameters, momentum, squares, average },
    { gradient, numbers: { rate, momentumCorrection, squaresCorrection, averaging }, layout },
    plan.optimizer ?? ADAMW,
  );
  const next = { ...state, statistics: mixed(kernels, { statistics, tape, layout, mixing }) };
  const report = kernels.concat([...losses.terms.values()].map((term) => kernels.reshape(term, [1])).concat(norm), 0);
  const named = (name: string, value: Value) =>
    builder.add({ op: 'Identity', name, inputs: [kernels.nameOf(value)], outputs: [name], attributes: {} })[0];
  const carried = new Map(STATE.map((name) => [named(`next/${name}`, next[name]), name]));
  return {
    graph: builder.build([...carried.keys(), named(LOSSES, report)]),
    layout,
    carried,
    terms: [...losses.terms.keys(), GRADIENT_NORM],
  };
}

function lossesOf(
  { outputs, features }: StepPlan,
  kernels: Kernels,
  tape: Tape,
  input: (name: string, shape: readonly number[]) => Value,
): { seeds: Map<string, Value>; terms: Map<string, Value> } {
  const seeds = new Map<string, Value>();
  const terms = new Map<string, Value>();
  const add = (
    name: string,
    weight: number,
    value: string,
    { terms: parts, gradient }: ReturnType<typeof outputLoss>,
  ) => {
    seeds.set(value, kernels.scale(gradient, weight));
    for (const [term, loss] of Object.entries(parts)) {
      const [key, weighted] = [name || term, kernels.scale(loss, weight)];
      const before = terms.get(key);
      terms.set(key, before ? kernels.add(before, weighted) : weighted);
    }
  };
  kernels.scope = 'loss/';
  for (const { value, reading, weight } of outputs) {
    const scores = found(tape, value);
    add('', weight, value, outputLoss(kernels, reading, scores, input(targetName(value), scores.shape)));
  }
  for (const { value, distance, weight } of features) {
    const map = found(tape, value);
    const loss = distance === 'squares' ? squaredError : absoluteError;
    add('features', weight, value, loss(kernels, map, input(targetName(value), map.shape)));
  }
  return { seeds, terms };
}

function found(tape: Tape, name: string): Value {
  const value = tape.values.get(name);
  if (!value) throw new Error(`the training graph has no value ${name}`);
  return value;
}

function unpacked(kernels: Kernels, vector: Value, { parameters }: ParameterLayout): Map<string, Value> {
  const pieces = kernels.split(
    vector,
    parameters.map(({ size }) => size),
    0,
  );
  return new Map(parameters.map(({ name, shape }, i) => [name, kernels.reshape(pieces[i], shape)]));
}

/** One vector of all gradients; a parameter that does not reach the loss has zeros. */
function packed(kernels: Kernels, gradients: ReadonlyMap<string, Value>, { parameters }: ParameterLayout): Value {
  const pieces = parameters.map(({ name, size }) => {
    const gradient = gradients.get(name);
    return gradient ? kernels.reshape(gradient, [size]) : kernels.floats(new Float32Array(size));
  });
  return kernels.concat(pieces, 0);
}

/** Running means by the name of the constant that they start from. */
function unpackedMeans(kernels: Kernels, statistics: Value, layout: ParameterLayout): Map<string, Value> {
  if (layout.channels === 0) return new Map();
  const [means] = kernels.split(statistics, [layout.channels, layout.channels], 0);
  const pieces = kernels.split(
    means,
    layout.statistics.map(({ channels }) => channels),
    0,
  );
  return new Map(layout.statistics.map(({ mean }, i) => [mean, pieces[i]]));
}

/** (1 − w)·running + w·batch, for means and variances; w is what the numbers of the step say. */
function mixed(
  kernels: Kernels,
  { statistics, tape, layout, mixing }: { statistics: Value; tape: Tape; layout: ParameterLayout; mixing: Value },
): Value {
  if (layout.channels === 0) return statistics;
  const by = new Map(tape.statistics.map((entry) => [entry.node.inputs[3], entry]));
  const entries = layout.statistics.map(({ mean }) => by.get(mean));
  const batch = kernels.concat(
    (['mean', 'variance'] as const).flatMap((kind) => entries.flatMap((entry) => (entry ? [entry[kind]] : []))),
    0,
  );
  return kernels.add(statistics, kernels.multiply(kernels.subtract(batch, statistics), mixing));
}
