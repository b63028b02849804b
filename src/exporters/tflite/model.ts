import { decodeMetadata } from '../../formats/metadata.js';
import type { TfliteModel } from '../../formats/tflite/model.js';
import { encodeToolMetadata, TOOL_METADATA_NAME } from '../../formats/tflite/tool-metadata.js';
import type { Operation, OperationKind, Program } from '../lowering/operations.js';
import { type Call, GraphWriter, type Writer } from './graph-writer.js';
import { WRITERS } from './writers/index.js';

/** A program as a TFLite file. */
export function tfliteModel(program: Program): TfliteModel {
  const graph = new GraphWriter(program);
  const inputs = program.inputs.map((input) => graph.input(input));
  for (const operation of program.operations) graph.write(operation.output, write(operation, graph));
  const outputs = program.outputs.map((output) => graph.output(output));
  const { tensors, operators } = graph;
  return { description: program.name, tensors, operators, inputs, outputs, metadata: metadataOf(program) };
}

function write(operation: Operation, graph: GraphWriter): Call {
  // The compiler cannot see that the writer is the one for this operation's kind.
  return (WRITERS[operation.kind] as Writer<OperationKind>)(operation, graph);
}

/** The graph's texts as they are, and what TensorFlow Lite's own tools read of them. */
function metadataOf({ name, inputs, outputs, metadata }: Program): Map<string, Uint8Array> {
  const names = (list: Program['inputs']) => list.map((one) => one.name);
  const tools = encodeToolMetadata(name, names(inputs), names(outputs), decodeMetadata(metadata));
  const texts = [...metadata].map(([key, text]) => [key, new TextEncoder().encode(text)] as const);
  return new Map([[TOOL_METADATA_NAME, tools], ...texts]);
}
