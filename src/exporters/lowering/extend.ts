import type { Graph, Node } from '../../ir/graph.js';
import { normalizeAxis } from '../../ops/op.js';
import { ANY, AS_IS, type LayoutRule } from '../layout.js';
import { expandTo } from './broadcasting.js';
import { taken } from './join.js';
import type { NodeLowering } from './node-lowering.js';
import type { LoweringRules } from './rule.js';

export const extendRules: LoweringRules = {
  Pad: { layout: ANY, lower: lowerPad, limits: 'by constant amounts; whole numbers by zeros only' },
  Tile: { layout: ANY, lower: lowerTile, limits: 'by constant counts' },
  Expand: { layout: layoutOfExpand, lower: lowerExpand },
  Slice: { layout: ANY, lower: lowerSlice, limits: 'by constant bounds' },
};

function lowerPad(node: NodeLowering): void {
  const rank = node.shape().length;
  const pads = node.numbers(1) ?? [];
  const axes = node.numbers(3)?.map((axis) => normalizeAxis(axis, rank)) ?? Array.from({ length: rank }, (_, i) => i);
  const at = (offset: number) =>
    node.arranged(
      Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? pads[axes.indexOf(axis) + offset] : 0)),
    );
  const [before, after] = [at(0), at(axes.length)];
  const mode = node.text('mode');
  const x = node.input();
  if (mode === 'constant') {
    const value = node.numbers(2)?.[0] ?? 0;
    if (value !== 0 && node.typeOf(x) !== 'f32') node.fail('of whole numbers and truth values only zeros can be added');
    node.give(node.padOrCrop(x, before, after, value));
    return;
  }
  if (mode === 'reflect' && [...before, ...after].every((count) => count >= 0)) {
    const shape = node.shapeOf(x).map((size, axis) => size + before[axis] + after[axis]);
    node.give(node.apply('mirrorPad', [x], { before, after, mode }, shape));
    return;
  }
  node.give(before.reduce((value, count, axis) => paddedAxis(node, value, axis, count, after[axis], mode), x));
}

/** By the elements that the added positions repeat. */
function paddedAxis(node: NodeLowering, x: string, axis: number, before: number, after: number, mode: string): string {
  const size = node.shapeOf(x)[axis];
  if (before === 0 && after === 0) return x;
  const indices = Array.from({ length: size + before + after }, (_, i) => sourceOf(i - before, size, mode));
  return taken(node, x, indices, axis);
}

/** The element that a position outside repeats (ONNX Pad, mode). */
function sourceOf(position: number, size: number, mode: string): number {
  if (mode === 'edge') return Math.min(Math.max(position, 0), size - 1);
  if (mode === 'wrap') return ((position % size) + size) % size;
  const period = Math.max(1, 2 * (size - 1));
  const within = ((position % period) + period) % period;
  return Math.min(within, period - within);
}

function lowerTile(node: NodeLowering): void {
  const repeats = node.arranged(node.numbers(1) ?? []);
  const x = node.input();
  const shape = node.shapeOf(x).map((size, axis) => size * repeats[axis]);
  node.give(repeats.every((count) => count === 1) ? x : node.apply('tile', [x], { repeats }, shape));
}

function layoutOfExpand(node: Node, graph: Graph): LayoutRule {
  const [before, after] = [node.inputs[0], node.outputs[0]].map((value) => graph.type(value).shape?.length);
  return before === after ? ANY : AS_IS;
}

function lowerExpand(node: NodeLowering): void {
  node.give(expandTo(node, node.input(), node.arranged(node.outputShape())));
}

function lowerSlice(node: NodeLowering): void {
  const input = node.shape();
  const starts = node.numbers(1) ?? [];
  const axes = (node.numbers(3) ?? starts.map((_, i) => i)).map((axis) => normalizeAxis(axis, input.length));
  const steps = node.numbers(4) ?? starts.map(() => 1);
  const along = <T>(list: readonly T[], fallback: T) =>
    node.arranged(input.map((_, axis) => (axes.includes(axis) ? list[axes.indexOf(axis)] : fallback)));
  const first = starts.map((start, i) => firstOf(start, input[axes[i]]));
  const size = node.arranged(node.outputShape());
  const [begin, strides] = [along(first, 0), along(steps, 1)];
  const x = node.input();
  if (strides.every((stride) => stride === 1)) {
    node.give(node.slice(x, begin, size));
  } else if (strides.every((stride) => stride > 0)) {
    const end = size.map((count, axis) => begin[axis] + (count - 1) * strides[axis] + 1);
    node.give(node.apply('stridedSlice', [x], { begin, end, strides }, size));
  } else {
    const indices = (axis: number) => Array.from({ length: size[axis] }, (_, i) => begin[axis] + i * strides[axis]);
    node.give(
      size.reduce(
        (value, _, axis) =>
          strides[axis] === 1 && begin[axis] === 0 && size[axis] === node.shapeOf(value)[axis]
            ? value
            : taken(node, value, indices(axis), axis),
        x,
      ),
    );
  }
}

/** Counted from the end where negative, and within the axis. */
function firstOf(start: number, size: number): number {
  return Math.max(0, Math.min(size - 1, start < 0 ? start + size : start));
}
