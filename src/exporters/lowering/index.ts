import { cannotExport, openExportShape } from '../../errors.js';
import { type Graph, type Node, OPAQUE } from '../../ir/graph.js';
import { rewrite } from '../../ir/rewrite.js';
import { Tensor } from '../../ir/tensor.js';
import { semantics } from '../../ops/index.js';
import { type InterfaceLayout, movedInterface } from '../interface-layout.js';
import { AS_IS, type Layout, type LayoutPlan, movesBytes, orderOf, planLayout } from '../layout.js';
import { fuseActivations } from './fuse-activations.js';
import { type LoweringScope, NodeLowering, programType } from './node-lowering.js';
import type { Program, ProgramInterface } from './operations.js';
import { ProgramBuilder } from './program-builder.js';
import type { LoweringRule } from './rule.js';
import { RULES } from './rules.js';
import type { Target } from './target.js';

export interface LoweringOptions {
  /** Where the channels of inputs and outputs stand in the artefact; `nhwc` unless given. */
  readonly layout?: InterfaceLayout;
}

/**
 * Lowers a graph to the operations that TFLite and TensorFlow.js share. Shapes must be numbers; arithmetic on shapes
 * becomes constants.
 *
 * @throws CompressError that names the node or input that cannot be said there, and why
 */
export function lower(graph: Graph, target: Target, { layout = 'nhwc' }: LoweringOptions = {}): Program {
  requireStatic(graph, target);
  const folded = foldKnown(graph);
  const rules = new Map(folded.nodes.map((node) => [node, ruleFor(node, target)]));
  const moved = new Set(movedInterface(folded, layout));
  const interfaceLayout = (value: string): Layout => (moved.has(value) ? 'last' : 'as-is');
  const plan = planLayout({
    graph: folded,
    rule: (node) => layoutRule(rules.get(node), node, folded),
    interfaceLayout,
  });
  return new GraphLowering(folded, target, plan, interfaceLayout).run(rules);
}

function layoutRule(rule: LoweringRule | undefined, node: Node, graph: Graph) {
  if (!rule) return AS_IS;
  return typeof rule.layout === 'function' ? rule.layout(node, graph) : rule.layout;
}

function ruleFor(node: Node, target: Target): LoweringRule {
  if (node.op === OPAQUE)
    throw cannotExport(
      node.foreign?.op ?? node.origin?.op ?? node.op,
      node.name,
      target.title,
      'it has no counterpart there, so replace it in the model',
    );
  const rule = RULES[node.op] ?? { refused: 'it has no counterpart there' };
  if ('refused' in rule) throw cannotExport(node.op, node.name, target.title, rule.refused);
  return rule;
}

function requireStatic(graph: Graph, target: Target): void {
  for (const input of graph.inputs) {
    const { shape } = graph.type(input);
    if (!shape?.every((dim) => typeof dim === 'number')) throw openExportShape(input, shape, target.title);
  }
  for (const node of graph.nodes)
    for (const output of node.outputs) {
      const { shape } = graph.type(output);
      if (output !== '' && node.op !== OPAQUE && !shape?.every((dim) => typeof dim === 'number'))
        throw cannotExport(
          node.op,
          node.name,
          target.title,
          `the shape of its output '${output}' depends on values that are known only when the model runs`,
        );
    }
}

/** The same graph with everything that follows from shapes alone as constants. */
function foldKnown(graph: Graph): Graph {
  return rewrite(graph, semantics, (node, builder) => {
    const known = node.outputs.map((output) => graph.known.get(output));
    if (!known.every((value) => value?.elements.every((element) => typeof element === 'number'))) return false;
    for (const [i, output] of node.outputs.entries()) {
      const { dtype } = graph.type(output);
      const value = known[i];
      if (value && dtype) builder.constant(output, Tensor.encode(dtype, value.shape, value.elements as number[]));
    }
    return true;
  });
}

class GraphLowering {
  private readonly program = new ProgramBuilder();
  /** The program's values that hold a value of the graph, by layout. */
  private readonly held = new Map<string, Map<Layout, string>>();
  private readonly scope: LoweringScope;

  constructor(
    private readonly graph: Graph,
    private readonly target: Target,
    private readonly plan: LayoutPlan,
    private readonly interfaceLayout: (value: string) => Layout,
  ) {
    this.scope = {
      graph,
      target,
      program: this.program,
      held: (value, layout) => this.valueIn(value, layout),
      constant: (value) => this.constantOf(value),
      hold: (value, held, layout) => this.places(value).set(layout, held),
    };
  }

