import type { NodeLowering } from './node-lowering.js';

/** A value repeated along the axes on which it has one element, so that it has the shape; ranks must be equal, or 0. */
export function expandTo(node: NodeLowering, value: string, shape: readonly number[]): string {
  const own = node.shapeOf(value);
  const wide =
    own.length === shape.length ? value : node.reshape(value, [...shape.slice(own.length).map(() => 1), ...own]);
  const repeats = node.shapeOf(wide).map((extent, axis) => (extent === shape[axis] ? 1 : shape[axis]));
  if (repeats.every((count) => count === 1)) return wide;
  return node.apply('tile', [wide], { repeats }, shape);
}
