import { CompressError, notAModel, unsupportedOpset } from '../../errors.js';
import type { ByteSource, Range } from '../../formats/bytes.js';
import type { ExternalData } from '../../formats/onnx/external-data.js';
import type { OnnxGraphOrigin, SourceTensor, SourceValueInfo } from '../../formats/onnx/origin.js';
import { MODEL } from '../../formats/onnx/schema.js';
import type { OnnxModel, OnnxNode, OnnxTensor, OnnxValueInfo } from '../../formats/onnx/structures.js';
import { GraphBuilder } from '../../ir/builder.js';
import type { Graph } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import { semantics } from '../../ops/index.js';
import { isStandard, NodeImport, type PlacedNode } from './import-node.js';
import { FunctionInliner, readsOf } from './inline.js';
import { NEWEST_OPSET, OLDEST_OPSET } from './lift/index.js';
import { describeNode, inOrder } from './order.js';
import { rawFields } from './raw-fields.js';
import { Symbols } from './symbols.js';
import { TensorReader } from './tensors.js';

/** One file on its way into a graph. */
export class GraphImport {
  private readonly file: string;
  private readonly opset: number;
  private readonly symbols = new Symbols();
  private readonly tensors: TensorReader;
  private readonly names: Set<string>;
  private readonly inliner: FunctionInliner;
  private readonly constants = new Map<string, SourceTensor>();

  constructor(
    private readonly model: OnnxModel,
    private readonly source: ByteSource,
    private readonly external: ExternalData,
  ) {
    this.file = external.file;
    this.opset = supportedOpset(model, this.file);
    this.tensors = new TensorReader(source, external);
    this.names = namesOf(model);
    this.inliner = new FunctionInliner(model.functions, source, this.names, this.file);
  }

  run(): Graph {
    const { graph } = this.model;
    this.readInitializers();
    const nodes = this.placedNodes();
    const metadata = new Map(this.model.metadata);
    const builder = new GraphBuilder(semantics, { name: graph.name || 'graph', metadata });
    builder.reserve(this.names);
    try {
      for (const info of graph.inputs)
        if (!this.constants.has(info.name)) builder.input(info.name, this.symbols.typeOf(info));
      for (const [name, { tensor }] of this.constants) builder.constant(name, tensor as Tensor);
      this.addNodes(nodes, builder);
      const outputs = graph.outputs.map(({ name }) => name);
      return builder.build(outputs).with({ origin: this.origin(builder) });
    } catch (error) {
      throw this.inFile(error);
    }
  }

  private readInitializers(): void {
    const { initializers, sparseInitializers } = this.model.graph;
    const [sparse] = sparseInitializers;
    if (sparse) throw notAModel(this.file, `its weight '${sparse.name}' is sparse, which cannot be read`);
    for (const initializer of initializers) {
      if (initializer.name === '') throw notAModel(this.file, 'it holds a weight without a name');
      if (this.constants.has(initializer.name))
        throw notAModel(this.file, `two weights are called '${initializer.name}'`);
      this.constants.set(initializer.name, this.sourceTensor(initializer, initializer.raw));
    }
  }

  private sourceTensor(tensor: OnnxTensor, message: Range, index?: number): SourceTensor {
    return {
      tensor: this.tensors.read(tensor),
      encoded: this.source.slice(message.start, message.length),
      index,
      isExternal: tensor.location.kind === 'external',
    };
  }

  /** The file's nodes in order, Constant nodes taken out. */
  private placedNodes(): PlacedNode[] {
    const { nodes, inputs, outputs } = this.model.graph;
    for (const node of nodes) this.checkDomain(node);
    const given = new Set([...inputs.map(({ name }) => name), ...this.constants.keys()]);
    const ordered = inOrder(
      nodes.map((node, index) => ({ node, index })),
      given,
      this.file,
    );
    for (const { node } of ordered) for (const output of node.outputs) given.add(output);
    if (outputs.length === 0) throw notAModel(this.file, 'its graph has no output');
    for (const { name } of outputs)
      if (!given.has(name)) throw notAModel(this.file, `nothing makes its output '${name}'`);
    return ordered.filter((placed) => !this.takeConstant(placed));
  }

