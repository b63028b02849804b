import { normalizeAxis } from '../../ops/op.js';
import { CHANNELS_LAST } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import type { AttributesOf } from './operations.js';
import {
  clampedCoordinates,
  nearestIndices,
  SAMPLINGS,
  type Sampling,
  samplingCoordinates,
  samplingIndices,
} from './resize-coordinates.js';
import type { LoweringRules } from './rule.js';

export const resizeRules: LoweringRules = {
  Resize: {
    layout: CHANNELS_LAST,
    lower: lowerResize,
    limits:
      'at most 3 spatial axes, and no others; nearest in every mode; linear in the coordinates half_pixel, pytorch_half_pixel, align_corners and asymmetric; not cubic, not antialiased, not tf_crop_and_resize, not with a kept aspect ratio',
  },
  GridSample: { refused: 'sampling at computed positions has no counterpart there' },
};

type Flags = Pick<AttributesOf<'resize2d'>, 'alignCorners' | 'halfPixelCenters'>;

/** What becomes of one spatial axis. */
interface ResizedAxis {
  readonly size: number;
  /** For `nearest`, the element that each position reads. */
  readonly indices?: readonly number[];
  /** The ways of TensorFlow to place samples that read the same. */
  readonly samplings: readonly Sampling[];
}

function lowerResize(node: NodeLowering): void {
  const mode = node.text('mode');
  if (mode === 'cubic') node.fail("mode 'cubic' has no counterpart there; export the model with linear resizing");
  if (node.text('keep_aspect_ratio_policy') !== 'stretch')
    node.fail('a kept aspect ratio has no counterpart there; state the sizes');
  const [input, output] = [node.shape(), node.outputShape()];
  if (input[0] !== output[0] || input[1] !== output[1]) node.fail('it resizes the batch or the channels');
  const axes = output.slice(2).map((size, axis) => resizedAxis(node, mode, axis + 2, input[axis + 2], size));
  node.give(resizeAxes(node, node.input(), mode === 'linear' ? 'bilinear' : 'nearest', axes));
}

function resizedAxis(node: NodeLowering, mode: string, axis: number, input: number, size: number): ResizedAxis {
  if (mode === 'linear' && node.number('antialias') === 1 && size < input)
    node.fail('antialiasing has no counterpart there; export the model without it');
  const coordinates = {
    mode: node.text('coordinate_transformation_mode'),
    input,
    size,
    scale: scaleOf(node, axis) ?? Math.fround(size / input),
  };
  if (
    !['half_pixel', 'half_pixel_symmetric', 'pytorch_half_pixel', 'align_corners', 'asymmetric'].includes(
      coordinates.mode,
    )
  )
    node.fail(`the coordinates '${coordinates.mode}' have no counterpart there`);
  if (mode === 'nearest') {
    const indices = nearestIndices(coordinates, node.text('nearest_mode'));
    const samplings = SAMPLINGS.filter((sampling) => samplingIndices(sampling, input, size).join() === indices.join());
    return { size, indices, samplings };
  }
  const wanted = clampedCoordinates(coordinates);
  // Coordinates are computed in single precision by all runtimes, so they agree to about a millionth of the axis.
  const tolerance = 1e-6 * Math.max(1, input);
  const samplings = SAMPLINGS.filter((sampling) =>
    samplingCoordinates(sampling, input, size).every((at, i) => Math.abs(at - wanted[i]) <= tolerance),
  );
  if (samplings.length === 0)
    node.fail(`the coordinates '${coordinates.mode}' at a scale of ${coordinates.scale} have no counterpart there`);
  return { size, samplings };
}

/** The factor that the node states for an axis; undefined where it states sizes. */
function scaleOf(node: NodeLowering, axis: number): number | undefined {
  const scales = node.numbers(2);
  if (!scales) return undefined;
  const axes = node.list('axes')?.map((named) => normalizeAxis(named, node.rank));
  return scales[axes ? axes.indexOf(axis) : axis];
}

/** Height and width at once; in 1-D with an axis more, in 3-D the depth on its own. */
function resizeAxes(
  node: NodeLowering,
  x: string,
  method: 'nearest' | 'bilinear',
  axes: readonly ResizedAxis[],
): string {
  const [batch, ...rest] = node.shapeOf(x);
  const channels = rest[rest.length - 1];
  const sizes = axes.map(({ size }) => size);
  const kept = (size: number): ResizedAxis => ({ size, samplings: SAMPLINGS });
  if (axes.length === 2) return resize2d(node, x, method, axes);
  if (axes.length === 1) {
    const y = resize2d(node, node.reshape(x, [batch, 1, rest[0], channels]), method, [kept(1), axes[0]]);
    return node.reshape(y, [batch, ...sizes, channels]);
  }
  if (axes.length > 3) node.fail(`it has ${axes.length} spatial axes; at most 3 are possible`);
  const [depth, height, width] = rest;
  const flat = resize2d(node, node.reshape(x, [batch * depth, height, width, channels]), method, axes.slice(1));
  const area = sizes[1] * sizes[2];
  const deep = resize2d(node, node.reshape(flat, [batch, depth, area, channels]), method, [axes[0], kept(area)]);
  return node.reshape(deep, [batch, ...sizes, channels]);
}

function resize2d(node: NodeLowering, x: string, method: 'nearest' | 'bilinear', axes: readonly ResizedAxis[]): string {
  const shape = node.shapeOf(x);
  const size = axes.map((axis) => axis.size);
  if (size.join() === shape.slice(1, 3).join() && axes.every(isUnmoved)) return x;
  const common = axes[0].samplings.find((sampling) => axes[1].samplings.includes(sampling));
  if (common) {
    const made = [shape[0], ...size, shape[3]];
    return node.apply('resize2d', [x], { method, size, ...flagsOf(common) }, made);
  }
  // One axis at a time: along the other nothing moves, whichever way samples are placed.
  const first = alongAxis(node, x, method, 0, axes[0]);
  return alongAxis(node, first, method, 1, axes[1]);
}

function isUnmoved({ indices }: ResizedAxis): boolean {
  return !indices || indices.every((index, i) => index === i);
}

function alongAxis(
  node: NodeLowering,
  x: string,
  method: 'nearest' | 'bilinear',
  axis: number,
  resized: ResizedAxis,
): string {
  const spatial = node.shapeOf(x).slice(1, 3);
  if (resized.samplings.length === 0 && resized.indices) return node.gather(x, resized.indices, axis + 1);
  const kept: ResizedAxis = { size: spatial[1 - axis], samplings: SAMPLINGS };
  return resize2d(node, x, method, axis === 0 ? [resized, kept] : [kept, resized]);
}

function flagsOf(sampling: Sampling): Flags {
  return { alignCorners: sampling === 'align_corners', halfPixelCenters: sampling === 'half_pixel' };
}
