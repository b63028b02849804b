import { staticShape } from '../ir/dims.js';
import type { Graph, Node } from '../ir/graph.js';
import { elementCount } from '../ir/tensor.js';
import { dataOf, headsOf, isActivation, isConvolution, isLayer, readsSizeOnly } from './network-parts.js';

/** A feature map of the teacher and the one of the student that stands for it. */
export interface MatchedPoint {
  /** Name in the teacher. */
  readonly value: string;
  readonly studentValue: string;
  readonly teacherChannels: number;
  readonly studentChannels: number;
  /** Extents of the spatial axes. */
  readonly size: readonly number[];
}

/**
 * The feature maps that a student should recreate: for each block of a network what its last activation makes, before
 * the spatial resolution changes (a strided convolution or pool, a transposed convolution, a Resize, blocks of pixels
 * to channels or back) and before the heads. A block is what stands between changes: values with the same changes
 * behind them, of which the first that a change reads counts. A U-Net of four levels down has nine points.
 *
 * Where a block ends in something else than an activation, that is the point: the sum of a residual block whose
 * activations are inside, a concatenation, a linear bottleneck, a gated map. A scale and shift per channel behind an
 * activation is not the block's end, since folding moves it; nor is the first of two factors (depthwise, pointwise)
 * that stand for one layer. The image itself, what global pooling makes and what is made of the heads' results are none.
 *
 * @returns names of values, in graph order
 */
export function featurePoints(graph: Graph): string[] {
  const heads = headsOf(graph);
  const traces = traceValues(graph, heads);
  const candidates = new Set<string>();
  for (const node of graph.nodes) {
    if (!heads.has(node) && !changesResolution(graph, node)) continue;
    const value = endOfBlock(graph, wholeLayerInput(graph, node));
    const maker = graph.producer(value);
    const isFeature = traces.get(value)?.origin === 'features' && (graph.type(value).shape?.length ?? 0) > 2;
    if (maker && isFeature && !changesResolution(graph, maker)) candidates.add(value);
  }
  const inOrder = graph.nodes.flatMap(({ outputs }) => outputs).filter((output) => candidates.has(output));
  return inOrder.filter((value, i) => {
    const sameBlock = inOrder.slice(0, i).filter((other) => traces.get(other)?.changes === traces.get(value)?.changes);
    return !sameBlock.some((other) => dependsOn(graph, value, other));
  });
}

/**
 * The teacher's feature points with the student's values of the same name and spatial size, in the teacher's order. A
 * student that has none of these names is another network: its points are matched by place then. Both graphs' shapes
 * must be bound (`bindShapes`); a value with an open spatial axis matches nothing.
 */
export function matchedPoints(teacher: Graph, student: Graph): MatchedPoint[] {
  const points = featurePoints(teacher);
  const hasNames = points.some((value) => student.types.has(value));
  const counterparts = hasNames ? new Map(points.map((value) => [value, value])) : matchedPlaces(teacher, student);
  return points.flatMap((value) => {
    const studentValue = counterparts.get(value) ?? '';
    const [theirs, ours] = [teacher.type(value), student.type(studentValue)].map(({ shape }) => staticShape(shape));
    if (!theirs || !ours) return [];
    const size = theirs.slice(2);
    if (size.join() !== ours.slice(2).join() || theirs.length !== ours.length) return [];
    return [{ value, studentValue, teacherChannels: theirs[1], studentChannels: ours[1], size }];
  });
}

/** Student's feature point by the teacher's at the same place; see `pointsByPlace`. */
function matchedPlaces(teacher: Graph, student: Graph): Map<string, string> {
  const [theirs, ours] = [pointsByPlace(teacher), pointsByPlace(student)];
  return new Map(
    [...theirs].flatMap(([place, value]) => (ours.has(place) ? [[value, ours.get(place) as string]] : [])),
  );
}

/**
 * One feature point for each place, which is a spatial size and a side. The deepest point, the last of the smallest
 * ones, and all that it is made of are the encoder; all others are the decoder. Of several at a place the last in graph
 * order stands for it: it has the most layers behind it. So the bottom of a shallow network matches the encoder block of
 * its size in a deeper one, whose own deeper blocks match nothing.
 */
function pointsByPlace(graph: Graph): Map<string, string> {
  const points = featurePoints(graph).flatMap((value) => {
    const size = staticShape(graph.type(value).shape)?.slice(2);
    return size ? [{ value, size }] : [];
  });
  const areas = points.map(({ size }) => elementCount(size));
  const deepest = points[areas.lastIndexOf(Math.min(...areas))];
  return new Map(
    points.map(({ value, size }) => [
      `${dependsOn(graph, deepest.value, value) ? 'encoder' : 'decoder'} ${size}`,
      value,
    ]),
  );
}

/**
 * What a value is made of: `features` where a hidden layer's result is in it, else heads' `results`, a `summary` of all
 * positions (the pooled branch of a pyramid, squeeze-and-excitation), or nothing but the `image`.
 */
type Origin = 'features' | 'results' | 'summary' | 'image';

