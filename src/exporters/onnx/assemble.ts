import { badGraph } from '../../errors.js';
import type { Part } from '../../formats/files.js';
import type { OnnxGraphOrigin, SourceTensor } from '../../formats/onnx/origin.js';
import { MODEL } from '../../formats/onnx/schema.js';
import type { ModelToWrite, NodeToWrite, RawMessage, TensorToWrite } from '../../formats/onnx/write.js';
import type { Graph } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import { foreignOpsets } from './foreign.js';
import { type NodeItem, NodeWriter } from './nodes.js';
import { partFrom } from './parts.js';
import { graphOrigin, runsOf } from './source.js';
import { ValueInfoWriter } from './value-infos.js';
import { OLDEST_WRITTEN } from './write/index.js';
import { tensorToWrite } from './write/lowering.js';

/** For graphs that come from elsewhere; read by every runtime of the last years. */
const DEFAULT_OPSET = 17;
const DEFAULT_IR_VERSION = 8;
/** The first version of the format in which weights need not be inputs too. */
const OLDEST_IR_VERSION = 4;
/** The version of the format that came with operator set 13. */
const IR_VERSION_OF_OLDEST_WRITTEN = 7;

/** Weights of fewer bytes stay in the model even when the others have a file of their own. */
const SMALLEST_EXTERNAL = 1024;

/** Puts a file together from a graph: what nothing has touched as it came, all else anew. */
export class Assembly {
  private readonly origin: OnnxGraphOrigin | undefined;
  private readonly opset: number;
  private readonly foreignOpsets: ReadonlyMap<string, number>;
  private readonly items: readonly NodeItem[];
  private readonly written: NodeWriter;
  private readonly needed: ReadonlySet<string>;

  /** @param splitsWeights whether large weights must be encoded so that they can go into another file */
  constructor(
    private readonly graph: Graph,
    private readonly splitsWeights: boolean,
  ) {
    this.origin = graphOrigin(graph);
    this.foreignOpsets = foreignOpsets(graph);
    const runs = runsOf(graph);
    const opset = chooseOpset(
      this.origin,
      runs.every(({ source }) => source !== undefined),
    );
    this.opset = Math.max(opset, this.foreignOpsets.get('') ?? 0);
    this.written = new NodeWriter(graph, this.origin, this.opset);
    this.items = runs.flatMap((run) => this.written.write(this.keepsOpset ? run : { nodes: run.nodes }));
    this.needed = new Set(
      [...graph.outputs, ...this.items.flatMap(({ reads }) => reads)].filter((value) => this.constant(value)),
    );
  }

  model(): ModelToWrite {
    const { graph, origin } = this;
    const infos = new ValueInfoWriter(graph, origin);
    const made = new Set(this.items.flatMap(({ makes }) => makes));
    return {
      irVersion: this.irVersion(),
      ...(origin ? {} : { producerName: 'unet-compress' }),
      opsets: this.keepsOpsets ? [] : this.opsets(),
      metadata: this.keepsMetadata() ? [] : graph.metadata,
      other: this.modelFields(),
      functions: this.functions(),
      graph: {
        name: graph.name,
        nodes: this.nodes(),
        initializers: this.initializers(),
        inputs: graph.inputs.map((name) => infos.ofInput(name)),
        outputs: graph.outputs.map((name) => infos.ofOutput(name)),
        valueInfo: infos.ofInnerValues((name) => made.has(name) || this.needed.has(name)),
        other: origin?.graphFields.map(({ encoded }) => partFrom(encoded)),
      },
    };
  }

  private get keepsOpset(): boolean {
    return this.opset === this.origin?.opset;
  }

  /** Whether the file's own list of operator sets will do. */
  private get keepsOpsets(): boolean {
    const { origin } = this;
    const others = [...this.foreignOpsets].filter(([domain]) => domain !== '');
    return this.keepsOpset && others.every(([domain, version]) => (origin?.opsets.get(domain) ?? 0) >= version);
  }

  private constant(name: string): Tensor | undefined {
    const { graph, written, origin } = this;
    // Only the file's form of a node may need a constant that the graph has no more.
    const dropped = () =>
      graph.types.has(name) ? undefined : (origin?.constants.get(name)?.tensor as Tensor | undefined);
    return graph.constants.get(name) ?? written.constants.get(name) ?? dropped();
  }

