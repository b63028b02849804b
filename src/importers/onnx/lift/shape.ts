import { Tensor } from '../../../ir/tensor.js';
import type { Lift, Lifting } from './lifting.js';

/** Slice-1 holds starts, ends and axes as attributes. */
export const sliceWithAttributes: Lift = (lifting) => {
  const [starts, ends, axes] = ['starts', 'ends', 'axes'].map((name) => lifting.ints(name));
  if (!starts || !ends) return false;
  return lifting.finish(
    'Slice',
    [
      lifting.input(0),
      integers(lifting, 'starts', starts),
      integers(lifting, 'ends', ends),
      integers(lifting, 'axes', axes),
    ],
    lifting.attributesWithout(['starts', 'ends', 'axes']),
  );
};

/** Split-2 to 12 hold the sizes as an attribute. */
export const splitWithAttribute: Lift = (lifting) => {
  const sizes = lifting.ints('split');
  const attributes = lifting.attributesWithout(['split'], sizes ? {} : { num_outputs: lifting.node.outputs.length });
  return lifting.finish('Split', [lifting.input(0), integers(lifting, 'split', sizes)], attributes);
};

/** Split-13 splits evenly into its outputs without being told their number. */
export const splitWithoutCount: Lift = (lifting) => {
  const { inputs, outputs } = lifting.node;
  const even = lifting.input(1) === '';
  return lifting.finish('Split', inputs, lifting.attributesWithout([], even ? { num_outputs: outputs.length } : {}));
};

/** Squeeze and Unsqueeze before 13, ReduceSum before 13 and the other reductions before 18 hold the axes as an attribute. */
export const axesWithAttribute: Lift = (lifting) => {
  const axes = integers(lifting, 'axes', lifting.ints('axes'));
  return lifting.finish(lifting.node.op, [lifting.input(0), axes], lifting.attributesWithout(['axes']));
};

/** Pad-2 holds paddings and value as attributes. */
export const padWithAttributes: Lift = (lifting) => {
  const pads = lifting.ints('pads');
  const value = lifting.number('value') ?? 0;
  const { dtype } = lifting.type(0);
  if (!pads || (value !== 0 && dtype === null)) return false;
  const constant = value === 0 || !dtype ? '' : lifting.addConstant('value', Tensor.encode(dtype, [], [value]));
  const inputs = [lifting.input(0), integers(lifting, 'pads', pads), constant];
  return lifting.finish('Pad', inputs, lifting.attributesWithout(['pads', 'value']));
};

function integers(lifting: Lifting, name: string, values: readonly number[] | undefined): string {
  return values ? lifting.addConstant(name, Tensor.integers(values)) : '';
}
