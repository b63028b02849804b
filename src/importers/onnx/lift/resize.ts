import { Tensor } from '../../../ir/tensor.js';
import type { Lift, Lifting } from './lifting.js';

/** Upsample and Resize-10 take coordinate x of the result from x / scale, rounded down where they take the nearest. */
function legacyAttributes(lifting: Lifting): Record<string, string> {
  const mode = lifting.text('mode') ?? 'nearest';
  const rounding: Record<string, string> = mode === 'nearest' ? { nearest_mode: 'floor' } : {};
  return { mode, coordinate_transformation_mode: 'asymmetric', ...rounding };
}

/** Upsample-7 holds the scales as an attribute. */
export const upsampleWithAttribute: Lift = (lifting) => {
  const scales = lifting.floats('scales');
  if (!scales) return false;
  const input = lifting.addConstant('scales', Tensor.floats(scales));
  return lifting.finish('Resize', [lifting.input(0), '', input], legacyAttributes(lifting));
};

/** Upsample-9 and Resize-10 have the scales as their second input. */
export const resizeByScales: Lift = (lifting) =>
  lifting.finish('Resize', [lifting.input(0), '', lifting.input(1)], legacyAttributes(lifting));

/**
 * Resize from 11 on: operands that say nothing (an empty tensor, a region that the mode does not look at) are left out.
 * Version 11 has a mode that samples at (x + 0.5) / scale; rounded down, that is the nearest to half_pixel's
 * (x + 0.5) / scale - 0.5, halves upwards.
 */
export const resizeFrom11: Lift = (lifting) => {
  const { inputs } = lifting.node;
  let attributes = lifting.node.attributes;
  const transformation = attributes.coordinate_transformation_mode;
  if (transformation === 'tf_half_pixel_for_nn') {
    if (lifting.text('mode') === 'linear' || lifting.text('mode') === 'cubic') return false;
    if (attributes.nearest_mode !== 'floor') return false;
    attributes = { ...attributes, coordinate_transformation_mode: 'half_pixel', nearest_mode: 'round_prefer_ceil' };
  }
  const operands = inputs.map((name, i) => {
    const isIgnored = i === 1 && transformation !== 'tf_crop_and_resize';
    return i > 0 && lifting.constant(i) && (isIgnored || lifting.constant(i)?.size === 0) ? '' : name;
  });
  return lifting.finish('Resize', operands, attributes);
};
