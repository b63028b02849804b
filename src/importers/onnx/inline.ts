import { notAModel } from '../../errors.js';
import { type ByteSource, memoryBytes } from '../../formats/bytes.js';
import { joinParts } from '../../formats/files.js';
import { MessageWriter } from '../../formats/onnx/message-writer.js';
import { ATTRIBUTE } from '../../formats/onnx/schema.js';
import type { OnnxAttribute, OnnxFunction, OnnxNode } from '../../formats/onnx/structures.js';
import { WireReader } from '../../formats/onnx/wire.js';
import { FreshNames } from './fresh-names.js';
import { inOrder } from './order.js';

/** A node after calls of the file's functions were replaced by their bodies. */
export interface FlatNode {
  readonly node: OnnxNode;
  /** Version of the standard operators that the node is written for. */
  readonly opset: number;
}

/** Calls within calls multiply; no sensible model comes near this. */
const MOST_NODES = 100_000;

/** Unfolds calls of the functions that an ONNX file defines. */
export class FunctionInliner {
  private readonly functions = new Map<string, OnnxFunction>();
  private readonly freshNames: FreshNames;
  private count = 0;

  /**
   * @param source the bytes that the structures were read from
   * @param names all names of values in the graph; those of unfolded values are added
   */
  constructor(
    functions: readonly OnnxFunction[],
    private readonly source: ByteSource,
    private readonly names: Set<string>,
    private readonly file: string,
  ) {
    this.freshNames = new FreshNames((name) => names.has(name));
    for (const definition of functions) {
      const key = keyOf(definition.domain, definition.name, definition.overload);
      if (this.functions.has(key)) throw notAModel(file, `it defines the function '${definition.name}' twice`);
      this.functions.set(key, definition);
    }
  }

  calls(node: OnnxNode): boolean {
    return this.functions.has(keyOf(node.domain, node.opType, node.overload));
  }

  /** The node itself, or the nodes that stand for it if it calls a function. */
  expand(node: OnnxNode, opset: number): FlatNode[] {
    return this.unfold({ node, opset }, []);
  }

  private unfold(flat: FlatNode, callers: readonly OnnxFunction[]): FlatNode[] {
    const { node } = flat;
    const called = this.functions.get(keyOf(node.domain, node.opType, node.overload));
    if (++this.count > MOST_NODES)
      throw notAModel(this.file, `its functions unfold into more than ${MOST_NODES} nodes`);
    // Names within a subgraph cannot be told apart without rewriting it: such a function stays a function.
    if (!called || called.nodes.some(hasSubgraph)) return [flat];
    if (callers.includes(called)) throw notAModel(this.file, `its function '${called.name}' calls itself`);
    const body = inOrder(
      called.nodes.map((inner) => ({ node: inner })),
      new Set(called.inputs),
      this.file,
    );
    const names = this.renaming(node, called);
    const opset = called.opsets.get('') ?? flat.opset;
    const inner = body.map((item) => this.instantiate(item.node, node, called, names, opset));
    return [...inner, ...this.passedThrough(node, called, names, opset)].flatMap((item) =>
      this.unfold(item, [...callers, called]),
    );
  }

  /** Values of the body by the names that they get in the graph. */
  private renaming(call: OnnxNode, called: OnnxFunction): Map<string, string> {
    const names = new Map<string, string>([['', '']]);
    const made = new Set(called.nodes.flatMap((node) => node.outputs));
    called.inputs.forEach((input, i) => {
      names.set(input, call.inputs[i] ?? '');
    });
    called.outputs.forEach((output, i) => {
      if (made.has(output) && call.outputs[i]) names.set(output, call.outputs[i]);
    });
    for (const value of made) {
      if (!names.has(value)) names.set(value, this.fresh(`${call.name || call.outputs[0]}/${value}`));
    }
    return names;
  }

  private fresh(base: string): string {
    const name = this.freshNames.next(base);
    this.names.add(name);
    return name;
  }

  private instantiate(
    node: OnnxNode,
    call: OnnxNode,
    called: OnnxFunction,
    names: ReadonlyMap<string, string>,
    opset: number,
  ): FlatNode {
    const rename = (name: string) => names.get(name) ?? name;
    const attributes = new Map<string, OnnxAttribute>();
    for (const [name, attribute] of node.attributes) {
      const { reference } = attribute;
      const given =
        reference === undefined ? attribute : (call.attributes.get(reference) ?? called.defaults.get(reference));
      if (given) attributes.set(name, { ...given, name });
    }
    return {
      node: {
        ...node,
        name: `${call.name || call.outputs[0]}/${node.name || node.opType}`,
        inputs: node.inputs.map(rename),
        outputs: node.outputs.map(rename),
        attributes,
      },
      opset,
    };
  }

  /** A function may give an input out as it is; no node of its body makes that output. */
  private passedThrough(
    call: OnnxNode,
    called: OnnxFunction,
    names: ReadonlyMap<string, string>,
    opset: number,
  ): FlatNode[] {
    return called.outputs.flatMap((output, i) => {
      if (!called.inputs.includes(output) || !call.outputs[i]) return [];
      const name = `${call.name || call.outputs[0]}/${output}`;
      const [inputs, outputs] = [[names.get(output) as string], [call.outputs[i]]];
      const node = { ...call, name, opType: 'Identity', domain: '', overload: '', inputs, outputs };
      return [{ node: { ...node, attributes: new Map(), other: [] }, opset }];
    });
  }

  /** Payloads of the node's attributes. */
  attributeBytes({ attributes }: OnnxNode): ByteSource[] {
    return Array.from(attributes.values(), (attribute) => this.withName(attribute));
  }

  /** The attribute's payload, under the name that it has now. */
  private withName({ name, raw }: OnnxAttribute): ByteSource {
    const reader = new WireReader(this.source, this.file);
    let stored = '';
    const others = reader.walk(raw, (field) => {
      if (field.number !== ATTRIBUTE.name) return false;
      stored = reader.text(field);
      return true;
    });
    if (stored === name) return this.source.slice(raw.start, raw.length);
    const writer = new MessageWriter().text(ATTRIBUTE.name, name);
    for (const { start, length } of others) writer.append(this.source.read(start, length));
    return memoryBytes(joinParts(writer.finish()));
  }
}

export function hasSubgraph({ attributes }: OnnxNode): boolean {
  return [...attributes.values()].some(({ g, graphs }) => g !== undefined || graphs !== undefined);
}

function keyOf(domain: string, name: string, overload: string): string {
  return JSON.stringify([domain === 'ai.onnx' ? '' : domain, name, overload]);
}

/** Values that the nodes read, by their inputs or within their subgraphs. */
export function readsOf({ inputs, implicitInputs }: OnnxNode): string[] {
  return [...inputs, ...implicitInputs].filter((name) => name !== '');
}
