import { badNode } from '../errors.js';
import { differ } from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import type { Shape, ValueType } from '../ir/types.js';
import type { AttributeTable, Resolved } from './attributes.js';
import {
  axisOf,
  defineOp,
  extent,
  type NarrowCall,
  type Narrowing,
  operand,
  shapeOf,
  type Tie,
  type TieCall,
} from './op.js';
import { readWindow, slide, slideBack, WINDOW_ATTRIBUTES, type Window } from './window.js';

const CONV_ATTRIBUTES = {
  ...WINDOW_ATTRIBUTES,
  group: { kind: 'int', default: 1 },
} as const satisfies AttributeTable;

const TRANSPOSE_ATTRIBUTES = {
  ...CONV_ATTRIBUTES,
  output_padding: { kind: 'ints' },
  output_shape: { kind: 'ints' },
} as const satisfies AttributeTable;

const OPERANDS = [{ name: 'X' }, { name: 'W' }, { name: 'B', optional: true }] as const;

/** Y[n,o,·] = B[o] + Σ W[o,i,k]·X[n,i,·]; W is [O, I/group, k…]. */
const conv = defineOp({
  name: 'Conv',
  inputs: OPERANDS,
  outputs: ['Y'],
  attributes: CONV_ATTRIBUTES,
  infer(call, attributes) {
    const { x, weight } = operandShapes(call);
    const type = operand(call, 0).type;
    if (!x || !weight) return [{ dtype: type.dtype, shape: null }];
    const window = windowOf(attributes, x, weight);
    requireChannels(call, x[1], weight[1], attributes.group, weight[0]);
    requireBias(call, weight[0]);
    return [{ dtype: type.dtype, shape: [x[0], weight[0], ...slide(window, x.slice(2))] }];
  },
  ties(call, { group }) {
    return channelTies(call, group, { inAxis: 1, outAxis: 0 });
  },
  narrow: (call, { group }) => narrowGroup(call, group, 0),
  macs(call, outputs) {
    return kernelSize(operand(call, 1).type) * size(outputs[0]);
  },
});

/** The adjoint of Conv; W is [I, O/group, k…]. */
const convTranspose = defineOp({
  name: 'ConvTranspose',
  inputs: OPERANDS,
  outputs: ['Y'],
  attributes: TRANSPOSE_ATTRIBUTES,
  infer(call, attributes) {
    const { x, weight } = operandShapes(call);
    const type = operand(call, 0).type;
    if (!x || !weight) return [{ dtype: type.dtype, shape: null }];
    const rank = x.length - 2;
    const { group, output_padding, output_shape } = attributes;
    const window = windowOf(attributes, x, weight);
    if (differ(x[1], weight[0]))
      throw badNode(`the input has ${x[1]} channels, the weight ${weight[0]} on axis 0; they must be equal`);
    if (typeof weight[0] === 'number' && weight[0] % group !== 0)
      throw badNode(`group ${group} does not divide ${weight[0]} input channels`);
    const channels = typeof weight[1] === 'number' ? weight[1] * group : weight[1];
    requireBias(call, channels);
    if (output_shape && output_shape.length !== rank)
      throw badNode(`attribute 'output_shape' has ${output_shape.length} numbers; ${rank}-D needs ${rank}`);
    const spatial = output_shape ?? slideBack(window, x.slice(2), output_padding ?? Array<number>(rank).fill(0));
    return [{ dtype: type.dtype, shape: [x[0], channels, ...spatial] }];
  },
  ties(call, { group }) {
    return channelTies(call, group, { inAxis: 0, outAxis: 1 });
  },
  narrow: (call, { group }) => narrowGroup(call, group, 1),
  macs(call) {
    const { x, weight } = operandShapes(call);
    return product(x ?? []) * product(weight?.slice(1) ?? []);
  },
});

export const convOps = [conv, convTranspose];

function operandShapes(call: Call): { x: Shape | null; weight: Shape | null } {
  const x = shapeOf(call, 0);
  if (x && x.length < 3) throw badNode(`the input must have a batch, a channel and spatial axes, not shape [${x}]`);
  return { x, weight: shapeOf(call, 1, x?.length) };
}