  run(rules: ReadonlyMap<Node, LoweringRule>): Program {
    const { graph, program } = this;
    const inputs = graph.inputs.map((name) => this.addInput(name));
    for (const node of graph.nodes) {
      const outputLayout = this.plan.of(node.outputs.find((output) => output !== '') ?? '');
      const lowering = new NodeLowering(node, this.plan.inputs(node), outputLayout, this.scope);
      rules.get(node)?.lower(lowering);
    }
    const outputs = graph.outputs.map((name) => this.addOutput(name));
    return fuseActivations(
      {
        name: graph.name,
        inputs,
        outputs,
        operations: program.operations,
        values: program.values,
        metadata: graph.metadata,
      },
      this.target,
    );
  }

  private addInput(name: string): ProgramInterface {
    const { dtype, shape } = this.graph.type(name);
    const layout = this.interfaceLayout(name);
    const order = orderOf(shape?.length ?? 0, layout);
    const value = this.program.define(name, {
      dtype: programType(dtype ?? 'f32'),
      shape: order.map((axis) => Number(shape?.[axis])),
    });
    this.places(name).set(layout, value);
    return { name, value, channelsMoved: layout === 'last' };
  }

  /** Every output has a value of its own, made by an operation. */
  private addOutput(name: string): ProgramInterface {
    const layout = this.interfaceLayout(name);
    const held = this.valueIn(name, layout);
    const isMade = this.program.operations.some(({ output }) => output === held);
    const isTaken = this.graph.outputs
      .slice(0, this.graph.outputs.indexOf(name))
      .some((other) => this.valueIn(other, this.interfaceLayout(other)) === held);
    const value = isMade && !isTaken ? held : this.copy(name, held);
    return { name, value, channelsMoved: layout === 'last' };
  }

  /** A constant is added to nothing: reshaping one is no operation that LiteRT carries out. */
  private copy(name: string, held: string): string {
    const { shape, dtype, tensor } = this.program.value(held);
    const node = { name, op: 'Identity' };
    if (!tensor || dtype === 'bool') return this.program.apply('reshape', [held], {}, { name, shape, dtype }, node);
    const nothing = this.program.constant(`${name}_nothing`, Tensor.encode(dtype, [], [0]));
    return this.program.apply('binary', [held, nothing], { function: 'add' }, { name, shape, dtype }, node);
  }

  private places(value: string): Map<Layout, string> {
    const places = this.held.get(value) ?? new Map<Layout, string>();
    this.held.set(value, places);
    return places;
  }

  /** Rules give constants in the graph's order. */
  private constantOf(value: string): Tensor | undefined {
    const held = this.held.get(value)?.get('as-is');
    return this.graph.constants.get(value) ?? (held === undefined ? undefined : this.program.value(held).tensor);
  }

  private valueIn(value: string, wanted: Layout): string {
    const places = this.places(value);
    const rank = this.graph.type(value).shape?.length ?? 0;
    const layout = rank > 2 ? wanted : 'as-is';
    const found = places.get(layout) ?? this.move(value, layout, rank);
    places.set(layout, found);
    return found;
  }

  /** Brings a value into a layout in which nothing has made it. */
  private move(value: string, layout: Layout, rank: number): string {
    const tensor = this.graph.constants.get(value);
    const order = orderOf(rank, layout);
    if (tensor) return this.program.constant(value, tensor.permute(order));
    const [[from, held]] = this.places(value);
    const made = this.program.value(held);
    if (made.tensor)
      return this.program.constant(value, made.tensor.permute(from === 'as-is' ? order : inverse(orderOf(rank, from))));
    const step = from === 'as-is' ? order : inverse(orderOf(rank, from));
    const shape = step.map((axis) => made.shape[axis]);
    const node = { name: value, op: 'Transpose' };
    const name = `${value}_${layout === 'last' ? 'channels_last' : 'channels_first'}`;
    return movesBytes(from === 'as-is' ? made.shape : shape)
      ? this.program.apply('transpose', [held], { order: step }, { name, shape }, node)
      : this.program.apply('reshape', [held], {}, { name, shape }, node);
  }
}

function inverse(order: readonly number[]): number[] {
  return order.map((_, axis) => order.indexOf(axis));
}
