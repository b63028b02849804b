import type { Attributes, Graph, Node } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { DataType, Shape } from '../../ir/types.js';
import {
  constantNumber,
  knownNumbers,
  nameOfChanged,
  privateMaker,
  privateReader,
  sameShape,
  withConstant,
} from './match.js';
import { type RewriteScope, type Rule, replaceNode } from './rule.js';

/**
 * Statistics over [n, g, …] of an input reshaped so that each of g rows holds C/g channels are those of a group, and
 * those of a channel where g = C; γ and β per channel come after (Wu and He 2018).
 */
export const groupNorm: Rule = {
  action: 'recognized as GroupNormalization',
  ops: ['Reshape'],
  apply(scope, node) {
    const found = normalizedGroups(scope, node);
    if (!found) return undefined;
    const { input, norm, groups, channels, rank, dtype } = found;
    const parameterShape = [channels, ...Array<number>(rank - 2).fill(1)];
    const affine = affineAfter(scope, node, (shape) => withoutLeadingOnes(shape).join() === parameterShape.join());
    const { last, constants, names } = parameters(scope, affine, [channels], dtype);
    const { epsilon } = norm.attributes;
    const attributes: Attributes = epsilon === undefined ? {} : { epsilon };
    const isPerChannel = groups === channels;
    return replaceNode(
      last,
      {
        op: isPerChannel ? 'InstanceNormalization' : 'GroupNormalization',
        name: norm.name,
        inputs: [input, ...names],
        outputs: last.outputs,
        attributes: isPerChannel ? attributes : { ...attributes, num_groups: groups },
      },
      constants,
    );
  },
};

/** Reshape to [n, g, …], InstanceNormalization without parameters of its own, Reshape back. */
function normalizedGroups(scope: RewriteScope, back: Node) {
  const { graph } = scope;
  const norm = privateMaker(graph, back.inputs[0], 'InstanceNormalization');
  const apart = norm && privateMaker(graph, norm.inputs[0], 'Reshape');
  if (!norm || !apart || !isFilled(scope, norm.inputs[1], 1) || !isFilled(scope, norm.inputs[2], 0)) return undefined;
  const [input] = apart.inputs;
  const { shape, dtype } = graph.type(input);
  const grouped = graph.type(norm.inputs[0]).shape;
  const [channels, groups] = [shape?.[1], grouped?.[1]];
  if (typeof channels !== 'number' || typeof groups !== 'number' || channels % groups !== 0) return undefined;
  if (!shape || shape.length < 3 || dtype === null || shape[0] !== grouped?.[0]) return undefined;
  if (!sameShape(shape, graph.type(back.outputs[0]).shape)) return undefined;
  return { input, norm, groups, channels, rank: shape.length, dtype };
}

/** Longest scale of an InstanceNormalization that is looked at for being all ones. */
const MOST_GROUPS = 1 << 14;

function isFilled(scope: RewriteScope, name: string, number: number): boolean {
  const tensor = scope.constant(name);
  return tensor !== undefined && tensor.size <= MOST_GROUPS && tensor.toFloat64().every((value) => value === number);
}

/** (x − mean x) / √(mean (x − mean x)² + ε)·γ + β with means over the last axes (Ba et al. 2016). */
export const layerNorm: Rule = {
  action: 'recognized as LayerNormalization',
  ops: ['Div'],
  apply(scope, node) {
    const found = standardized(scope, node);
    const { shape = null, dtype = null } = found ? scope.graph.type(found.input) : {};
    const normalized = found && shape?.slice(found.axis);
    if (!found || dtype !== 'f32' || !normalized?.every((size) => typeof size === 'number')) return undefined;
    const sizes = normalized as number[];
    const affine = affineAfter(scope, node, (parameter) => parameter.join() === sizes.join());
    const { last, constants, names } = parameters(scope, affine, sizes, dtype);
    const attributes = { axis: found.axis, epsilon: found.epsilon };
    const [name, outputs] = [node.name, last.outputs];
    const layer = { op: 'LayerNormalization', name, inputs: [found.input, ...names], outputs, attributes };
    return replaceNode(last, layer, constants);
  },
};

