import { joinParts } from '../../formats/files.js';
import { MessageWriter } from '../../formats/onnx/message-writer.js';
import type { OnnxGraphOrigin, SourceType, SourceValueInfo } from '../../formats/onnx/origin.js';
import { VALUE_INFO } from '../../formats/onnx/schema.js';
import type { RawMessage, ValueInfoToWrite } from '../../formats/onnx/write.js';
import type { Graph } from '../../ir/graph.js';
import type { Dim, ValueType } from '../../ir/types.js';
import { codeOfDataType } from '../../ops/data-type.js';
import { partFrom } from './parts.js';

/** States the types of values: as the file did where they are the same, else anew. */
export class ValueInfoWriter {
  constructor(
    private readonly graph: Graph,
    private readonly origin: OnnxGraphOrigin | undefined,
  ) {}

  ofInput(name: string): RawMessage | ValueInfoToWrite {
    return this.ofInterface(name, this.origin?.inputInfos.get(name));
  }

  ofOutput(name: string): RawMessage | ValueInfoToWrite {
    return this.ofInterface(name, this.origin?.outputInfos.get(name));
  }

  private ofInterface(name: string, source: SourceValueInfo | undefined): RawMessage | ValueInfoToWrite {
    const type = this.graph.type(name);
    if (source && (source.type === null || sameType(source.type, type))) return { raw: partFrom(source.encoded) };
    return this.state(name, type) ?? { raw: joinParts(new MessageWriter().text(VALUE_INFO.name, name).finish()) };
  }

  /** What the file said about values within the graph, for those that are still there. */
  ofInnerValues(isWritten: (value: string) => boolean): (RawMessage | ValueInfoToWrite)[] {
    const infos = [...(this.origin?.valueInfos ?? [])].filter(([name]) => isWritten(name));
    return infos.flatMap(([name, source]) => this.updated(name, source) ?? []);
  }

  private updated(name: string, source: SourceValueInfo): RawMessage | ValueInfoToWrite | undefined {
    const current = this.graph.types.get(name);
    const isSame = current === undefined || (source.type !== null && sameType(source.type, current));
    return isSame ? { raw: partFrom(source.encoded) } : this.state(name, current);
  }

  private state(name: string, { dtype, shape }: ValueType): ValueInfoToWrite | undefined {
    if (dtype === null) return undefined;
    return { name, elemType: codeOfDataType(dtype), dims: shape?.map((dim) => this.dimension(dim)) ?? null };
  }

  /** A symbol goes by its text in the file; an expression over symbols is no name, and is left open. */
  private dimension(dim: Dim): number | string | null {
    if (typeof dim === 'number') return dim;
    const text = this.origin?.symbols.get(dim);
    if (text !== undefined) return text;
    return /^\w+$/.test(dim) ? dim : null;
  }
}

function sameType(a: SourceType, b: ValueType): boolean {
  const sameShape = a.shape?.length === b.shape?.length && (a.shape?.every((dim, i) => dim === b.shape?.[i]) ?? true);
  return a.dtype === b.dtype && (a.shape === null) === (b.shape === null) && sameShape;
}
