import { cannotExport } from '../../errors.js';
import type { OnnxGraphOrigin, OnnxNodeOrigin } from '../../formats/onnx/origin.js';
import type { NodeToWrite, RawMessage } from '../../formats/onnx/write.js';
import { type ForeignOperator, type Graph, type Node, OPAQUE } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import { foreignAttributes } from './foreign.js';
import { partFrom } from './parts.js';
import { nodeOrigin, type Run } from './source.js';
import { lower, ROWS } from './write/index.js';
import type { ExportScope } from './write/lowering.js';

/** A node of the file to be. */
export interface NodeItem {
  readonly message: RawMessage | NodeToWrite;
  /** Values that it reads, by its inputs or within its subgraphs. */
  readonly reads: readonly string[];
  readonly makes: readonly string[];
  /** Place in the file that it came from. */
  readonly index?: number;
  readonly callsFunction: boolean;
}

/** Turns runs of the graph's nodes into nodes of the file. */
export class NodeWriter {
  /** Constants that written nodes have in place of what the graph's nodes say otherwise. */
  readonly constants = new Map<string, Tensor>();
  private readonly scope: ExportScope;

  constructor(
    graph: Graph,
    origin: OnnxGraphOrigin | undefined,
    private readonly opset: number,
  ) {
    const taken = new Set([...graph.types.keys(), ...(origin?.names ?? [])]);
    this.scope = {
      opset,
      type: (value) => graph.type(value),
      constant: (value) => graph.constants.get(value),
      fresh(base) {
        let name = base;
        for (let i = 1; taken.has(name); i++) name = `${base}_${i}`;
        taken.add(name);
        return name;
      },
    };
  }

  write({ nodes, source }: Run): NodeItem[] {
    if (!source) return nodes.flatMap((node) => (node.op === OPAQUE ? this.opaque(node) : this.lowered(node)));
    const { reads, makes, index, callsFunction } = source;
    return [{ message: { raw: partFrom(source.encoded) }, reads, makes, index, callsFunction }];
  }

  private lowered(node: Node): NodeItem[] {
    const lowering = lower(node, this.scope);
    for (const [name, tensor] of lowering.constants) this.constants.set(name, tensor);
    return lowering.nodes.map((message) => ({
      message,
      reads: message.inputs.filter((input) => input !== ''),
      makes: message.outputs.filter((output) => output !== ''),
      callsFunction: false,
    }));
  }

  private opaque(node: Node): NodeItem {
    return node.foreign ? foreign(node, node.foreign) : this.fromFile(node);
  }

  private fromFile(node: Node): NodeItem {
    const origin = nodeOrigin(node);
    if (!origin) throw cannotExport(node.op, node.name, 'ONNX', 'it comes from another format and has no counterpart');
    if (!meansTheSame(origin, this.opset))
      throw cannotExport(
        origin.op,
        node.name,
        `ONNX operator set ${this.opset}`,
        `it was written for operator set ${origin.opset}, so export the model with operator set ${this.opset} first`,
      );
    const { op: opType, domain, overload, callsFunction } = origin;
    const attributes = origin.attributes.map((attribute) => ({ raw: partFrom(attribute) }));
    const other = origin.other.map(({ encoded }) => partFrom(encoded));
    const { name, inputs, outputs } = node;
    return {
      message: { name, opType, domain, overload, inputs, outputs, attributes, other },
      reads: [...inputs, ...(node.captures ?? [])].filter((input) => input !== ''),
      makes: outputs.filter((output) => output !== ''),
      callsFunction,
    };
  }
}

function foreign(node: Node, { op: opType, domain }: ForeignOperator): NodeItem {
  const { name, inputs, outputs } = node;
  return {
    message: { name, opType, domain, inputs, outputs, attributes: foreignAttributes(node) },
    reads: inputs.filter((input) => input !== ''),
    makes: outputs.filter((output) => output !== ''),
    callsFunction: false,
  };
}

/** Operators without a definition here whose meaning or signature changed after version 7, and when for the last time. */
const CHANGED: Readonly<Record<string, number>> = { Hardmax: 13, Scatter: 11, TopK: 11, Upsample: 10 };

/** Whether an untouched node means at version `opset` what it meant where it comes from. */
function meansTheSame({ op, domain, opset: written, hasSubgraph }: OnnxNodeOrigin, opset: number): boolean {
  if (written === opset || (domain !== '' && domain !== 'ai.onnx')) return true;
  // An operator that is known but was not understood depends on its version; what a subgraph holds was not looked at.
  return !hasSubgraph && !Object.hasOwn(ROWS, op) && written >= (CHANGED[op] ?? 0);
}