/** Matches from the Div back; every value between has no other reader. */
function standardized(scope: RewriteScope, div: Node): { input: string; axis: number; epsilon: number } | undefined {
  const { graph } = scope;
  const root = privateMaker(graph, div.inputs[1], 'Sqrt');
  const shifted = root && privateMaker(graph, root.inputs[0], 'Add');
  const sum = shifted && withConstant(scope, shifted);
  const epsilon = sum && constantNumber(scope, sum.name);
  const variance = sum && privateMaker(graph, sum.value, 'ReduceMean');
  const square = variance && privateMaker(graph, variance.inputs[0], 'Pow', 'Mul');
  if (epsilon === undefined || !square || !isSquare(scope, square)) return undefined;
  const [centred, again] = [div.inputs[0], square.inputs[0]].map((value) => graph.producer(value));
  if (centred?.op !== 'Sub' || again?.op !== 'Sub' || centred.inputs.join() !== again.inputs.join()) return undefined;
  const isPrivate = [centred, again].every(({ outputs: [output] }) =>
    graph.readers(output).every(({ node }) => node === div || node === square),
  );
  const mean = graph.producer(centred.inputs[1]);
  if (!isPrivate || mean?.op !== 'ReduceMean' || mean.inputs[0] !== centred.inputs[0]) return undefined;
  const [axis, other] = [mean, variance].map((node) => firstOfLastAxes(scope, node as Node));
  return axis === undefined || axis !== other ? undefined : { input: mean.inputs[0], axis, epsilon };
}

function isSquare(scope: RewriteScope, { op, inputs }: Node): boolean {
  return op === 'Mul' ? inputs[0] === inputs[1] : constantNumber(scope, inputs[1]) === 2;
}

/** The first of the axes that a reduction turns into ones, where they are all axes from there on. */
function firstOfLastAxes(scope: RewriteScope, { inputs, attributes }: Node): number | undefined {
  const rank = scope.graph.type(inputs[0]).shape?.length;
  const axes = inputs[1] && knownNumbers(scope, inputs[1]);
  if (rank === undefined || !axes || axes.length === 0 || attributes.keepdims === 0) return undefined;
  const sorted = axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
  return sorted.every((axis, i) => axis === rank - sorted.length + i) ? sorted[0] : undefined;
}

interface AffineAfter {
  /** The node whose output is the normalized, scaled and shifted value. */
  readonly last: Node;
  readonly scale?: { readonly name: string; readonly tensor: Tensor };
  readonly shift?: { readonly name: string; readonly tensor: Tensor };
}

/** The multiplication and the addition by constants of a fitting shape that follow a node and read it alone. */
function affineAfter(scope: RewriteScope, node: Node, fits: (shape: readonly number[]) => boolean): AffineAfter {
  const next = (from: Node, op: string) => {
    const reader = privateReader(scope.graph, from.outputs[0], op);
    const found = reader && withConstant(scope, reader);
    const keepsShape = reader && sameShape(outputShape(scope.graph, reader), outputShape(scope.graph, from));
    return found && keepsShape && fits(found.tensor.shape) ? { ...found, last: reader } : undefined;
  };
  const scale = next(node, 'Mul');
  const shift = next(scale?.last ?? node, 'Add');
  return { last: shift?.last ?? scale?.last ?? node, scale, shift };
}

function outputShape(graph: Graph, node: Node): Shape | null {
  return graph.type(node.outputs[0]).shape;
}

/** Scale and shift as operands of the given shape: 1 and 0 where there are none. */
function parameters(scope: RewriteScope, affine: AffineAfter, shape: readonly number[], dtype: DataType) {
  const constants = new Map<string, Tensor>();
  const names = [affine.scale, affine.shift].map((found, i) => {
    const base = `${affine.last.outputs[0]}.${i === 0 ? 'scale' : 'bias'}`;
    const name = found ? nameOfChanged(scope, found.name) : scope.fresh(base);
    const size = shape.reduce((product, extent) => product * extent, 1);
    constants.set(
      name,
      found?.tensor.reshape(shape) ?? Tensor.encode(dtype, shape, new Float32Array(size).fill(i === 0 ? 1 : 0)),
    );
    return name;
  });
  return { last: affine.last, constants, names };
}

function withoutLeadingOnes(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((extent) => extent !== 1);
  return first < 0 ? shape : shape.slice(first);
}
