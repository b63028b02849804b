import { inMemoryIfSmall, type Kernel, kernelOf } from '../analysis/unfolding.js';
import { badOption, interrupted } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Graph, Node } from '../ir/graph.js';
import { rewrite } from '../ir/rewrite.js';
import { Tensor } from '../ir/tensor.js';
import { isFloat } from '../ir/types.js';
import type { Change, Pass, PassContext } from './pass.js';
import { type Choice, choose, type Goal } from './separable/choose.js';
import { type FactorLayer, factorAttributes, factorLayers } from './separable/factored-layer.js';
import { factorize } from './separable/factors.js';
import { type ConvolutionOp, type Form, formsOf } from './separable/forms.js';

export interface SeparableOptions {
  /** Which forms may be used; `depthwise` unless given. */
  readonly mode?: 'depthwise' | 'spatial' | 'auto';
  /** Terms of every factorization; 1 unless given, but `auto` in mode `auto` and where `maxError` is given. */
  readonly rank?: number | 'auto';
  /** Largest ‖W − Ŵ‖ / ‖W‖ of a layer where the rank is `auto`; 0.05 unless given. */
  readonly maxError?: number;
  /** Layers, by name, that stay as they are. */
  readonly exclude?: (layer: string) => boolean;
}

const DEFAULT_MAX_ERROR = 0.05;

/** With fewer input channels a fixed rank saves little and costs much accuracy. */
const LEAST_INPUT_CHANNELS = 4;

/**
 * Writes convolutions as pairs of cheaper ones, by singular value decomposition of an unfolding of the weight.
 *
 * Before: Conv or ConvTranspose with weight W and bias b. After, where u vᵀ are the leading terms (algorithms, B):
 * - depthwise → pointwise: W[o,i,k] ≈ Σ_t u[i,t,o] v[i,t,k], T kernels for each input channel, then 1x1;
 * - pointwise → depthwise: W[o,i,k] ≈ Σ_t u[o,t,i] v[o,t,k], the order that ConvTranspose prefers, since its 1x1 then
 *   runs before the upsampling;
 * - spatial: W[o,i,(y,x)] ≈ Σ_r u[r,o,x] v[r,i,y], one factor along the first spatial axis, one along the others;
 * - channel: W[o,i,k] ≈ Σ_r u[r,o] v[r,i,k], a convolution to R channels and a 1x1 one.
 * Stride, dilation and padding go with the kernel positions, the bias with the last factor. Exact where the unfolding
 * has that rank: zero padding commutes with the first factor, which has no bias.
 *
 * With a fixed rank: layers of at least four input channels a group and more than one kernel position, in the first of
 * the mode's forms (in mode `auto`: the closest that saves work). With rank `auto`: any layer, in the form and rank
 * with the fewest multiply–accumulates within `maxError`, where that is fewer than before.
 */
export const separable: Pass<SeparableOptions> = {
  name: 'separable',
  summary: 'writes convolutions as pairs of cheaper ones',
  keeps: 'approximate',
  run(graph, options, context) {
    const goal = goalOf(options);
    const factorizer = new Factorizer(graph, options, goal, context);
    return rewrite(graph, context.semantics, (node, builder) => factorizer.visit(node, builder));
  },
};

function goalOf({ mode, rank, maxError }: SeparableOptions): Goal {
  if (typeof rank === 'number' && !(Number.isInteger(rank) && rank >= 1))
    throw badOption('--rank', `is ${rank}; give a whole number from 1 on, or auto`);
  if (maxError !== undefined && !(maxError >= 0 && maxError < 1))
    throw badOption('--max-error', `is ${maxError}; give a number from 0 up to, but not including, 1`);
  if (typeof rank === 'number' && maxError !== undefined)
    throw badOption('--max-error', `does not go with the fixed rank ${rank}; leave one of them out`);
  if (rank === 'auto' || maxError !== undefined || (rank === undefined && mode === 'auto'))
    return { kind: 'error', maxError: maxError ?? DEFAULT_MAX_ERROR };
  return { kind: 'rank', rank: rank ?? 1, pick: mode === 'auto' ? 'best' : 'first' };
}

/** A factor whose weight is a constant of the graph that is being built. */
interface StoredFactor extends Omit<FactorLayer, 'values'> {
  readonly weight: string;
}

class Factorizer {
  readonly #choices = new Map<string, Choice | string>();
  readonly #stored = new Map<string, readonly StoredFactor[]>();
  #visited = 0;

  constructor(
    private readonly graph: Graph,
    private readonly options: SeparableOptions,
    private readonly goal: Goal,
    private readonly context: PassContext,
  ) {}

