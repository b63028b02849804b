import { type GradientRule, gradientOf, inputOf, type RuleTable } from './rule.js';

/** The same elements in the order they had, so that dY takes the shape of X. */
const reshaped: GradientRule = (call) => [call.kernels.reshape(gradientOf(call), inputOf(call, 0).shape)];

/** Axis i of Y is axis perm[i] of X, so that axis perm[i] of dX is axis i of dY. */
const transpose: GradientRule = (call) => {
  const { shape } = inputOf(call, 0);
  const axes = shape.map((_, axis) => axis);
  const perm = (call.attributes.perm as readonly number[] | undefined) ?? axes.toReversed();
  return [
    call.kernels.transpose(
      gradientOf(call),
      axes.map((axis) => perm.indexOf(axis)),
    ),
  ];
};

/** DCR is undone by SpaceToDepth; in CRD, Y[c, hB + i, wB + j] = X[(cB + i)B + j, h, w]. */
const depthToSpace: GradientRule = (call) => {
  const { kernels, attributes } = call;
  const dy = gradientOf(call);
  const block = Number(attributes.blocksize);
  if (attributes.mode === 'DCR') return [kernels.operator('SpaceToDepth', [dy], { blocksize: block })];
  const { shape } = inputOf(call, 0);
  const [batch, channels, height, width] = shape;
  const blocks = kernels.reshape(dy, [batch, channels / block ** 2, height, block, width, block]);
  return [kernels.reshape(kernels.transpose(blocks, [0, 1, 3, 5, 2, 4]), shape)];
};

/** Undone by DepthToSpace in mode DCR. */
const spaceToDepth: GradientRule = (call) => [
  call.kernels.operator('DepthToSpace', [gradientOf(call)], { blocksize: Number(call.attributes.blocksize) }),
];

export const reshapeRules: RuleTable = {
  Reshape: reshaped,
  Flatten: reshaped,
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Transpose: transpose,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Shape: 'flat',
  Size: 'flat',
  ConstantOfShape: 'flat',
  Range: 'flat',
};
