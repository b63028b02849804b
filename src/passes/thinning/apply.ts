import { tieCall } from '../../analysis/channels.js';
import { traceElement } from '../../analysis/shape-source.js';
import { GraphBuilder } from '../../ir/builder.js';
import { bytesInMemory } from '../../ir/bytes.js';
import type { Graph, Node } from '../../ir/graph.js';
import { copyNode } from '../../ir/rewrite.js';
import type { Semantics } from '../../ir/semantics.js';
import { Tensor } from '../../ir/tensor.js';
import { resolveAttributes } from '../../ops/attributes.js';
import { operators } from '../../ops/index.js';
import type { AxisRef, Narrowing } from '../../ops/op.js';

/** The coordinates of thinned axes that stay, ascending; axes that are not in the map stay whole. */
export class KeptCoordinates {
  readonly #kept = new Map<string, { axis: AxisRef; coordinates: readonly number[] }>();

  set(axis: AxisRef, coordinates: readonly number[]): void {
    this.#kept.set(`${axis.axis} ${axis.value}`, { axis, coordinates });
  }

  of(axis: AxisRef): readonly number[] | null {
    return this.#kept.get(`${axis.axis} ${axis.value}`)?.coordinates ?? null;
  }

  entries(): Iterable<{ axis: AxisRef; coordinates: readonly number[] }> {
    return this.#kept.values();
  }
}

/** New tensors for single operands of nodes, by operand number; what is not listed is read as before. */
type OwnConstants = Map<Node, Map<number, Tensor>>;

/**
 * The graph without the dropped coordinates: constants are narrowed views, and each operator says what else must
 * change in its node. Shapes are inferred anew, so an inconsistent choice cannot pass unseen.
 */
export function applyThinning(graph: Graph, kept: KeptCoordinates, semantics: Semantics): Graph {
  const narrowings = new Map(graph.nodes.map((node) => [node, narrowingOf(graph, node, kept)]));
  const own = ownConstants(graph, narrowings);
  const builder = new GraphBuilder(semantics, graph);
  builder.reserve(graph.types.keys());
  for (const input of graph.inputs) builder.input(input, graph.type(input));
  for (const [name, tensor] of narrowConstants(graph, kept, own)) builder.constant(name, tensor);
  for (const node of graph.nodes) addNarrowed(graph, node, narrowings.get(node) ?? {}, own.get(node), builder);
  return builder.build(graph.outputs);
}

function narrowConstants(graph: Graph, kept: KeptCoordinates, own: OwnConstants): Map<string, Tensor> {
  const constants = new Map(graph.constants);
  for (const { axis, coordinates } of kept.entries()) {
    const tensor = constants.get(axis.value);
    if (tensor) constants.set(axis.value, tensor.take(axis.axis, coordinates));
  }
  for (const [node, operands] of own)
    for (const [index, tensor] of operands)
      if (keepsName(graph, node, index)) constants.set(node.inputs[index], tensor);
  return constants;
}

function narrowingOf(graph: Graph, node: Node, kept: KeptCoordinates): Narrowing | undefined {
  const definition = operators.get(node.op);
  const call = tieCall(graph, node, () => false);
  return definition?.narrow?.(
    { inputs: call.inputs, outputs: call.outputs, kept: (axis) => kept.of(axis) },
    resolveAttributes(definition.attributes, node.attributes),
  );
}

/**
 * The constants that hold channel counts and indices, rewritten. Each goes to the one node that reads it on the way to
 * the operand, as other readers of the same constant may mean another number by it.
 */
function ownConstants(graph: Graph, narrowings: ReadonlyMap<Node, Narrowing | undefined>): OwnConstants {
  const own: OwnConstants = new Map();
  const operandsOf = (node: Node) => {
    const operands = own.get(node) ?? new Map<number, Tensor>();
    own.set(node, operands);
    return operands;
  };
  for (const [node, narrowing] of narrowings) {
    for (const [input, tensor] of narrowing?.constants ?? []) operandsOf(node).set(input, tensor);
    for (const { input, position, value } of narrowing?.elements ?? []) {
      const found = traceElement(graph, { node, index: input }, position);
      // A number that is the size of an axis follows by itself.
      if (found?.kind !== 'constant') continue;
      const operands = operandsOf(found.reader.node);
      const tensor = operands.get(found.reader.index) ?? (graph.constants.get(found.constant) as Tensor);
      operands.set(found.reader.index, withElement(tensor, found.position, value));
    }
  }
  return own;
}

/** Whether a new tensor can take the place of the old one, which nobody else reads. */
function keepsName(graph: Graph, node: Node, index: number): boolean {
  const name = node.inputs[index];
  return graph.constants.has(name) && graph.hasOneReader(name);
}

function addNarrowed(
  graph: Graph,
  node: Node,
  { attributes, removeAttributes = [] }: Narrowing,
  own: ReadonlyMap<number, Tensor> | undefined,
  builder: GraphBuilder,
): void {
  const renamed = [...(own ?? [])].filter(([index]) => !keepsName(graph, node, index));
  if (!attributes && removeAttributes.length === 0 && renamed.length === 0) {
    copyNode(graph, node, builder);
    return;
  }
  const inputs = [...node.inputs];
  for (const [index, tensor] of renamed) {
    while (inputs.length <= index) inputs.push('');
    inputs[index] = builder.constant(builder.fresh(inputs[index] || `${node.outputs[0]}/${index}`), tensor);
  }
  const kept = Object.entries({ ...node.attributes, ...attributes }).filter(
    ([name]) => !removeAttributes.includes(name),
  );
  const { op, name, outputs } = node;
  builder.add({ op, name, inputs, outputs, attributes: Object.fromEntries(kept) });
}

/** Only that element's bytes change: int64 bounds such as 2⁶³ − 1 have no exact double. */
function withElement(tensor: Tensor, position: number, value: number): Tensor {
  const bytes = tensor.toBytes().slice();
  const element = Tensor.encode(tensor.dtype, [1], [value]).toBytes();
  bytes.set(element, position * element.length);
  return Tensor.over(tensor.dtype, tensor.shape, bytesInMemory(bytes));
}