function windowOf(attributes: Resolved<typeof CONV_ATTRIBUTES>, x: Shape, weight: Shape): Window {
  const kernel = weight.slice(2);
  const known = kernel.every((dim) => typeof dim === 'number') ? (kernel as number[]) : undefined;
  if (attributes.group < 1) throw badNode(`group is ${attributes.group}; it must be at least 1`);
  return readWindow(attributes, x.length - 2, known);
}

function requireChannels(
  call: Call,
  channels: Shape[number],
  perGroup: Shape[number],
  group: number,
  out: Shape[number],
) {
  if (typeof perGroup === 'number' && differ(channels, perGroup * group))
    throw badNode(
      `the input has ${channels} channels, the weight '${operand(call, 1).name}' takes ${perGroup} in each of ${group} groups`,
    );
  if (typeof out === 'number' && out % group !== 0)
    throw badNode(`group ${group} does not divide ${out} output channels`);
}

function requireBias(call: Call, channels: Shape[number]): void {
  const bias = call.inputs[2]?.type.shape;
  if (bias && (bias.length !== 1 || differ(bias[0], channels)))
    throw badNode(`the bias must have shape [${channels}], not [${bias}]`);
}

/** Rows "Conv", "ConvTranspose", "depthwise" and "grouped" of the coupling table (algorithms, A.1). */
function channelTies(call: TieCall, group: number, axes: { inAxis: 0 | 1; outAxis: 0 | 1 }): Tie[] {
  const [x, weight, bias] = call.inputs;
  const [y] = call.outputs;
  const input = extent(operand(call, 0).type, 1);
  const output = extent(y.type, 1);
  if (!x || !weight || input === undefined || output === undefined) return [];
  const into = { value: x.name, axis: 1 };
  const out = { value: y.name, axis: 1 };
  const ties: Tie[] = bias ? [{ kind: 'same', a: out, b: axisOf(bias, 0) }] : [];
  const weightIn = axisOf(weight, axes.inAxis);
  const weightOut = axisOf(weight, axes.outAxis);
  if (group === 1) return [...ties, { kind: 'same', a: into, b: weightIn }, { kind: 'same', a: out, b: weightOut }];
  // Of the two weight axes one is counted within a group; its coordinate is shared by all groups.
  const perGroupIn = axes.inAxis === 1;
  const whole: Tie = perGroupIn ? { kind: 'same', a: out, b: weightOut } : { kind: 'same', a: into, b: weightIn };
  if (group === input) {
    const multiplier = output / group;
    if (perGroupIn || multiplier === 1)
      return [...ties, whole, { kind: 'spread', narrow: into, wide: out, by: multiplier }];
  }
  const [size, sharedWeight, sharedValue] = perGroupIn ? [input, weightIn, into] : [output, weightOut, out];
  const indices = Array.from({ length: size }, (_, c) => c % (size / group));
  return [
    ...ties,
    whole,
    { kind: 'map', from: sharedWeight, to: sharedValue, indices },
    { kind: 'lockstep', axis: perGroupIn ? out : into, groups: group },
  ];
}

/** Depthwise: as many groups as input channels stay. Grouped: the groups stay, all equally thinner. */
function narrowGroup(call: NarrowCall, group: number, weightOutAxis: 0 | 1): Narrowing {
  if (group === 1) return {};
  const x = operand(call, 0);
  const kept = call.kept(axisOf(x, 1));
  const depthwise = group === extent(x.type, 1) && (weightOutAxis === 0 || extent(operand(call, 1).type, 1) === 1);
  return kept && depthwise ? { attributes: { group: kept.length } } : {};
}

function kernelSize(weight: ValueType): number {
  return product(weight.shape?.slice(1) ?? []);
}

function size(type: ValueType): number {
  return product(type.shape ?? []);
}

function product(dims: Shape): number {
  return dims.reduce<number>((result, dim) => result * Number(dim), 1);
}
