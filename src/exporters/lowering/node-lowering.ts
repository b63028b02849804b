import { cannotExport } from '../../errors.js';
import type { Graph, Node } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { DataType } from '../../ir/types.js';
import { type Resolved, resolveAttributes } from '../../ops/attributes.js';
import { operators } from '../../ops/index.js';
import { normalizeAxis } from '../../ops/op.js';
import { arranged, type Layout, movesBytes, orderOf, placeOf } from '../layout.js';
import type { AttributesOf, BinaryFunction, OperationKind, ProgramType, UnaryFunction } from './operations.js';
import { type ProgramBuilder, programConstant } from './program-builder.js';
import type { Target } from './target.js';

/** What all nodes of a graph share while it is lowered. */
export interface LoweringScope {
  readonly graph: Graph;
  readonly target: Target;
  readonly program: ProgramBuilder;
  /** The program's value that holds a value of the graph, in the layout; transposes it where it lies otherwise. */
  held(value: string, layout: Layout): string;
  /** The constant that a value of the graph is, or has become, in the graph's order of axes. */
  constant(value: string): Tensor | undefined;
  /** Says which value of the program holds a value of the graph, and in which layout. */
  hold(value: string, held: string, layout: Layout): void;
}

/** One node on its way into a program: reads the graph's side, adds operations on the program's. */
export class NodeLowering {
  readonly attributes: Resolved<Record<string, never>> & Readonly<Record<string, unknown>>;

  constructor(
    readonly node: Node,
    /** In which layout the operands are read. */
    readonly layout: Layout,
    /** In which layout the results are given. */
    readonly outputLayout: Layout,
    private readonly scope: LoweringScope,
  ) {
    this.attributes = resolveAttributes(operators.get(node.op)?.attributes ?? {}, node.attributes) as never;
  }

  get target(): Target {
    return this.scope.target;
  }

  // --- the graph's side ---------------------------------------------------------------------------------------------

  has(input: number): boolean {
    return (this.node.inputs[input] ?? '') !== '' && this.scope.graph.type(this.node.inputs[input]).shape?.[0] !== 0;
  }

  /** Whether anything reads a result. */
  isRead(output: number): boolean {
    const name = this.node.outputs[output] ?? '';
    return name !== '' && (this.scope.graph.readers(name).length > 0 || this.scope.graph.outputs.includes(name));
  }

  /** Shape of an operand in the graph's order. */
  shape(input = 0): readonly number[] {
    return this.scope.graph.type(this.node.inputs[input]).shape as readonly number[];
  }

  /** Shape of a result in the graph's order. */
  outputShape(output = 0): readonly number[] {
    return this.scope.graph.type(this.node.outputs[output]).shape as readonly number[];
  }

  dataType(input = 0): DataType {
    return this.scope.graph.type(this.node.inputs[input]).dtype ?? 'f32';
  }

  outputType(output = 0): ProgramType {
    return programType(this.scope.graph.type(this.node.outputs[output]).dtype ?? 'f32');
  }

  number(attribute: string): number {
    return this.attributes[attribute] as number;
  }

  text(attribute: string): string {
    return this.attributes[attribute] as string;
  }

  /** A list of whole numbers; undefined where it is neither given nor has a default. */
  list(attribute: string): readonly number[] | undefined {
    return this.attributes[attribute] as readonly number[] | undefined;
  }

  /** The constant that an operand is, in the graph's order; undefined where it is absent or computed. */
  constant(input: number): Tensor | undefined {
    return this.scope.constant(this.node.inputs[input] ?? '');
  }

  /** A constant operand; a computed one is refused. */
  requireConstant(input: number): Tensor {
    return (
      this.constant(input) ??
      this.fail(`'${this.node.inputs[input]}' is computed, and must be a constant there; simplify the model first`)
    );
  }

  /** The numbers of a constant operand; a computed one is refused, an absent one is undefined. */
  numbers(input: number): number[] | undefined {
    return this.has(input) ? Array.from(this.requireConstant(input).toNumbers() as ArrayLike<number>) : undefined;
  }

  // --- axes ---------------------------------------------------------------------------------------------------------

  get rank(): number {
    return Math.max(0, ...this.node.inputs.map((input) => this.scope.graph.type(input).shape?.length ?? 0));
  }

  /** Where an axis of the graph lies in the node's layout. */
  axis(axis: number, rank = this.rank): number {
    return placeOf(normalizeAxis(axis, rank), rank, this.layout);
  }

  axes(axes: readonly number[], rank = this.rank): number[] {
    return axes.map((axis) => this.axis(axis, rank)).sort((a, b) => a - b);
  }

  /** A list with one entry an axis, in the order of the node's layout. */
  arranged<T>(list: readonly T[]): T[] {
    return arranged(list, this.layout);
  }

