import { noGradient } from '../errors.js';
import { type Graph, type Node, OPAQUE } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { resolveAttributes } from '../ops/attributes.js';
import { operators } from '../ops/index.js';
import { convolutionOf, transposedConvolutionOf } from './gradients/conv.js';
import { ruleOf } from './gradients/index.js';
import { normalizeBatch } from './gradients/norm.js';
import type { GradientCall, Summed } from './gradients/rule.js';
import type { Kernels, Value } from './kernels.js';

export interface ReplayOptions {
  /**
   * Running mean by the name of the constant that holds it: batch normalizations then use the statistics of the batch,
   * which `statistics` receives. Without it they use the constants of the graph.
   */
  readonly runningMeans?: ReadonlyMap<string, Value>;
}

/** Statistics of a batch before one normalization, by channel. */
interface BatchStatistics {
  readonly node: Node;
  readonly mean: Value;
  readonly variance: Value;
}

interface Entry {
  readonly node: Node;
  /** The node, and those that its rule has taken in (a ReLU behind a normalization). */
  readonly outputNames: readonly string[];
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly saved: unknown;
}

/** The forward pass of a graph in the step graph, and what is needed to go back. */
export interface Tape {
  /** Every value of the graph that was computed, by name. */
  readonly values: ReadonlyMap<string, Value>;
  readonly statistics: readonly BatchStatistics[];
  /**
   * Gradients of the loss by `wanted` (inputs or constants that were given to `replay`), from its gradients by `seeds`
   * (values of the graph). One that does not reach the loss is absent.
   */
  backward(seeds: ReadonlyMap<string, Value>, wanted: readonly string[]): Map<string, Value>;
}

/**
 * Replays a graph with fixed shapes through the kernels. `given` holds its inputs and the constants that are to be
 * variables; other constants stay constants.
 */
export function replay(
  graph: Graph,
  kernels: Kernels,
  given: ReadonlyMap<string, Value>,
  options: ReplayOptions = {},
): Tape {
  return new Replay(graph, kernels, given, options);
}

class Replay implements Tape {
  readonly values: Map<string, Value>;
  readonly statistics: BatchStatistics[] = [];
  private readonly entries: Entry[] = [];
  /** What the maker of a value has added to it for the conditioning of the normalization that reads it. */
  private readonly shifts = new Map<string, Value>();
  private readonly done = new Set<Node>();

  constructor(
    private readonly graph: Graph,
    private readonly kernels: Kernels,
    given: ReadonlyMap<string, Value>,
    private readonly options: ReplayOptions,
  ) {
    this.values = new Map(given);
    for (const node of graph.nodes) if (!this.done.has(node)) this.forward(node);
  }

  private forward(node: Node): void {
    if (node.outputs.every((output) => output === '' || this.isStatic(output))) return;
    this.kernels.scope = `forward/${node.name}/`;
    if (node.op === 'BatchNormalization' && this.options.runningMeans) {
      this.normalize(node);
      return;
    }
    const inputs = node.inputs.map((input) => (input === '' ? undefined : this.value(input)));
    if (node.op === OPAQUE) throw noGradient(node.origin?.op ?? node.op, node.name);
    this.record(node, inputs, this.compute(node, inputs));
  }

  private compute(node: Node, inputs: readonly (Value | undefined)[]): Value[] {
    const { kernels } = this;
    const shift = node.op === 'Conv' ? this.shiftFor(node) : undefined;
    if (node.op === 'Conv' && inputs[0] && inputs[1]) {
      if (shift) this.shifts.set(node.outputs[0], shift);
      const how = convolutionOf(this.attributes(node), inputs[0], inputs[1]);
      return [kernels.convolution(inputs[0], inputs[1], inputs[2] ?? shift, how)];
    }
    if (node.op === 'Concat') {
      const axis = Number(node.attributes.axis);
      const rank = inputs[0]?.shape.length ?? 0;
      return [
        kernels.concat(
          inputs.filter((input) => input !== undefined),
          axis < 0 ? axis + rank : axis,
        ),
      ];
    }
    if (node.op === 'ConvTranspose' && inputs[0] && inputs[1]) {
      const [x, weight, bias] = inputs;
      const shape = this.graph.type(node.outputs[0]).shape as readonly number[];
      const how = transposedConvolutionOf(this.attributes(node), x, weight, { shape, dtype: x.dtype });
      return [kernels.transposedConvolution(x, weight, bias, how, shape)];
    }
    return kernels.operators(node.op, inputs, node.attributes, node.outputs.length);
  }

  /** Minus the running mean, where the only reader of a convolution without bias normalizes it. */
  private shiftFor(node: Node): Value | undefined {
    const { graph, options } = this;
    if (node.inputs[2] || !graph.hasOneReader(node.outputs[0])) return undefined;
    const [{ node: reader, index }] = graph.readers(node.outputs[0]);
    const mean = reader.op === 'BatchNormalization' && index === 0 && options.runningMeans?.get(reader.inputs[3]);
    return mean ? this.kernels.negate(mean) : undefined;
  }

