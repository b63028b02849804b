import { badNode } from '../errors.js';
import { differ, formatShape } from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import type { Shape } from '../ir/types.js';
import { alignedTies, requireBroadcastTo } from './broadcast.js';
import {
  axisOf,
  defineOp,
  extent,
  type NarrowCall,
  type Narrowing,
  normalizeAxis,
  operand,
  shapeOf,
  type Tie,
  type TieCall,
} from './op.js';
import { imageTies, sameType, unaryTies } from './pointwise.js';

const EPSILON = { kind: 'float', default: 1e-5 } as const;
/** The element type (1: f32, 16: bf16) in which a runtime computes the statistics. */
const STASH_TYPE = { kind: 'int', default: 1 } as const;

/** y = scale·(x − mean)/√(var + ε) + B per channel (axis 1), with the statistics of training. */
const batchNormalization = defineOp({
  name: 'BatchNormalization',
  inputs: [{ name: 'X' }, { name: 'scale' }, { name: 'B' }, { name: 'input_mean' }, { name: 'input_var' }],
  outputs: ['Y'],
  attributes: {
    epsilon: EPSILON,
    momentum: { kind: 'float', default: 0.9 },
    training_mode: { kind: 'int', default: 0 },
  },
  infer(call, { training_mode }) {
    if (training_mode) throw badNode('is in training mode; export the model for inference');
    requireChannelParameters(call, shapeWithChannels(call, 2));
    return [sameType(call)];
  },
  ties: (call) => [...unaryTies(call), ...parameterTies(call)],
});

/** As BatchNormalization, with statistics over the spatial axes of each image and channel. */
const instanceNormalization = defineOp({
  name: 'InstanceNormalization',
  inputs: [{ name: 'input' }, { name: 'scale' }, { name: 'B' }],
  outputs: ['output'],
  attributes: { epsilon: EPSILON },
  infer(call) {
    requireChannelParameters(call, shapeWithChannels(call, 3));
    return [sameType(call)];
  },
  ties: (call) => [...imageTies(call), ...parameterTies(call)],
});

/** Statistics over the spatial axes and the channels of one group; scale and bias per channel (opset 21). */
const groupNormalization = defineOp({
  name: 'GroupNormalization',
  inputs: [{ name: 'X' }, { name: 'scale' }, { name: 'bias' }],
  outputs: ['Y'],
  attributes: { epsilon: EPSILON, num_groups: { kind: 'int' }, stash_type: STASH_TYPE },
  infer(call, { num_groups: groups }) {
    const shape = shapeWithChannels(call, 2);
    requireChannelParameters(call, shape);
    if (groups === undefined || groups < 1) throw badNode("attribute 'num_groups' must be at least 1");
    const channels = shape?.[1];
    if (typeof channels === 'number' && channels % groups !== 0)
      throw badNode(`num_groups ${groups} does not divide ${channels} channels`);
    return [sameType(call)];
  },
  ties(call, { num_groups: groups = 1 }) {
    const ties = [...imageTies(call), ...parameterTies(call)];
    if (hasOwnGroups(call, groups)) return ties;
    return [...ties, { kind: 'lockstep', axis: axisOf(operand(call, 0), 1), groups }];
  },
  narrow(call, { num_groups: groups = 1 }): Narrowing {
    const kept = call.kept(axisOf(operand(call, 0), 1));
    return kept && hasOwnGroups(call, groups) ? { attributes: { num_groups: kept.length } } : {};
  },
});

/** Each channel is a group of its own, so that channels are independent of one another. */
function hasOwnGroups(call: TieCall | NarrowCall, groups: number): boolean {
  return extent(operand(call, 0).type, 1) === groups;
}

/** Statistics over all axes from `axis` on. */
const layerNormalization = defineOp({
  name: 'LayerNormalization',
  inputs: [{ name: 'X' }, { name: 'Scale' }, { name: 'B', optional: true }],
  outputs: ['Y', 'Mean', 'InvStdDev'],
  attributes: { axis: { kind: 'int', default: -1 }, epsilon: EPSILON, stash_type: STASH_TYPE },
  infer(call, { axis, stash_type }) {
    const type = sameType(call);
    const first = type.shape ? normalizeAxis(axis, type.shape.length) : 0;
    for (const parameter of call.inputs.slice(1))
      if (type.shape && parameter?.type.shape)
        requireBroadcastTo(parameter.type.shape, type.shape, `'${parameter.name}'`);
    const statistics = {
      dtype: stash_type === 16 ? 'bf16' : 'f32',
      shape: type.shape?.map((dim, i) => (i < first ? dim : 1)) ?? null,
    } as const;
    return [type, statistics, statistics].slice(0, call.outputCount);
  },
  ties(call, { axis }) {
    const input = operand(call, 0);
    const { shape } = input.type;
    if (!shape) return [];
    const first = normalizeAxis(axis, shape.length);
    return [...call.inputs, ...call.outputs]
      .flatMap((value) => (value && value !== input ? alignedTies(value, input) : []))
      .filter((tie) => tie.kind === 'same' && tie.b.axis < first);
  },
});

export const normOps = [batchNormalization, instanceNormalization, groupNormalization, layerNormalization];

function shapeWithChannels(call: Call, leastRank: number): Shape | null {
  const shape = shapeOf(call, 0);
  if (shape && shape.length < leastRank)
    throw badNode(`the input must have at least ${leastRank} axes, not shape ${formatShape(shape)}`);
  return shape;
}

/** Every operand after the first holds one number a channel. */
function requireChannelParameters(call: Call, shape: Shape | null): void {
  for (let i = 1; i < call.inputs.length; i++) {
    const parameter = shapeOf(call, i, 1);
    if (parameter && shape && differ(parameter[0], shape[1]))
      throw badNode(`input '${operand(call, i).name}' holds ${parameter[0]} numbers for ${shape[1]} channels`);
  }
}

/** Row "BatchNorm, InstanceNorm" of the coupling table (algorithms, A.1). */
function parameterTies(call: TieCall): Tie[] {
  const input = operand(call, 0);
  const channels = extent(input.type, 1);
  return call.inputs
    .slice(1)
    .flatMap((parameter): Tie[] =>
      parameter && channels !== undefined && extent(parameter.type, 0) === channels
        ? [{ kind: 'same', a: axisOf(parameter, 0), b: axisOf(input, 1) }]
        : [],
    );
}
