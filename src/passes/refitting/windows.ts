import type { Layer } from '../../analysis/layers.js';
import type { Graph } from '../../ir/graph.js';
import { type Resolved, resolveAttributes } from '../../ops/attributes.js';
import { operators } from '../../ops/index.js';
import { explicitPads, readWindow, slide, slideBack, type WINDOW_ATTRIBUTES, type Window } from '../../ops/window.js';

/**
 * Which input positions a layer's output position reads. A transposed convolution of stride s has as many kinds of
 * output positions as the stride has steps, its phases; each reads the input through taps of its own.
 */
export interface Phase {
  /** Kernel positions, row-major. */
  readonly taps: readonly number[];
}

type WindowAttributes = Resolved<typeof WINDOW_ATTRIBUTES>;

/** One phase for convolutions and matrix products; undefined where the layer's geometry cannot be followed. */
export function phasesOf(graph: Graph, layer: Layer): readonly Phase[] | undefined {
  return geometryOf(graph, layer)?.phases;
}

export interface Geometry {
  readonly groups: number;
  readonly phases: readonly Phase[];
  /** Batch and spatial axes of the output for those of the input. */
  outputOf(input: readonly number[]): readonly number[];
  /**
   * For sampled positions of the output, numbered through batch and spatial axes: the phase of each, and for each of
   * the phase's taps the position of the input that it reads (−1: padding), numbered in the same way.
   */
  reads(input: readonly number[], output: readonly number[], positions: Int32Array): readonly Reads[];
}

interface Reads {
  readonly phase: number;
  readonly inputs: Int32Array;
}

export function geometryOf(graph: Graph, layer: Layer): Geometry | undefined {
  const { node, isConvolution, weight } = layer;
  if (!isConvolution) return isPlainProduct(graph, layer) ? PRODUCT : undefined;
  const attributes = resolveAttributes(operators.get(node.op)?.attributes ?? {}, node.attributes);
  const kernel = weight.tensor.shape.slice(2);
  const window = readWindow(attributes as unknown as WindowAttributes, kernel.length, kernel);
  const groups = (node.attributes.group as number | undefined) ?? 1;
  if (node.op === 'Conv') return convolution(window, groups);
  const isStated = window.autoPad === 'NOTSET' && node.attributes.output_shape === undefined;
  const outputPadding = (node.attributes.output_padding as readonly number[] | undefined) ?? kernel.map(() => 0);
  return isStated ? transposedConvolution(window, groups, outputPadding) : undefined;
}

function isPlainProduct(graph: Graph, { node }: Layer): boolean {
  const { alpha = 1, beta = 1, transA = 0 } = node.attributes;
  return alpha === 1 && beta === 1 && transA === 0 && graph.type(node.inputs[0]).shape !== null;
}

const PRODUCT: Geometry = {
  groups: 1,
  phases: [{ taps: [0] }],
  outputOf: (input) => input,
  reads: (_input, _output, positions) => Array.from(positions, (p) => ({ phase: 0, inputs: Int32Array.of(p) })),
};

function convolution(window: Window, groups: number): Geometry {
  const taps = coordinatesWithin(window.kernel);
  return {
    groups,
    phases: [{ taps: taps.map((_, k) => k) }],
    outputOf: ([batch, ...spatial]) => [batch, ...slide(window, spatial).map(Number)],
    reads(input, output, positions) {
      const { begin } = explicitPads(window, input.slice(1));
      return Array.from(positions, (position) => {
        const [batch, ...at] = coordinates(position, output);
        const read = (tap: readonly number[]) =>
          at.map((p, axis) => p * window.strides[axis] + tap[axis] * window.dilations[axis] - begin[axis]);
        return { phase: 0, inputs: Int32Array.from(taps, (tap) => positionOf([batch, ...read(tap)], input)) };
      });
    },
  };
}

function transposedConvolution(window: Window, groups: number, outputPadding: readonly number[]): Geometry {
  const taps = coordinatesWithin(window.kernel);
  const steps = coordinatesWithin(window.strides);
  const reaches = (tap: readonly number[], step: readonly number[]) =>
    step.every((s, axis) => (s - tap[axis] * window.dilations[axis]) % window.strides[axis] === 0);
  const phases = steps.map((step) => ({ taps: taps.flatMap((tap, k) => (reaches(tap, step) ? [k] : [])) }));
  return {
    groups,
    phases,
    outputOf: ([batch, ...spatial]) => [batch, ...slideBack(window, spatial, outputPadding).map(Number)],
    reads(input, output, positions) {
      return Array.from(positions, (position) => {
        const [batch, ...at] = coordinates(position, output);
        const padded = at.map((p, axis) => p + window.padsBegin[axis]);
        const phase = positionOf(
          padded.map((p, axis) => p % window.strides[axis]),
          window.strides,
        );
        const inputs = Int32Array.from(phases[phase].taps, (k) => {
          const read = padded.map((p, axis) => (p - taps[k][axis] * window.dilations[axis]) / window.strides[axis]);
          return positionOf([batch, ...read], input);
        });
        return { phase, inputs };
      });
    },
  };
}

function coordinatesWithin(shape: readonly number[]): number[][] {
  const count = shape.reduce((product, extent) => product * extent, 1);
  return Array.from({ length: count }, (_, position) => coordinates(position, shape));
}

function coordinates(position: number, shape: readonly number[]): number[] {
  const result: number[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result[axis] = position % shape[axis];
    position = Math.floor(position / shape[axis]);
  }
  return result;
}

/** −1 where the coordinates are outside. */
function positionOf(at: readonly number[], shape: readonly number[]): number {
  let position = 0;
  for (const [axis, coordinate] of at.entries()) {
    if (coordinate < 0 || coordinate >= shape[axis]) return -1;
    position = position * shape[axis] + coordinate;
  }
  return position;
}
