import { notAModel } from '../../errors.js';
import type { OnnxNodeOrigin, SourceNode } from '../../formats/onnx/origin.js';
import type { OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor } from '../../formats/onnx/structures.js';
import type { GraphBuilder } from '../../ir/builder.js';
import { type Attributes, type Node, OPAQUE } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import type { ValueType } from '../../ir/types.js';
import { operators } from '../../ops/index.js';
import { toAttributes } from './attributes.js';
import { type FlatNode, type FunctionInliner, hasSubgraph, readsOf } from './inline.js';
import { ruleFor } from './lift/index.js';
import { type FileNode, Lifting, type LiftScope, type NewNode } from './lift/lifting.js';
import { describeNode } from './order.js';
import { rawFields } from './raw-fields.js';
import type { TensorReader } from './tensors.js';

/** A node of the file's graph and its place there. */
export interface PlacedNode {
  readonly node: OnnxNode;
  readonly index: number;
}

/** What is known of the file beyond the node at hand. */
export interface FileFacts {
  /** Whether a node reads the value, or the graph gives it out. */
  isRead(value: string): boolean;
  /** The constant of that name in the file. */
  constant(value: string): Tensor | undefined;
  /** The type that the file states for a value; needed where it cannot be inferred. */
  statedType(value: string): ValueType;
}

/** A source node while nodes of the graph are made of it. */
interface Growing extends SourceNode {
  readonly became: Node[];
  readonly constants: Map<string, Tensor>;
}

/** Adds the nodes of a file to a graph, lifted where they have a meaning here and opaque where not. */
export class NodeImport {
  /** Constants from within functions. */
  private readonly inner = new Map<string, Tensor>();
  private readonly scope: LiftScope;

  constructor(
    private readonly builder: GraphBuilder,
    private readonly tensors: TensorReader,
    private readonly inliner: FunctionInliner,
    private readonly facts: FileFacts,
  ) {
    this.scope = {
      type: (value) => builder.type(value),
      constant: (value) => facts.constant(value) ?? this.inner.get(value),
      isRead: (value) => facts.isRead(value),
      fresh: (base) => {
        const name = builder.fresh(base);
        builder.reserve([name]);
        return name;
      },
    };
  }

  /** @param flat the node itself, or what it stands for if it calls a function of the file */
  add({ node, index }: PlacedNode, flat: readonly FlatNode[]): void {
    const source: Growing = {
      index,
      encoded: this.tensors.source.slice(node.raw.start, node.raw.length),
      reads: readsOf(node),
      makes: node.outputs.filter((output) => output !== ''),
      became: [],
      constants: new Map(),
      callsFunction: this.inliner.calls(node),
    };
    for (const item of flat) this.addFlat(item, source);
  }

  private addFlat(flat: FlatNode, source: Growing): void {
    const { node, opset } = flat;
    if (!isStandard(node)) {
      this.addOpaque(flat, source, {});
      return;
    }
    const constant = node.opType === 'Constant' ? this.tensors.readConstant(node) : null;
    if (constant) {
      this.inner.set(node.outputs[0], constant);
      this.addConstant(node.outputs[0], constant, source);
      return;
    }
    const attributes = toAttributes(node.attributes, this.tensors);
    const lifting = attributes && this.lift(toFileNode(node, attributes), opset);
    if (lifting) this.commit(lifting, flat, source);
    else this.addOpaque(flat, source, attributes ?? {});
  }

  /** What the node becomes; null where it has no meaning here. */
  private lift(node: FileNode, opset: number): Lifting | null {
    const lifting = new Lifting(node, this.scope);
    const isLifted = ruleFor(node.op, opset)?.(lifting) ?? false;
    return isLifted && lifting.nodes.every(hasDefinition) ? lifting : null;
  }

  private commit(lifting: Lifting, flat: FlatNode, source: Growing): void {
    for (const [name, tensor] of lifting.constants) this.addConstant(name, tensor, source);
    for (const node of lifting.nodes) this.addNode({ ...node, origin: this.origin(flat, source) }, source);
  }

  private addOpaque(flat: FlatNode, source: Growing, attributes: Attributes): void {
    const { node } = flat;
    const { file } = this.tensors.external;
    if ([...node.attributes.values()].some(hasExternalData))
      throw notAModel(file, `${describeNode(node)} keeps data in another file, which only weights of the graph may`);
    const origin: OnnxNodeOrigin = {
      ...this.origin(flat, source),
      attributes: this.inliner.attributeBytes(node),
      other: rawFields(this.tensors.source, file, node.other),
    };
    const { name, inputs, outputs } = toFileNode(node, attributes);
    const captures = node.implicitInputs.length > 0 ? { captures: node.implicitInputs } : {};
    this.addNode({ op: OPAQUE, name, inputs, outputs, attributes, ...captures, origin }, source);
  }

  private addConstant(name: string, tensor: Tensor, source: Growing): void {
    this.builder.constant(name, tensor);
    source.constants.set(name, tensor);
  }

  private addNode(node: Node, source: Growing): void {
    this.builder.add(
      node,
      node.op === OPAQUE ? node.outputs.map((output) => this.facts.statedType(output)) : undefined,
    );
    source.became.push(node);
  }

  private origin({ node, opset }: FlatNode, source: SourceNode): OnnxNodeOrigin {
    return {
      format: 'onnx',
      op: node.opType,
      domain: node.domain,
      overload: node.overload,
      encoded: this.tensors.source.slice(node.raw.start, node.raw.length),
      attributes: [],
      other: [],
      opset,
      hasSubgraph: hasSubgraph(node),
      callsFunction: this.inliner.calls(node),
      source,
    };
  }
}

export function isStandard({ domain }: OnnxNode): boolean {
  return domain === '' || domain === 'ai.onnx';
}

function toFileNode({ opType, name, inputs, outputs }: OnnxNode, attributes: Attributes): FileNode {
  const shown = name || outputs.find((output) => output !== '') || opType;
  return { op: opType, name: shown, inputs, outputs, attributes };
}

/** Whether the operator is defined with those attributes and that many outputs. */
function hasDefinition({ op, attributes, outputs }: NewNode): boolean {
  const definition = operators.get(op);
  if (!definition || !Object.keys(attributes).every((name) => Object.hasOwn(definition.attributes, name))) return false;
  return definition.outputs === 'variadic' || outputs.length <= definition.outputs.length;
}

function hasExternalData({ t, tensors, g, graphs }: OnnxAttribute): boolean {
  const isExternal = (tensor: OnnxTensor) => tensor.location.kind === 'external';
  const holdsExternal = ({ initializers, nodes }: OnnxGraph): boolean =>
    initializers.some(isExternal) || nodes.some((node) => [...node.attributes.values()].some(hasExternalData));
  return (
    [...(t ? [t] : []), ...(tensors ?? [])].some(isExternal) ||
    [...(g ? [g] : []), ...(graphs ?? [])].some(holdsExternal)
  );
}