  // --- the program's side -------------------------------------------------------------------------------------------

  /** The value of an operand in the node's layout. */
  input(index = 0, layout = this.layout): string {
    return this.scope.held(this.node.inputs[index], layout);
  }

  /** An operand brought to `rank` axes (new ones in front, as broadcasting does) and to the node's layout. */
  broadcastable(index: number, rank: number): string {
    const shape = this.shape(index);
    if (shape.length === rank || shape.length === 0) return this.input(index);
    const wide = [...Array<number>(rank - shape.length).fill(1), ...shape];
    const tensor = this.constant(index);
    if (tensor) return this.addConstant(`operand_${index}`, tensor.reshape(wide).permute(orderOf(rank, this.layout)));
    return this.moved(this.reshape(this.input(index, 'as-is'), wide), this.layout);
  }

  /** A value in the graph's order in the layout. */
  moved(value: string, layout: Layout): string {
    const shape = this.shapeOf(value);
    if (layout === 'as-is' || shape.length < 3) return value;
    if (!movesBytes(shape)) return this.reshape(value, arranged(shape, layout));
    return this.transpose(value, orderOf(shape.length, layout));
  }

  shapeOf(value: string): readonly number[] {
    return this.scope.program.value(value).shape;
  }

  typeOf(value: string): ProgramType {
    return this.scope.program.value(value).dtype;
  }

  /** The elements of a value of the program that is a constant. */
  tensorOf(value: string): Tensor | undefined {
    return this.scope.program.value(value).tensor;
  }

  addConstant(suffix: string, tensor: Tensor): string {
    return this.scope.program.constant(`${this.name}_${suffix}`, tensor);
  }

  /** A single number, of the type of `like`. */
  scalar(number: number, like?: string): string {
    const dtype = like === undefined ? 'f32' : this.typeOf(like);
    return this.addConstant('number', Tensor.encode(dtype, [], [number]));
  }

  integers(suffix: string, values: readonly number[]): string {
    return this.addConstant(suffix, Tensor.encode('i32', [values.length], values));
  }

  apply<K extends OperationKind>(
    kind: K,
    inputs: readonly string[],
    attributes: AttributesOf<K>,
    shape: readonly number[],
    dtype?: ProgramType,
  ): string {
    const { name, op } = this.node;
    if (this.target.missing.has(kind)) this.fail(MISSING[kind] ?? `operation '${kind}' does not exist there`);
    this.requireFewAxes(kind, [shape, ...inputs.map((input) => this.shapeOf(input))]);
    return this.scope.program.apply(kind, inputs, attributes, { name: this.name, shape, dtype }, { name, op });
  }

  /** Beyond the target's limit runtimes fail, or give wrong numbers; only where nothing is computed axes do not count. */
  private requireFewAxes(kind: OperationKind, shapes: readonly (readonly number[])[]): void {
    const most = kind === 'reshape' ? Number.POSITIVE_INFINITY : this.target.mostAxes;
    const large = shapes.find(({ length }) => length > most);
    if (large) this.fail(`it works on a value of ${large.length} axes, and ${most} are possible there`);
  }

  unary(name: UnaryFunction, x: string, extra: { alpha?: number; approximate?: boolean } = {}): string {
    if (this.typeOf(x) !== 'f32' && !EXACT.has(name)) this.fail(`'${name}' is possible of floating-point numbers only`);
    return this.apply('unary', [x], { function: name, ...extra }, this.shapeOf(x));
  }

  binary(name: BinaryFunction, a: string, b: string): string {
    const isTest = ['less', 'lessEqual', 'greater', 'greaterEqual', 'equal', 'notEqual'].includes(name);
    const shape = broadcast(this.shapeOf(a), this.shapeOf(b));
    return this.apply('binary', [a, b], { function: name }, shape, isTest ? 'bool' : this.typeOf(a));
  }

  reshape(x: string, shape: readonly number[]): string {
    if (this.shapeOf(x).join() === shape.join()) return x;
    const tensor = this.tensorOf(x);
    return tensor ? this.addConstant('reshaped', tensor.reshape(shape)) : this.apply('reshape', [x], {}, shape);
  }

  /** Axis i of the result is axis `order[i]`; axes that stay together are one where there are too many. */
  transpose(x: string, order: readonly number[]): string {
    if (order.every((axis, i) => axis === i)) return x;
    const [tensor, shape] = [this.tensorOf(x), this.shapeOf(x)];
    if (tensor) return this.addConstant('transposed', tensor.permute(order));
    const made = order.map((axis) => shape[axis]);
    if (order.length <= this.target.mostAxes) return this.apply('transpose', [x], { order }, made);
    const runs = runsOf(order);
    const merged = runs.toSorted(([a], [b]) => a - b);
    const sizes = merged.map((run) => run.reduce((size, axis) => size * shape[axis], 1));
    const places = runs.map((run) => merged.indexOf(run));
    const moved = this.apply(
      'transpose',
      [this.reshape(x, sizes)],
      { order: places },
      places.map((place) => sizes[place]),
    );
    return this.reshape(moved, made);
  }