  private irVersion(): number {
    if (!this.origin) return DEFAULT_IR_VERSION;
    const oldest = this.keepsOpset ? OLDEST_IR_VERSION : IR_VERSION_OF_OLDEST_WRITTEN;
    return Math.max(oldest, this.origin.irVersion);
  }

  private opsets(): [domain: string, version: number][] {
    const others = [...(this.origin?.opsets ?? [])].filter(([domain]) => domain !== '');
    const opsets = new Map([['', this.opset], ...others]);
    for (const [domain, version] of this.foreignOpsets) opsets.set(domain, Math.max(version, opsets.get(domain) ?? 0));
    return [...opsets];
  }

  private keepsMetadata(): boolean {
    const { origin, graph } = this;
    return (
      origin !== undefined && JSON.stringify([...graph.metadata]) === JSON.stringify([...new Map(origin.metadata)])
    );
  }

  private modelFields(): Part[] {
    const isKept: Readonly<Record<number, boolean>> = {
      [MODEL.opsetImport]: this.keepsOpsets,
      [MODEL.metadata]: this.keepsMetadata(),
    };
    const fields = this.origin?.modelFields.filter(({ number }) => isKept[number] ?? true) ?? [];
    return fields.map(({ encoded }) => partFrom(encoded));
  }

  private functions(): RawMessage[] {
    if (!this.items.some(({ callsFunction }) => callsFunction)) return [];
    return this.origin?.functions.map((encoded) => ({ raw: partFrom(encoded) })) ?? [];
  }

  /** The file's Constant nodes stand where they stood; each comes before the first node that reads it in any case. */
  private nodes(): (RawMessage | NodeToWrite)[] {
    const waiting = this.constantNodes();
    const nodes: (RawMessage | NodeToWrite)[] = [];
    const emit = (name: string, source: SourceTensor) => {
      nodes.push({ raw: partFrom(source.encoded) });
      waiting.delete(name);
    };
    for (const { message, reads, index } of this.items) {
      if (index !== undefined)
        for (const [name, source] of waiting) if ((source.index as number) < index) emit(name, source);
      for (const name of reads) {
        const source = waiting.get(name);
        if (source) emit(name, source);
      }
      nodes.push(message);
    }
    for (const [name, source] of waiting) emit(name, source);
    return nodes;
  }

  private constantNodes(): Map<string, SourceTensor> {
    const sources = [...(this.origin?.constants ?? [])].filter(([name]) => this.isKeptConstantNode(name));
    return new Map(sources.sort(([, a], [, b]) => (a.index as number) - (b.index as number)));
  }

  private isKeptConstantNode(name: string): boolean {
    const source = this.origin?.constants.get(name);
    return source?.index !== undefined && this.keepsOpset && this.needed.has(name) && this.isUntouched(name, source);
  }

  /** Weights in the order of the file, then those that passes and writers have made. */
  private initializers(): (RawMessage | TensorToWrite)[] {
    const order = new Set([...(this.origin?.constants.keys() ?? []), ...this.graph.constants.keys(), ...this.needed]);
    const names = [...order].filter((name) => this.needed.has(name) && !this.isKeptConstantNode(name));
    return names.map((name) => this.initializer(name, this.constant(name) as Tensor));
  }

  private initializer(name: string, tensor: Tensor): RawMessage | TensorToWrite {
    const source = this.origin?.constants.get(name);
    if (source && source.index === undefined && this.isUntouched(name, source))
      return { raw: partFrom(source.encoded) };
    if (tensor.dtype === 'string')
      throw badGraph(`the constant '${name}' holds text, which ONNX files keep only as it came`);
    return tensorToWrite(name, tensor);
  }

  private isUntouched(name: string, source: SourceTensor): boolean {
    const movesOut = this.splitsWeights && (source.tensor as Tensor).byteLength >= SMALLEST_EXTERNAL;
    return this.constant(name) === source.tensor && !source.isExternal && !movesOut;
  }
}

/**
 * The file's own version, so that nodes can come back as they came. Older ones than the writers know are raised, unless
 * there is nothing to write.
 */
function chooseOpset(origin: OnnxGraphOrigin | undefined, isUntouched: boolean): number {
  if (!origin) return DEFAULT_OPSET;
  return isUntouched ? origin.opset : Math.max(origin.opset, OLDEST_WRITTEN);
}
