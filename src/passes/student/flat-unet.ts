import type { GraphBuilder } from '../../ir/builder.js';
import { elementCount, Tensor } from '../../ir/tensor.js';

/** The U-Nets of Vaze, Xie and Namburete 2020: as wide at the bottom as at the top. */
export interface FlatUnetShape {
  /** Times that the resolution is halved. */
  readonly levels: number;
  /** Channels of every convolution. */
  readonly width: number;
  /** Whether convolutions are depthwise and pointwise factors, with nothing between them. */
  readonly isSeparable: boolean;
}

const KERNEL = 3;

/**
 * Adds a flat U-Net to the builder; returns its last map, at the image's resolution. A block is twice convolution and
 * ReLU, then one BatchNormalization. Max pooling leads down, repeating every pixel up, without a convolution of its own;
 * skips are concatenated. The image's spatial sizes must be multiples of 2^levels.
 *
 * Weights are zeros and scales ones, to be drawn.
 */
export function addFlatUnet(builder: GraphBuilder, image: string, shape: FlatUnetShape): string {
  const spatialRank = (builder.type(image).shape?.length ?? 0) - 2;
  const blocks = new FlatBlocks(builder, shape, spatialRank);
  const skips: string[] = [];
  let x = image;
  for (let level = 1; level <= shape.levels; level++) {
    const skip = blocks.block(x, `encoder${level}`);
    skips.push(skip);
    x = blocks.halve(skip, `encoder${level}`);
  }
  x = blocks.block(x, 'bottom');
  for (let level = shape.levels; level >= 1; level--) {
    const joined = [skips[level - 1], blocks.double(x, `decoder${level}`)];
    x = blocks.block(builder.apply('Concat', joined, { axis: 1 }, `decoder${level}/concat`), `decoder${level}`);
  }
  return x;
}

/** Adds a 1x1 convolution with bias that makes the output called `output`. */
export function addHead(builder: GraphBuilder, features: string, output: string, channels: number): void {
  const shape = builder.type(features).shape ?? [];
  const weight = zeros(builder, `${output}/weight`, [channels, Number(shape[1]), ...shape.slice(2).map(() => 1)]);
  const bias = zeros(builder, `${output}/bias`, [channels]);
  const name = builder.fresh(`${output}/conv`);
  builder.add({ op: 'Conv', name, inputs: [features, weight, bias], outputs: [output], attributes: {} });
}

class FlatBlocks {
  /** Factors by which a map grows along each axis. */
  private readonly scales: string;

  constructor(
    private readonly builder: GraphBuilder,
    private readonly shape: FlatUnetShape,
    private readonly spatialRank: number,
  ) {
    this.scales = builder.constant(builder.fresh('twice'), Tensor.floats([1, 1, ...this.perAxis(2)]));
  }

  block(x: string, name: string): string {
    const { builder } = this;
    for (const conv of [`${name}/conv1`, `${name}/conv2`])
      x = builder.apply('Relu', [this.convolution(x, conv)], {}, `${conv}/relu`);
    const parameter = (role: string, value: number) =>
      filled(builder, `${name}/norm/${role}`, [this.shape.width], value);
    const parameters = [parameter('scale', 1), parameter('bias', 0), parameter('mean', 0), parameter('variance', 1)];
    return builder.apply('BatchNormalization', [x, ...parameters], {}, `${name}/norm`);
  }

  halve(x: string, name: string): string {
    const twice = this.perAxis(2);
    return this.builder.apply('MaxPool', [x], { kernel_shape: twice, strides: twice }, `${name}/pool`);
  }

  double(x: string, name: string): string {
    const { builder } = this;
    const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
    return builder.apply('Resize', [x, '', this.scales], attributes, `${name}/up`);
  }

  private convolution(x: string, name: string): string {
    const { builder, shape } = this;
    const channels = Number(builder.type(x).shape?.[1]);
    const kernel = this.perAxis(KERNEL);
    const pads = [...this.perAxis(1), ...this.perAxis(1)];
    const bias = zeros(builder, `${name}/bias`, [shape.width]);
    if (!shape.isSeparable) {
      const weight = zeros(builder, `${name}/weight`, [shape.width, channels, ...kernel]);
      return builder.apply('Conv', [x, weight, bias], { pads }, name);
    }
    const depthwise = zeros(builder, `${name}/depthwise/weight`, [channels, 1, ...kernel]);
    const filtered = builder.apply('Conv', [x, depthwise], { pads, group: channels }, `${name}/depthwise`);
    const pointwise = zeros(builder, `${name}/pointwise/weight`, [shape.width, channels, ...this.perAxis(1)]);
    return builder.apply('Conv', [filtered, pointwise, bias], {}, `${name}/pointwise`);
  }

  private perAxis(value: number): number[] {
    return Array<number>(this.spatialRank).fill(value);
  }
}

function zeros(builder: GraphBuilder, name: string, shape: readonly number[]): string {
  return filled(builder, name, shape, 0);
}

function filled(builder: GraphBuilder, name: string, shape: readonly number[], value: number): string {
  return builder.constant(builder.fresh(name), Tensor.floats(new Float32Array(elementCount(shape)).fill(value), shape));
}