  /** Runtimes refuse what names no version of its operators, in this file and in what would be written. */
  private checkDomain(node: OnnxNode): void {
    if (isStandard(node) || this.model.opsets.has(node.domain) || this.inliner.calls(node)) return;
    throw notAModel(
      this.file,
      `it names no version of the operators of '${node.domain}', to which ${describeNode(node)} belongs`,
    );
  }

  private takeConstant({ node, index }: PlacedNode): boolean {
    if (node.opType !== 'Constant' || node.domain !== '') return false;
    const tensor = this.tensors.readConstant(node);
    if (!tensor) return false;
    const encoded = this.source.slice(node.raw.start, node.raw.length);
    const isExternal = [...node.attributes.values()].some(({ t }) => t?.location.kind === 'external');
    this.constants.set(node.outputs[0], { tensor, encoded, index, isExternal });
    return true;
  }

  private addNodes(nodes: readonly PlacedNode[], builder: GraphBuilder): void {
    const infos = new Map(this.infos().map((info) => [info.name, info]));
    const expanded = nodes.map((placed) => ({ placed, flat: this.inliner.expand(placed.node, this.opset) }));
    const read = new Set(this.model.graph.outputs.map(({ name }) => name));
    for (const { flat } of expanded) for (const { node } of flat) for (const name of readsOf(node)) read.add(name);
    const nodeImport = new NodeImport(builder, this.tensors, this.inliner, {
      isRead: (value) => read.has(value),
      constant: (value) => this.constants.get(value)?.tensor as Tensor | undefined,
      statedType: (value) => {
        const info = infos.get(value);
        return info ? this.symbols.typeOf(info) : { dtype: null, shape: null };
      },
    });
    for (const { placed, flat } of expanded) nodeImport.add(placed, flat);
  }

  private infos(): OnnxValueInfo[] {
    const { valueInfo, outputs } = this.model.graph;
    return [...valueInfo, ...outputs];
  }

  private origin(builder: GraphBuilder): OnnxGraphOrigin {
    const { model, source, file } = this;
    const { graph } = model;
    const sourceInfo = ({ name, raw }: OnnxValueInfo): [string, SourceValueInfo] => [
      name,
      { encoded: source.slice(raw.start, raw.length), type: builder.has(name) ? builder.type(name) : null },
    ];
    return {
      format: 'onnx',
      file,
      externalFiles: this.external.files,
      irVersion: model.irVersion,
      opset: this.opset,
      opsets: model.opsets,
      metadata: model.metadata,
      modelFields: rawFields(source, file, [{ start: 0, length: source.length }]).filter(
        ({ number }) => !MADE_ANEW.includes(number),
      ),
      graphFields: rawFields(source, file, graph.other),
      functions: model.functions.map(({ raw }) => source.slice(raw.start, raw.length)),
      constants: this.constants,
      inputInfos: new Map(graph.inputs.map(sourceInfo)),
      outputInfos: new Map(graph.outputs.map(sourceInfo)),
      valueInfos: new Map(graph.valueInfo.map(sourceInfo)),
      symbols: this.symbols.texts,
      names: this.names,
    };
  }

  private inFile(error: unknown): unknown {
    if (!(error instanceof CompressError) || error.where.file !== undefined) return error;
    return new CompressError(error.code, `${this.file}: ${error.message}`, { ...error.where, file: this.file });
  }
}

function supportedOpset({ opsets }: OnnxModel, file: string): number {
  const version = opsets.get('');
  if (version === undefined) throw notAModel(file, 'it names no version of the standard operators');
  if (version < OLDEST_OPSET || version > NEWEST_OPSET)
    throw unsupportedOpset(file, version, OLDEST_OPSET, NEWEST_OPSET);
  return version;
}

function namesOf({ graph }: OnnxModel): Set<string> {
  const names = [...graph.inputs, ...graph.initializers].map(({ name }) => name);
  const ofNodes = graph.nodes.flatMap((node) => [...node.inputs, ...node.outputs, ...node.implicitInputs]);
  return new Set([...names, ...ofNodes].filter((name) => name !== ''));
}

/** Fields of the model that the exporter makes itself. */
const MADE_ANEW: readonly number[] = [MODEL.irVersion, MODEL.graph, MODEL.functions];