  /** Replaces a node by its factors and says so; false where it stays. */
  visit(node: Node, builder: GraphBuilder): boolean {
    if (this.context.signal?.aborted) throw interrupted();
    this.context.progress(this.#visited++ / this.graph.nodes.length, node.name);
    if (node.op !== 'Conv' && node.op !== 'ConvTranspose') return false;
    const layer = node.name || node.outputs[0];
    const reason = this.#reasonToKeep(node, layer);
    if (reason !== undefined) return this.#keep(layer, reason);
    const kernel = inMemoryIfSmall(kernelOfNode(this.graph, node));
    const choice = this.#choose(node, node.op, kernel);
    if (typeof choice === 'string') return this.#keep(layer, choice);
    this.#replace(node, this.#store(node, node.op, kernel, choice, builder), builder);
    this.context.note(changeOf(layer, choice, kernel.weight.size));
    return true;
  }

  #keep(layer: string, reason: string): false {
    this.context.note({ layer, action: 'kept', reason });
    return false;
  }

  #reasonToKeep(node: Node, layer: string): string | undefined {
    if (this.options.exclude?.(layer)) return 'excluded';
    const weight = this.graph.constants.get(node.inputs[1]);
    if (!weight) return 'its weight is computed, not constant';
    if (!isFloat(weight.dtype)) return `its weight has type ${weight.dtype}`;
    if (weight.size === 0) return 'its weight is empty';
    const { groups, inner, outer, positions } = kernelOfNode(this.graph, node);
    const inputs = node.op === 'Conv' ? inner : outer;
    if (groups > 1 && inputs === 1) return 'it is depthwise already';
    if (positions === 1 && (this.goal.kind === 'rank' || this.options.mode !== 'auto'))
      return 'its kernel has one position';
    if (this.goal.kind === 'error') return undefined;
    if (inputs < LEAST_INPUT_CHANNELS)
      return `it has ${inputs} input channel${inputs === 1 ? '' : 's'}${groups > 1 ? ' a group' : ''}, fewer than ${LEAST_INPUT_CHANNELS}`;
    return undefined;
  }

  #choose(node: Node, op: ConvolutionOp, kernel: Kernel): Choice | string {
    const strides = (node.attributes.strides as readonly number[] | undefined) ?? kernel.spatial.map(() => 1);
    const forms = this.#formsFor(node, formsOf(op, kernel, strides));
    if (forms.length === 0) return 'its kernel cannot be split into two spatial factors';
    const key = JSON.stringify([node.inputs[1], op, kernel.groups, strides, forms.map(({ name }) => name)]);
    const choice = this.#choices.get(key) ?? choose(kernel, forms, this.goal);
    this.#choices.set(key, choice);
    return choice;
  }

  #formsFor(node: Node, forms: readonly Form[]): Form[] {
    const { mode = 'depthwise' } = this.options;
    return forms.filter(({ name }) => {
      // Half of the upsampling would need the size of the other axes, which may be open.
      if (name === 'spatial') return mode !== 'depthwise' && node.attributes.output_shape === undefined;
      return mode === 'auto' || (mode === 'depthwise' && name !== 'channel');
    });
  }

  #replace(node: Node, [first, second]: readonly StoredFactor[], builder: GraphBuilder): void {
    const [x, , ...bias] = node.inputs;
    const [output] = node.outputs;
    const between = builder.fresh(`${output}/${first.suffix}`);
    const prefix = node.name || output;
    builder.add({
      op: first.op,
      name: `${prefix}/${first.suffix}`,
      inputs: [x, first.weight],
      outputs: [between],
      attributes: factorAttributes(node.attributes, first),
    });
    builder.add({
      op: second.op,
      name: `${prefix}/${second.suffix}`,
      inputs: [between, second.weight, ...bias],
      outputs: [output],
      attributes: factorAttributes(node.attributes, second),
    });
  }

  /** Nodes that share a weight share its factors. */
  #store(node: Node, op: ConvolutionOp, kernel: Kernel, { form, rank }: Choice, builder: GraphBuilder) {
    const weight = node.inputs[1];
    const key = JSON.stringify([weight, op, kernel.groups, form.unfolding, rank]);
    const known = this.#stored.get(key);
    if (known) return known;
    const layers = factorLayers(op, kernel, factorize(kernel, form.unfolding, rank));
    const stored = layers.map(({ values, ...factor }) => {
      const tensor = Tensor.encode(kernel.weight.dtype, factor.shape, values);
      return { ...factor, weight: builder.constant(builder.fresh(`${weight}.${factor.suffix}`), tensor) };
    });
    this.#stored.set(key, stored);
    return stored;
  }
}

function kernelOfNode(graph: Graph, node: Node): Kernel {
  const weight = graph.constants.get(node.inputs[1]) as Tensor;
  return kernelOf(weight, (node.attributes.group as number | undefined) ?? 1);
}

function changeOf(layer: string, { form, rank, relativeError }: Choice, size: number): Change {
  return {
    layer,
    action: 'factorized',
    form: form.name,
    rank,
    relativeError,
    parametersBefore: size,
    parametersAfter: rank * form.parametersPerRank,
    macsPerPositionBefore: size,
    macsPerPositionAfter: rank * form.macsPerRank,
  };
}
