import { Tensor } from '../../../ir/tensor.js';
import type { Lift, Lifting } from './lifting.js';

/** Clip-6 holds its limits as attributes. */
export const clipWithAttributes: Lift = (lifting) => {
  const { dtype } = lifting.type(0);
  const limits = ['min', 'max'].map((name) => lifting.number(name));
  if (dtype === null) return false;
  const [low, high] = limits.map((limit, i) =>
    limit === undefined ? '' : lifting.addConstant(i === 0 ? 'min' : 'max', Tensor.encode(dtype, [], [limit])),
  );
  return lifting.finish('Clip', [lifting.input(0), low, high], {});
};

/** Dropout before 12 holds the ratio as an attribute; before 10 its mask has the type of the data. */
export const dropoutWithAttribute =
  (hasBooleanMask: boolean): Lift =>
  (lifting) => {
    const readsMask = lifting.isRead(1);
    if (readsMask && !hasBooleanMask) return false;
    const ratio = lifting.number('ratio');
    const input = ratio === undefined ? '' : lifting.addConstant('ratio', Tensor.floats([ratio], []));
    const outputs = lifting.node.outputs.slice(0, readsMask ? 2 : 1);
    return lifting.finish('Dropout', [lifting.input(0), input], {}, outputs);
  };

/**
 * Softmax and LogSoftmax before 13 see a matrix: all axes from `axis` on are one row. That is the axis itself where
 * those after it have the size 1; else softmax(x) = reshape(softmax(flatten(x)), shape(x)).
 */
export const flattenedSoftmax: Lift = (lifting) => {
  const { op } = lifting.node;
  const { shape } = lifting.type(0);
  if (!shape) return false;
  const given = lifting.number('axis') ?? 1;
  const axis = given < 0 ? given + shape.length : given;
  if (axis < 0 || axis >= shape.length) return false;
  if (shape.slice(axis + 1).every((dim) => dim === 1)) return lifting.finish(op, [lifting.input(0)], { axis });
  const rows = lifting.apply('Flatten', [lifting.input(0)], { axis }, 'rows');
  const result = lifting.apply(op, [rows], { axis: 1 }, 'softmax');
  return lifting.finish('Reshape', [result, shapeOf(lifting)], {});
};

function shapeOf(lifting: Lifting): string {
  return lifting.apply('Shape', [lifting.input(0)], {}, 'shape');
}

const GRID_MODES: Readonly<Record<string, string>> = { bilinear: 'linear', bicubic: 'cubic', nearest: 'nearest' };

/** GridSample-16 has other names for two of its modes. */
export const gridSampleModes: Lift = (lifting) => {
  const mode = GRID_MODES[lifting.text('mode') ?? 'bilinear'];
  if (!mode) return false;
  return lifting.finish('GridSample', lifting.node.inputs, lifting.attributesWithout(['mode'], { mode }));
};
