import type { Lift } from './lifting.js';

/**
 * BatchNormalization before 14 has outputs for training, which mean something else from 14 on; nothing may read them.
 * Version 7 can also normalize each element of a channel by its own statistics (`spatial` 0).
 */
export const batchNormalizationBefore14: Lift = (lifting) => {
  const { op, inputs, outputs } = lifting.node;
  if (outputs.some((_, i) => i > 0 && lifting.isRead(i))) return false;
  if (lifting.number('spatial') === 0) return false;
  return lifting.finish(op, inputs, lifting.attributesWithout(['spatial']), outputs.slice(0, 1));
};

/** GroupNormalization-18 has a scale and a bias for each group; from 21 on they are for each channel. */
export const groupNormalizationPerGroup: Lift = (lifting) => {
  const groups = lifting.number('num_groups');
  const channels = lifting.type(0).shape?.[1];
  const [scale, bias] = [lifting.constant(1), lifting.constant(2)];
  if (!groups || typeof channels !== 'number' || channels % groups !== 0 || !scale || !bias) return false;
  if ([scale, bias].some((tensor) => tensor.shape.length !== 1 || tensor.shape[0] !== groups)) return false;
  const ofChannel = Array.from({ length: channels }, (_, channel) => Math.floor((channel * groups) / channels));
  const inputs = [
    lifting.input(0),
    lifting.addConstant('scale', scale.take(0, ofChannel)),
    lifting.addConstant('bias', bias.take(0, ofChannel)),
  ];
  return lifting.finish('GroupNormalization', inputs, lifting.node.attributes);
};