  slice(x: string, begin: readonly number[], size: readonly number[]): string {
    if (size.join() === this.shapeOf(x).join()) return x;
    return this.apply('slice', [x], { begin, size }, size);
  }

  pad(x: string, before: readonly number[], after: readonly number[], value: number): string {
    if (![...before, ...after].some((count) => count !== 0)) return x;
    const shape = this.shapeOf(x).map((size, axis) => size + before[axis] + after[axis]);
    return this.apply('pad', [x], { before, after, value }, shape);
  }

  /** As `pad`; negative counts cut. */
  padOrCrop(x: string, before: readonly number[], after: readonly number[], value: number): string {
    const cut = (counts: readonly number[]) => counts.map((count) => Math.max(0, -count));
    const [cutBefore, cutAfter] = [cut(before), cut(after)];
    const size = this.shapeOf(x).map((extent, axis) => extent - cutBefore[axis] - cutAfter[axis]);
    const added = (counts: readonly number[]) => counts.map((count) => Math.max(0, count));
    return this.pad(this.slice(x, cutBefore, size), added(before), added(after), value);
  }

  concat(parts: readonly string[], axis: number): string {
    if (parts.length === 1) return parts[0];
    const shape = this.shapeOf(parts[0]).map((size, i) =>
      i === axis ? parts.reduce((sum, part) => sum + this.shapeOf(part)[axis], 0) : size,
    );
    return this.apply('concat', parts, { axis }, shape);
  }

  gather(x: string, indices: readonly number[], axis: number): string {
    const shape = this.shapeOf(x).map((size, i) => (i === axis ? indices.length : size));
    return this.apply('gather', [x, this.integers('indices', indices)], { axis }, shape);
  }

  reduce(name: AttributesOf<'reduce'>['function'], x: string, axes: readonly number[], keepDims = true): string {
    const shape = this.shapeOf(x);
    const kept = keepDims
      ? shape.map((size, i) => (axes.includes(i) ? 1 : size))
      : shape.filter((_, i) => !axes.includes(i));
    return this.apply('reduce', [x], { function: name, axes, keepDims }, kept);
  }

  cast(x: string, dtype: ProgramType): string {
    return this.typeOf(x) === dtype ? x : this.apply('cast', [x], {}, this.shapeOf(x), dtype);
  }

  /** Says that this value is the node's result, in the node's layout for results. */
  give(value: string, output = 0): void {
    this.scope.hold(this.node.outputs[output], value, this.outputLayout);
  }

  /** A constant result: no operation, and in the graph's order. */
  giveConstant(tensor: Tensor, output = 0): void {
    const { program } = this.scope;
    this.scope.hold(
      this.node.outputs[output],
      program.define(program.fresh(this.name), programConstant(tensor)),
      'as-is',
    );
  }

  fail(reason: string): never {
    throw cannotExport(this.node.op, this.node.name, this.target.title, reason);
  }

  private get name(): string {
    return this.node.outputs.find((output) => output !== '') ?? this.node.name;
  }
}

/** Functions that there are for whole numbers and truth values as well. */
const EXACT: ReadonlySet<UnaryFunction> = new Set(['neg', 'abs', 'sign', 'not']);

/** What to do without a kind of operation that a format lacks. */
const MISSING: Readonly<Partial<Record<OperationKind, string>>> = {
  transposeConv3d: 'there are no transposed convolutions in 3-D; write TFLite or ONNX, or upsample by Resize and Conv',
};

/** The type that values of a graph's type have in programs. */
export function programType(dtype: DataType): ProgramType {
  switch (dtype) {
    case 'f16':
    case 'bf16':
    case 'f64':
      return 'f32';
    case 'f32':
    case 'u8':
    case 'i8':
    case 'bool':
      return dtype;
    default:
      return 'i32';
  }
}

/** The numbers in pieces within which each is one more than that before it. */
function runsOf(order: readonly number[]): number[][] {
  const runs: number[][] = [];
  for (const [i, axis] of order.entries())
    if (i > 0 && axis === order[i - 1] + 1) runs[runs.length - 1].push(axis);
    else runs.push([axis]);
  return runs;
}

/** The shape of two operands that broadcast. */
function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const at = (shape: readonly number[], axis: number) => shape[axis - rank + shape.length] ?? 1;
  return Array.from({ length: rank }, (_, axis) => (at(a, axis) === 1 ? at(b, axis) : at(a, axis)));
}