  private normalize(node: Node): void {
    const [x, scale, bias] = node.inputs.slice(0, 3).map((input) => this.value(input));
    const relu = this.reluBehind(node);
    const { epsilon } = this.attributes(node);
    const normalized = normalizeBatch(
      this.kernels,
      { x, scale, bias, shift: this.shifts.get(node.inputs[0]) },
      { epsilon: Number(epsilon), hasRelu: relu !== undefined },
    );
    const { y, mean, variance, saved } = normalized;
    this.statistics.push({ node, mean, variance });
    if (relu) this.done.add(relu);
    this.record(node, [x, scale, bias], [y], { outputNames: (relu ?? node).outputs, saved });
  }

  private reluBehind(node: Node): Node | undefined {
    if (!this.graph.hasOneReader(node.outputs[0])) return undefined;
    const [{ node: reader }] = this.graph.readers(node.outputs[0]);
    return reader.op === 'Relu' ? reader : undefined;
  }

  private record(
    node: Node,
    inputs: Entry['inputs'],
    outputs: readonly Value[],
    { outputNames = node.outputs, saved = undefined as unknown } = {},
  ): void {
    this.entries.push({ node, inputs, outputs, outputNames, saved });
    for (const [i, output] of outputs.entries()) if (outputNames[i] !== '') this.values.set(outputNames[i], output);
  }

  private attributes(node: Node): GradientCall['attributes'] {
    return resolveAttributes(operators.get(node.op)?.attributes ?? {}, node.attributes);
  }

  /** Shape arithmetic: all its elements are numbers once the shapes are. */
  private isStatic(value: string): boolean {
    return this.graph.known.get(value)?.elements.every((element) => typeof element === 'number') ?? false;
  }

  private value(name: string): Value {
    const known = this.values.get(name);
    if (known) return known;
    const tensor = this.graph.constants.get(name) ?? this.staticTensor(name);
    const value = this.kernels.tensor(tensor);
    this.values.set(name, value);
    return value;
  }

  private known(name = ''): readonly number[] | undefined {
    const constant = this.graph.constants.get(name);
    if (constant) return Array.from(constant.toNumbers() as ArrayLike<number>);
    return this.isStatic(name) ? (this.graph.known.get(name)?.elements as readonly number[]) : undefined;
  }

  private staticTensor(name: string): Tensor {
    const known = this.graph.known.get(name);
    const { dtype } = this.graph.type(name);
    if (!known || !dtype) throw new Error(`value ${name} was not computed`);
    return Tensor.encode(dtype, known.shape, known.elements as readonly number[]);
  }

  backward(seeds: ReadonlyMap<string, Value>, wanted: readonly string[]): Map<string, Value> {
    const gradients = new Map(seeds);
    const needed = this.dependents(wanted);
    for (const entry of this.entries.toReversed()) {
      const outputs = entry.outputNames.map((output) => gradients.get(output));
      if (!outputs.some((gradient) => gradient) || !entry.outputNames.some((output) => needed.has(output))) continue;
      this.backwardThrough(entry, outputs, gradients, needed);
    }
    return new Map(wanted.flatMap((name) => [[name, gradients.get(name)] as const]).filter(hasValue));
  }

  private backwardThrough(
    { node, inputs, outputs, saved }: Entry,
    reached: readonly (Value | undefined)[],
    gradients: Map<string, Value>,
    needed: ReadonlySet<string>,
  ): void {
    const rule = ruleOf(node.op);
    if (rule === 'flat') return;
    if (typeof rule === 'string') throw noGradient(node.op, node.name);
    const { kernels } = this;
    kernels.scope = `backward/${node.name}/`;
    const results = rule({
      kernels,
      name: node.name,
      inputs,
      outputs,
      saved,
      known: (index) => this.known(node.inputs[index]),
      attributes: this.attributes(node),
      gradients: reached,
      wanted: node.inputs.map((input) => needed.has(input)),
      // A node that reads a value twice adds its two gradients here.
      collected: node.inputs.map((input, i) => (node.inputs.indexOf(input) === i ? gradients.get(input) : undefined)),
    });
    for (const [i, result] of results.entries()) {
      const input = node.inputs[i];
      if (!result || !needed.has(input)) continue;
      const before = gradients.get(input);
      const isSummed = 'summed' in result;
      const value = isSummed ? (result as Summed).summed : (result as Value);
      const repeats = isSummed && node.inputs.indexOf(input) < i;
      gradients.set(input, before && (!isSummed || repeats) ? kernels.add(before, value) : value);
    }
  }

  /** The values through which the wanted ones reach anything, themselves included. */
  private dependents(wanted: readonly string[]): Set<string> {
    const reached = new Set(wanted);
    for (const { node, outputNames } of this.entries)
      if (node.inputs.some((input) => reached.has(input))) for (const output of outputNames) reached.add(output);
    return reached;
  }
}

function hasValue<K, V>(entry: readonly [K, V | undefined]): entry is readonly [K, V] {
  return entry[1] !== undefined;
}