/** What stands behind a value. */
interface Trace {
  /** One bit for each change of resolution. */
  readonly changes: bigint;
  readonly origin: Origin;
}

function traceValues(graph: Graph, heads: ReadonlySet<Node>): ReadonlyMap<string, Trace> {
  const traces = new Map<string, Trace>(graph.inputs.map((input) => [input, { changes: 0n, origin: 'image' }]));
  let bit = 1n;
  for (const node of graph.nodes) {
    if (readsSizeOnly(node)) continue;
    const read = dataOf(node).flatMap((value) => traces.get(value) ?? []);
    if (read.length === 0) continue;
    let changes = read.reduce((mask, trace) => mask | trace.changes, 0n);
    if (changesResolution(graph, node)) {
      changes |= bit;
      bit <<= 1n;
    }
    const trace = { changes, origin: originOf(node, heads, read) };
    for (const output of node.outputs) traces.set(output, trace);
  }
  return traces;
}

function originOf(node: Node, heads: ReadonlySet<Node>, read: readonly Trace[]): Origin {
  if (heads.has(node)) return 'results';
  if (poolsGlobally(node)) return 'summary';
  const origins = read.map(({ origin }) => origin);
  if (origins.includes('features') || (isLayer(node) && origins.some((origin) => origin !== 'summary')))
    return 'features';
  return origins.find((origin) => origin !== 'image') ?? 'image';
}

function poolsGlobally({ op }: Node): boolean {
  return op === 'GlobalAveragePool' || op === 'GlobalMaxPool' || op === 'GlobalLpPool' || op === 'ReduceMean';
}

/** Whether a node makes an image of another resolution; a border that an unpadded convolution cuts off is no change. */
function changesResolution(graph: Graph, { op, inputs, outputs, attributes }: Node): boolean {
  switch (op) {
    case 'Conv':
    case 'ConvTranspose':
    case 'MaxPool':
    case 'AveragePool':
    case 'LpPool':
      return isStrided(attributes.strides as readonly number[] | undefined);
    case 'Resize':
      return graph.type(inputs[0]).shape?.slice(2).join() !== graph.type(outputs[0]).shape?.slice(2).join();
    case 'DepthToSpace':
    case 'SpaceToDepth':
      return attributes.blocksize !== 1;
    default:
      return false;
  }
}

function isStrided(strides: readonly number[] = []): boolean {
  return strides.some((stride) => stride > 1);
}

/** What a layer reads; of a layer that was factorized into depthwise and pointwise, what the first factor reads. */
function wholeLayerInput(graph: Graph, node: Node): string {
  const [value] = node.inputs;
  const first = graph.producer(value);
  if (!first || !isConvolution(first) || !isConvolution(node) || !graph.hasOneReader(value)) return value;
  const arePair =
    (isPointwise(graph, first) && isDepthwise(graph, node)) || (isDepthwise(graph, first) && isPointwise(graph, node));
  return arePair && !isStrided(first.attributes.strides as readonly number[] | undefined) ? first.inputs[0] : value;
}

function isPointwise(graph: Graph, { inputs, attributes }: Node): boolean {
  const { group = 1 } = attributes;
  return (
    group === 1 &&
    (graph
      .type(inputs[1])
      .shape?.slice(2)
      .every((extent) => extent === 1) ??
      false)
  );
}

function isDepthwise(graph: Graph, { inputs, attributes }: Node): boolean {
  const { group = 1 } = attributes;
  return Number(group) > 1 && group === graph.type(inputs[0]).shape?.[1];
}

/** Goes back over nodes that only move or pad an image, and over a scale and shift that stand behind an activation. */
function endOfBlock(graph: Graph, read: string): string {
  const end = goBack(graph, read, (node) => isMove(node));
  const unscaled = goBack(graph, end, (node) => isMove(node) || isChannelAffine(graph, node));
  const maker = graph.producer(unscaled);
  return maker && isActivation(graph, maker) ? unscaled : end;
}

function goBack(graph: Graph, value: string, isPassed: (node: Node) => boolean): string {
  for (let node = graph.producer(value); node && isPassed(node); node = graph.producer(value))
    value = node.inputs.find((input) => !graph.constants.has(input)) ?? node.inputs[0];
  return value;
}

function isMove({ op, attributes }: Node): boolean {
  if (op === 'MaxPool' || op === 'AveragePool') return !isStrided(attributes.strides as readonly number[] | undefined);
  return op === 'Identity' || op === 'Dropout' || op === 'Cast' || op === 'Pad';
}

function isChannelAffine(graph: Graph, { op, inputs }: Node): boolean {
  if (op === 'BatchNormalization') return true;
  return ['Add', 'Sub', 'Mul', 'Div'].includes(op) && inputs.some((input) => graph.constants.has(input));
}

function dependsOn(graph: Graph, value: string, on: string): boolean {
  const values = new Set([value]);
  // Values that are added on the way are walked over too.
  for (const current of values) {
    if (current === on) return true;
    const maker = graph.producer(current);
    if (maker) for (const input of dataOf(maker)) values.add(input);
  }
  return false;
}
