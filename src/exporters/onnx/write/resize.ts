import { Tensor } from '../../../ir/tensor.js';
import { normalizeAxis } from '../../../ops/op.js';
import type { Lowering } from './lowering.js';

/** Resize before 19: no half_pixel_symmetric; before 18 also no antialiasing, no chosen axes, no kept aspect ratio. */
export function resizeBefore19(lowering: Lowering): Lowering {
  if (lowering.text('coordinate_transformation_mode') === 'half_pixel_symmetric')
    lowering.fail("the coordinates 'half_pixel_symmetric' exist since operator set 19");
  const policy = lowering.text('keep_aspect_ratio_policy');
  if (lowering.opset >= 18) return lowering.finish('Resize', lowering.node.inputs, lowering.given());
  if (lowering.number('antialias') === 1) lowering.fail('antialiasing exists since operator set 18');
  const attributes = lowering.given(['antialias', 'axes', 'keep_aspect_ratio_policy']);
  const keepsRatio = lowering.input(3) !== '' && policy !== 'stretch';
  if (keepsRatio) lowering.fail(`the policy '${policy}' exists since operator set 18`);
  return lowering.finish('Resize', [lowering.input(0), ...operandsForAllAxes(lowering)], attributes);
}

/** Region, scales and sizes for every axis; axes that were not named keep their size. */
function operandsForAllAxes(lowering: Lowering): string[] {
  const axes = lowering.resolved.axes as readonly number[] | undefined;
  if (!axes) return lowering.node.inputs.slice(1);
  const rank = lowering.rank();
  const places = axes.map((axis) => normalizeAxis(axis, rank));
  return [
    regionForAllAxes(lowering, places, rank),
    scalesForAllAxes(lowering, places, rank),
    sizesForAllAxes(lowering, places, rank),
  ];
}

function regionForAllAxes(lowering: Lowering, places: readonly number[], rank: number): string {
  if (lowering.input(1) === '') return '';
  if (places.every((place, i) => place === i) && places.length === rank) return lowering.input(1);
  return lowering.fail('a region for some of the axes exists since operator set 18');
}

function scalesForAllAxes(lowering: Lowering, places: readonly number[], rank: number): string {
  if (lowering.input(2) === '') return '';
  const scales = lowering.constant(2)?.toFloat64() ?? lowering.fail('scales of some axes must be constants there');
  const all = Array<number>(rank).fill(1);
  places.forEach((place, i) => {
    all[place] = scales[i];
  });
  return lowering.addConstant('scales', Tensor.floats(all));
}

/** Each axis' size: one of the given ones, or that of the input, which may be open. */
function sizesForAllAxes(lowering: Lowering, places: readonly number[], rank: number): string {
  if (lowering.input(3) === '') return '';
  const shape = lowering.apply('Shape', [lowering.input(0)], [], 'shape');
  const axis = { name: 'axis', i: 0 };
  const sizes = Array.from({ length: rank }, (_, place) => {
    const given = places.indexOf(place);
    const index = lowering.addConstant(`index_${place}`, Tensor.integers([given < 0 ? place : given]));
    return lowering.apply('Gather', [given < 0 ? shape : lowering.input(3), index], [axis], `size_${place}`);
  });
  return lowering.apply('Concat', sizes, [axis], 'sizes');
}
