import type { Tensor } from '../../ir/tensor.js';
import { isFloat } from '../../ir/types.js';
import { constantNumber, knownNumbers, privateMaker } from './match.js';
import { type RewriteScope, type Rule, replaceNode } from './rule.js';

/**
 * A kernel whose taps are 0 off a lattice of step s is one of ((k−1)/s + 1) taps with dilation s: the taps that are left
 * read the same places, and the reach (k−1)·d + 1 stays, so the pads do.
 */
export const atrousKernel: Rule = {
  action: 'zero-stuffed kernel turned into a dilation',
  ops: ['Conv'],
  apply(scope, node) {
    const weight = scope.constant(node.inputs[1]);
    const kernel = weight?.shape.slice(2) ?? [];
    if (!weight || !isFloat(weight.dtype) || kernel.every((size) => size < 3)) return undefined;
    if (!scope.graph.hasOneReader(node.inputs[1])) return undefined;
    const steps = latticeSteps(weight);
    if (!steps.some((step) => step > 1)) return undefined;
    const dilations = (node.attributes.dilations as readonly number[] | undefined) ?? kernel.map(() => 1);
    const taps = kernel.map((size, axis) => (size - 1) / steps[axis] + 1);
    const lattice = taps.reduce<Tensor>(
      (tensor, count, axis) =>
        tensor.take(
          axis + 2,
          Array.from({ length: count }, (_, i) => i * steps[axis]),
        ),
      weight,
    );
    const attributes = {
      ...node.attributes,
      kernel_shape: taps,
      dilations: dilations.map((dilation, axis) => dilation * steps[axis]),
    };
    const constants = new Map([[node.inputs[1], lattice]]);
    return replaceNode(node, { ...node, attributes, origin: undefined }, constants);
  },
};

/** Small, so that of an ordinary kernel, which shows in its first taps that it is none, next to nothing is read. */
const SLAB = 1 << 12;

/** For each spatial axis the largest step that divides k − 1 and every coordinate of a tap that is not 0. */
function latticeSteps(weight: Tensor): number[] {
  const kernel = weight.shape.slice(2);
  const positions = kernel.reduce((product, size) => product * size, 1);
  const ones = kernel.map(() => 1);
  const steps = kernel.map((size) => size - 1);
  let isZero = true;
  for (const slab of weight.slabs(SLAB)) {
    const values = slab.toNumbers();
    for (let i = 0; i < values.length; i++) {
      if (values[i] === 0) continue;
      isZero = false;
      let position = i % positions;
      for (let axis = kernel.length - 1; axis >= 0; axis--) {
        steps[axis] = commonDivisor(steps[axis], position % kernel[axis]);
        position = Math.floor(position / kernel[axis]);
      }
      if (steps.every((step) => step <= 1)) return ones;
    }
  }
  return isZero ? ones : steps.map((step) => Math.max(1, step));
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** conv(pad0(x, p), pads q) = conv(x, pads q + p) for zero padding of spatial axes by p ≥ 0. */
export const paddingIntoConv: Rule = {
  action: 'takes over the Pad before it',
  ops: ['Conv'],
  apply(scope, node) {
    const { auto_pad = 'NOTSET', pads, ...attributes } = node.attributes;
    const pad = privateMaker(scope.graph, node.inputs[0], 'Pad');
    const rank = scope.graph.type(node.inputs[0]).shape?.length;
    if (!pad || rank === undefined || (auto_pad !== 'NOTSET' && auto_pad !== 'VALID')) return undefined;
    const added = zeroPadding(scope, pad.attributes.mode, pad.inputs, rank);
    if (!added) return undefined;
    const own = auto_pad === 'NOTSET' ? (pads as readonly number[] | undefined) : undefined;
    const sum = added.map((count, i) => count + (own?.[i] ?? 0));
    const inputs = [pad.inputs[0], ...node.inputs.slice(1)];
    return replaceNode(node, { ...node, inputs, attributes: { ...attributes, pads: sum }, origin: undefined });
  },
};

/** What a Pad adds to the spatial axes, all begins before all ends; undefined where it does anything else. */
function zeroPadding(
  scope: RewriteScope,
  mode: unknown,
  [, padsName, valueName = '', axesName = '']: readonly string[],
  rank: number,
): number[] | undefined {
  if (mode !== undefined && mode !== 'constant') return undefined;
  if (valueName !== '' && constantNumber(scope, valueName) !== 0) return undefined;
  const pads = knownNumbers(scope, padsName);
  const axes = axesName === '' ? Array.from({ length: rank }, (_, axis) => axis) : knownNumbers(scope, axesName);
  if (!pads || !axes || pads.some((count) => count < 0)) return undefined;
  const spatial = rank - 2;
  const added = Array<number>(2 * spatial).fill(0);
  for (const [i, named] of axes.entries()) {
    const axis = (named < 0 ? named + rank : named) - 2;
    const [begin, end] = [pads[i], pads[i + axes.length]];
    if (axis < 0 && (begin > 0 || end > 0)) return undefined;
    if (axis < 0) continue;
    added[axis] = begin;
    added[axis + spatial] = end;
  }
  return added;
}
