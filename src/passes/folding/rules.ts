import type { Graph, Node } from '../../ir/graph.js';
import type { Edit } from '../../ir/rewrite.js';
import { type Affine, isIdentityScale, isZeroShift } from './affine.js';
import { takeBack } from './backward.js';
import { takeForward } from './forward.js';
import { encodeFinite } from './linear.js';
import type { FoldScope, Taken } from './scope.js';

/**
 * The folding rules (algorithms, C). Each looks at one affine node y = s·x + t and returns the edit that moves it, or
 * the reason why it does not. Every rule is exact: the network's outputs stay equal within float rounding.
 */
export interface FoldEdit extends Edit {
  /** What was done, for the report. */
  readonly action: string;
}

export type FoldRule = (scope: FoldScope, affine: Affine) => FoldEdit | string;

/** s·(W·x + b) + t = (s·W)·x + (s·b + t); max(s·x + t) = s·max(x) + t for s > 0; on a Concat branch by branch. */
const intoPrecedingLayers: FoldRule = (scope, affine) => {
  const taken = takeBack(scope, affine.input, affine, affine.output);
  return typeof taken === 'string' ? taken : edit(taken, affine, [], 'folded');
};

/** W·(s·x + t) + b = (W·s)·x + (b + Σ W·t), where every tap sees the input or t is 0. */
const intoFollowingLayers: FoldRule = (scope, affine) => {
  const taken = takeForward(scope, affine.output, affine, affine.input);
  return typeof taken === 'string' ? taken : edit(taken, affine, [], 'folded');
};

/** s·f(x) + t with f(s·x) = s·f(x) for s > 0: the scale goes back through the activation into the layer, t stays. */
const scaleIntoPrecedingLayers: FoldRule = (scope, affine) => {
  if (isIdentityScale(affine.scale)) return 'only its shift is left';
  const scaleOnly = { ...affine, shift: new Float64Array(affine.shift.length) };
  const keepsShift = !isZeroShift(affine.shift);
  const taken = takeBack(scope, affine.input, scaleOnly, keepsShift ? affine.input : affine.output);
  if (typeof taken === 'string') return taken;
  if (!keepsShift) return edit(taken, affine, [], 'folded');
  const shift = addShift(scope, affine, affine.shift, taken);
  return shift ? edit(taken, affine, [shift], 'scale folded', ', shift kept as Add') : 'its shift would overflow';
};

/**
 * W·pad0(s·x + t) = (W·s)·pad0(x + t/s): with zero padding the border sees 0, not t, so only the scale goes forward and
 * one Add of t/s stays.
 */
const scaleIntoFollowingLayers: FoldRule = (scope, affine) => {
  if (isIdentityScale(affine.scale)) return 'only its shift is left';
  if (affine.scale.some((value) => value === 0)) return 'some of its scales are 0';
  const taken = takeForward(scope, affine.output, { ...affine, shift: new Float64Array(affine.shift.length) });
  if (typeof taken === 'string') return taken;
  const unscaled = affine.shift.map((value, c) => value / affine.scale[c]);
  const shift = addShift(scope, affine, unscaled, taken);
  return shift ? edit(taken, affine, [shift], 'scale folded', ', shift kept as Add') : 'its shift would overflow';
};

export const FOLD_RULES: readonly FoldRule[] = [intoPrecedingLayers, intoFollowingLayers, scaleIntoPrecedingLayers];

/** Tried when nothing else applies anywhere: it trades a BatchNormalization for an Add, which may then go further. */
export const LAST_RULES: readonly FoldRule[] = [scaleIntoFollowingLayers];

function edit(taken: Taken, affine: Affine, left: readonly Node[], done: string, rest = ''): FoldEdit {
  const replace = new Map([...taken.replace, [affine.node, left] as const]);
  const way = taken.through.size ? ` through ${[...taken.through].join(', ')}` : '';
  return { replace, constants: taken.constants, action: `${done} into '${taken.layers.join("', '")}'${way}${rest}` };
}

/** The Add that stays where the affine was; undefined where its numbers do not fit the type. */
function addShift({ graph, fresh }: FoldScope, affine: Affine, numbers: Float64Array, taken: Taken): Node | undefined {
  const { dtype, rank } = imageType(graph, affine.input);
  const tensor = encodeFinite(dtype, [numbers.length, ...Array<number>(rank - 2).fill(1)], numbers);
  if (!tensor) return undefined;
  const name = fresh(`${affine.output}.shift`);
  taken.constants.set(name, tensor);
  return { op: 'Add', name: affine.node.name, inputs: [affine.input, name], outputs: [affine.output], attributes: {} };
}

function imageType(graph: Graph, value: string) {
  const { dtype, shape } = graph.type(value);
  return { dtype: dtype ?? 'f32', rank: shape?.length ?? 2 };
}
