import { Tensor } from '../../../ir/tensor.js';
import { codeOfDataType } from '../../../ops/data-type.js';
import { normalizeAxis } from '../../../ops/op.js';
import type { Lowering } from './lowering.js';

/** Reductions before 18 (ReduceSum: before 13) hold the axes as an attribute, and always reduce. */
export function reduceWithAttribute(lowering: Lowering): Lowering {
  const axes = lowering.integers(1);
  if (!axes?.length && lowering.number('noop_with_empty_axes') === 1)
    return lowering.finish('Identity', [lowering.input(0)], []);
  const attributes = lowering.given(['noop_with_empty_axes']);
  return lowering.finish(
    lowering.node.op,
    [lowering.input(0)],
    [...(axes?.length ? [{ name: 'axes', ints: axes }] : []), ...attributes],
  );
}

/** Split before 18 is told the sizes, or splits evenly into the outputs that it has. */
export function splitWithoutCount(lowering: Lowering): Lowering {
  const count = lowering.resolved.num_outputs as number | undefined;
  const sizes = count === undefined ? lowering.input(1) : unevenSizes(lowering, count);
  return lowering.finish('Split', [lowering.input(0), sizes], lowering.given(['num_outputs']));
}

/** The last part of an uneven split is smaller; '' where all are equal. */
function unevenSizes(lowering: Lowering, count: number): string {
  const { shape } = lowering.type(0);
  if (!shape) return '';
  const extent = shape[normalizeAxis(lowering.number('axis'), shape.length)];
  if (typeof extent !== 'number' || extent % count === 0) return '';
  const size = Math.ceil(extent / count);
  const sizes = Array.from({ length: count }, (_, i) => (i < count - 1 ? size : extent - size * (count - 1)));
  return lowering.addConstant('split', Tensor.integers(sizes));
}

/** Pad before 18 pads all axes. */
export function padAllAxes(lowering: Lowering): Lowering {
  if (lowering.text('mode') === 'wrap') lowering.fail("mode 'wrap' exists since operator set 19");
  const axes = lowering.integers(3);
  const [data, pads, value] = [0, 1, 2].map((i) => lowering.input(i));
  if (!axes) return lowering.finish('Pad', [data, pads, value], lowering.given());
  const rank = lowering.rank();
  const given = lowering.integers(1) ?? [];
  const all = Array<number>(2 * rank).fill(0);
  axes.forEach((axis, i) => {
    const place = normalizeAxis(axis, rank);
    all[place] = given[i];
    all[place + rank] = given[i + axes.length];
  });
  return lowering.finish('Pad', [data, lowering.addConstant('pads', Tensor.integers(all)), value], lowering.given());
}

/** Shape before 15 gives all sizes; `start` and `end` count from the back when negative, as those of Slice do. */
export function shapeThenSlice(lowering: Lowering): Lowering {
  const start = (lowering.resolved.start as number | undefined) ?? 0;
  const end = lowering.resolved.end as number | undefined;
  if (start === 0 && end === undefined) return lowering.finish('Shape', [lowering.input(0)], []);
  const all = lowering.apply('Shape', [lowering.input(0)], [], 'all');
  const from = lowering.addConstant('start', Tensor.integers([start]));
  const to = lowering.addConstant('end', Tensor.integers([end ?? Number.MAX_SAFE_INTEGER]));
  return lowering.finish('Slice', [all, from, to], []);
}

/** CastLike before 15: a Cast to a type that is known. */
export function castToKnownType(lowering: Lowering): Lowering {
  const dtype = lowering.type(1).dtype ?? lowering.fail('the type to cast to is not known');
  return lowering.finish('Cast', [lowering.input(0)], [{ name: 'to', i: codeOfDataType(dtype) }]);
}
