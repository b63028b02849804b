import { tieCall } from '../../analysis/channels.js';
import { traceElement } from '../../analysis/shape-source.js';
import { GraphBuilder } from '../../ir/builder.js';
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

/**
 * The graph without the dropped coordinates: constants are narrowed views, and each operator says what else must
 * change in its node. Shapes are inferred anew, so an inconsistent choice cannot pass unseen.
 */
export function applyThinning(graph: Graph, kept: KeptCoordinates, semantics: Semantics): Graph {
  const narrowings = new Map(graph.nodes.map((node) => [node, narrowingOf(graph, node, kept)]));
  const constants = narrowConstants(graph, kept);
  rewriteElements(graph, narrowings, constants);
  const builder = new GraphBuilder(semantics, graph);
  builder.reserve(graph.types.keys());
  for (const input of graph.inputs) builder.input(input, graph.type(input));
  for (const [name, tensor] of constants) builder.constant(name, tensor);
  for (const node of graph.nodes) addNarrowed(graph, node, narrowings.get(node), builder);
  return builder.build(graph.outputs);
}

function narrowConstants(graph: Graph, kept: KeptCoordinates): Map<string, Tensor> {
  const constants = new Map(graph.constants);
  for (const { axis, coordinates } of kept.entries()) {
    const tensor = constants.get(axis.value);
    if (tensor) constants.set(axis.value, tensor.take(axis.axis, coordinates));
  }
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

/** Writes new channel counts into the constants that shape arithmetic computes them from. */
function rewriteElements(
  graph: Graph,
  narrowings: ReadonlyMap<Node, Narrowing | undefined>,
  constants: Map<string, Tensor>,
): void {
  for (const [node, narrowing] of narrowings)
    for (const { input, position, value } of narrowing?.elements ?? []) {
      const source = traceElement(graph, node.inputs[input], position);
      const tensor = source?.kind === 'constant' ? constants.get(source.constant) : undefined;
      // A constant that is the operand itself may have other readers; `addNarrowed` gives this node its own.
      if (source?.kind !== 'constant' || !tensor || source.constant === node.inputs[input]) continue;
      constants.set(source.constant, withElement(tensor, source.position, value));
    }
}

function addNarrowed(graph: Graph, node: Node, narrowing: Narrowing | undefined, builder: GraphBuilder): void {
  const operands = new Map(narrowing?.constants);
  for (const { input, position, value } of narrowing?.elements ?? []) {
    const tensor = operands.get(input) ?? graph.constants.get(node.inputs[input]);
    if (tensor) operands.set(input, withElement(tensor, position, value));
  }
  if (!narrowing?.attributes && !narrowing?.removeAttributes && operands.size === 0) {
    copyNode(graph, node, builder);
    return;
  }
  const inputs = [...node.inputs];
  for (const [index, tensor] of operands) {
    while (inputs.length <= index) inputs.push('');
    inputs[index] = builder.constant(builder.fresh(inputs[index] || `${node.outputs[0]}/${index}`), tensor);
  }
  const removed = new Set(narrowing?.removeAttributes);
  const attributes = { ...node.attributes, ...narrowing?.attributes };
  builder.add({
    op: node.op,
    name: node.name,
    inputs,
    outputs: node.outputs,
    attributes: Object.fromEntries(Object.entries(attributes).filter(([name]) => !removed.has(name))),
  });
}

function withElement(tensor: Tensor, position: number, value: number): Tensor {
  const numbers = tensor.toFloat64();
  numbers[position] = value;
  return Tensor.encode(tensor.dtype, tensor.shape, numbers);
}
